"""How long the disk behind a folder takes to say that a small write is safe."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.percentiles import percentiles

BLOCK_BYTES = 8192
"""A page of PostgreSQL's log."""
BLOCKS = 128
ROUNDS_MAX = 1000
LIMIT_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SyncLatency:
    """Of overwriting one block and syncing its data, one after the other, in ns."""

    count: int
    p50_ns: float | None
    p90_ns: float | None
    max_ns: float


def measure(folder: Path) -> SyncLatency | None:
    """Takes at most a second or so; `None` where nothing can be written there."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            taken_ns = _rounds(file.fileno())
    except OSError:
        return None
    p50, p90 = percentiles(taken_ns, (50, 90))
    return SyncLatency(len(taken_ns), p50, p90, float(taken_ns.max()))


def _rounds(handle: int) -> np.ndarray:
    """As `pg_test_fsync` does it: into blocks that are there already."""
    block = os.urandom(BLOCK_BYTES)
    for number in range(BLOCKS):
        os.pwrite(handle, block, number * BLOCK_BYTES)
    os.fsync(handle)
    sync = getattr(os, "fdatasync", os.fsync)
    taken_ns: list[int] = []
    began_ns = time.monotonic_ns()
    while len(taken_ns) < ROUNDS_MAX and time.monotonic_ns() - began_ns < LIMIT_NS:
        from_ns = time.monotonic_ns()
        os.pwrite(handle, block, len(taken_ns) % BLOCKS * BLOCK_BYTES)
        sync(handle)
        taken_ns.append(time.monotonic_ns() - from_ns)
    return np.array(taken_ns)

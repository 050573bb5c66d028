"""Memory and time of what follows a long trial: its summary and its verification.

Its files are made here, and so is the store that gives its events back: an hour of 10,000
operations a second is measured in minutes. Each part runs in a process of its own, whose peak
memory it prints.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
from lab import TRIAL
from table import Table

from harness.domain.costs import Usage
from harness.domain.expected_version import ANY
from harness.domain.store import Position, RecordedEvent
from harness.load.column_buffer import ROWS_A_BUFFER, SAMPLE_COLUMNS
from harness.load.coordinator import Measured
from harness.load.events import EventFactory
from harness.load.loops import Window
from harness.load.subscribers import DELIVERY_COLUMNS
from harness.load.trial_files import TrialFiles
from harness.results import TableWriter
from harness.run.trial import read_back
from harness.run.trial_metrics import (
    TrialMetrics,
    histograms,
    interval_rows,
    trial_metrics,
)
from harness.run.trial_samples import TrialSamples
from harness.scenario.model import Load, OpenLoop, Verify
from harness.stores.memory.store import GUARANTEES

OPERATIONS = 10_000_000
STREAMS = 10_000
RATE_PER_S = 10_000
BEGAN_NS = 10**12
WHEN = datetime(2026, 1, 1, tzinfo=UTC)
LONG = replace(
    TRIAL,
    load=OpenLoop(rate_per_s=RATE_PER_S, arrivals="uniform", in_flight_max=64),
    verify=Verify(),
)


def after(table: Table, operations: int = OPERATIONS) -> None:
    """Summary and verification of a trial with one subscriber."""
    with tempfile.TemporaryDirectory() as folder:
        make(files_in(Path(folder)), operations)
        for what in PARTS:
            asked = [sys.executable, __file__, what, folder, str(operations)]
            told = json.loads(subprocess.run(asked, check=True, stdout=subprocess.PIPE).stdout)
            name = f"{what} of {operations:,} operations"
            table.add(f"{name}, peak memory", "≤ 400 MiB", [told["peak_mib"]], " MiB")
            table.add(f"{name}, time", "", [told["seconds"]], " s")


def make(files: TrialFiles, operations: int) -> None:
    """Every operation appends one event and is delivered once; ends are in some disorder."""
    rng = np.random.default_rng(1)
    samples = TableWriter(files.samples, SAMPLE_COLUMNS)
    deliveries = TableWriter(files.deliveries, DELIVERY_COLUMNS)
    for first in range(0, operations, ROWS_A_BUFFER):
        op = np.arange(first, min(first + ROWS_A_BUFFER, operations))
        intended = BEGAN_NS + op * (10**9 // RATE_PER_S)
        dispatched = intended + rng.integers(0, 90_000, len(op))
        sent = dispatched + rng.integers(0, 5_000, len(op))
        done = sent + rng.lognormal(np.log(1e6), 0.5, len(op)).astype(np.int64)
        stream, version = op % STREAMS, op // STREAMS
        zero, one = np.zeros_like(op), np.ones_like(op)
        rows = [op, zero, intended, dispatched, sent, done, zero, one, one]
        rows += [stream, op, one, np.full_like(op, ANY), version]
        samples.write(np.column_stack(rows)[np.argsort(done)])
        handled = done + rng.integers(-100_000, 2_000_000, len(op))
        deliveries.write(np.column_stack((zero, op, stream, version, handled)))
    samples.close()
    deliveries.close()


class Made:
    """A store that has what the trial wrote, without keeping it."""

    def __init__(self, factory: EventFactory, operations: int) -> None:
        self._base, self._data_of, self._count = factory.base, factory.data_of, operations
        self.streams = [f"order-{number}" for number in range(STREAMS)]

    def read_all(self) -> AsyncIterator[RecordedEvent]:
        """Every event in the order of its number."""
        return self._events(range(self._count))

    def read_stream(self, stream: str) -> AsyncIterator[RecordedEvent]:
        """Every event of one stream."""
        return self._events(range(self.streams.index(stream), self._count, STREAMS))

    async def _events(self, numbers: range) -> AsyncIterator[RecordedEvent]:
        base, data_of, streams = self._base, self._data_of, self.streams
        for number in numbers:
            version, stream = divmod(number, STREAMS)
            identity = UUID(int=base + number)
            place, data = Position((number,)), data_of(number)
            yield RecordedEvent(identity, streams[stream], version, place, "", data, b"", WHEN)


def row(files: TrialFiles, operations: int) -> TrialSamples:
    """The trial's row alone."""
    samples, metrics = _row(LONG.load, files, operations)
    assert metrics.delivery is not None
    assert metrics.delivery.count == operations
    return samples


def closed_row(files: TrialFiles, operations: int) -> None:
    """The row alone, of a closed loop without subscribers."""
    _, metrics = _row(
        TRIAL.load, replace(files, deliveries=files.samples.with_name("none")), operations
    )
    assert metrics.delivery is None


def _row(load: Load, files: TrialFiles, operations: int) -> tuple[TrialSamples, TrialMetrics]:
    ended_ns = BEGAN_NS + operations * (10**9 // RATE_PER_S)
    window = Window(BEGAN_NS, ended_ns, operations)
    measured = Measured(window, (), {}, Usage(), 0, "", 1, 0.0)
    samples = TrialSamples.read(load, window, files)
    metrics = trial_metrics(load, measured, samples, files)
    assert metrics.ok == operations
    return samples, metrics


def summary(files: TrialFiles, operations: int) -> None:
    """The trial's row, its seconds and its histograms."""
    samples = row(files, operations)
    assert len(list(interval_rows(LONG, samples, ()))) == operations // RATE_PER_S
    for interval in histograms(LONG, samples):
        assert len(interval.values_ns)


def verification(files: TrialFiles, operations: int) -> None:
    """Everything is read back, and found."""
    factory = EventFactory(LONG.events, LONG.seed)
    store = Made(factory, operations)
    found = asyncio.run(
        read_back(
            LONG,
            store,  # type: ignore[arg-type] - it is only read
            GUARANTEES,
            files,
            streams=store.streams,
            subscribers=1,
            base=factory.base,
            data_of=factory.data_of,
        )
    )
    assert found.ok, found.violations
    assert found.events_read == operations


PARTS: dict[str, Callable[[TrialFiles, int], object]] = {
    "row": row,
    "closed-row": closed_row,
    "summary": summary,
    "verification": verification,
}


def files_in(folder: Path) -> TrialFiles:
    """Where `make` puts them."""
    return TrialFiles(*(folder / name for name in ("samples", "appends", "deliveries")))


if __name__ == "__main__":
    part, place, count = sys.argv[1:]
    began = time.perf_counter()
    PARTS[part](files_in(Path(place)), int(count))
    seconds = time.perf_counter() - began
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak_mib}))

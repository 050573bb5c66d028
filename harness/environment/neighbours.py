"""Who else wants the machine: pressure, steal and load, at a moment and over a run."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_RESOURCES = ("cpu", "io", "memory")


@dataclass(frozen=True, slots=True)
class Mark:
    """What had been counted when a run began; `None` where the system does not count it."""

    at_ns: int
    stalled_us: dict[str, int]
    """Time in which something waited, by resource, since the system started."""
    steal_s: float | None
    total_s: float


def pressure() -> dict[str, float]:
    """Share of the last ten seconds in which something waited for cpu, io or memory (percent)."""
    return {name: float(words["avg10"]) for name, words in _stalls().items()}


def steal_share() -> float | None:
    """Share of all CPU time since boot that the hypervisor took away."""
    times = psutil.cpu_times()
    steal = getattr(times, "steal", None)
    return None if steal is None else round(steal / max(sum(times), 1e-9), 4)


def mark() -> Mark:
    """The beginning of a run."""
    times = psutil.cpu_times()
    stalled_us = {name: int(words["total"]) for name, words in _stalls().items()}
    return Mark(time.monotonic_ns(), stalled_us, getattr(times, "steal", None), float(sum(times)))


def since(began: Mark) -> dict[str, Any]:
    """Over the run: pressure in percent of its time, steal as a share of all CPU time, load."""
    now = mark()
    elapsed_us = max((now.at_ns - began.at_ns) / 1_000, 1.0)
    found: dict[str, Any] = {"load_average": list(os.getloadavg())}
    if began.stalled_us:
        found["pressure"] = {
            name: round((now.stalled_us[name] - us) / elapsed_us * 100, 2)
            for name, us in began.stalled_us.items()
        }
    if began.steal_s is not None and now.steal_s is not None:
        stolen = (now.steal_s - began.steal_s) / max(now.total_s - began.total_s, 1e-9)
        found["steal_share"] = round(stolen, 4)
    return found


def _stalls() -> dict[str, dict[str, str]]:
    """The kernel's `some` lines: avg10, avg60, avg300 in percent, total in µs."""
    found = {}
    for resource in _RESOURCES:
        try:
            text = Path(f"/proc/pressure/{resource}").read_text()
        except OSError:
            continue
        some = next((line for line in text.splitlines() if line.startswith("some")), "")
        found[resource] = dict(word.split("=") for word in some.split()[1:])
    return {name: words for name, words in found.items() if words}

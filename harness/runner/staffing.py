"""How many worker processes offer a trial's load, and on which cores."""

from __future__ import annotations

import os
from dataclasses import dataclass

from harness.errors import UnsupportedByStore
from harness.scenario.types import ClosedLoop, Trial
from harness.store import Guarantees


@dataclass(frozen=True, slots=True)
class Cores:
    """Separate cores for both sides of a measurement."""

    generator: frozenset[int]
    server: frozenset[int]


def processes(trial: Trial, guarantees: Guarantees, *, cores: int | None = None) -> int:
    """As many as are declared; `auto` is one for every two cores, if there is work for them.

    Raises `UnsupportedByStore` where the store has one writer only.
    """
    load = trial.load
    clients = load.workers if isinstance(load, ClosedLoop) else load.in_flight_max
    if trial.processes == "auto":
        if guarantees.writers != "many":
            return 1
        return max(1, min((cores or len(available())) // 2, clients))
    if trial.processes > 1 and guarantees.writers != "many":
        raise UnsupportedByStore(
            f"{trial.processes} worker processes: {trial.store.key} declares one writer"
        )
    return trial.processes


def available() -> list[int]:
    """The cores that the lab may use, in their order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def split(cores: list[int], processes: int) -> Cores | None:
    """The last cores for the generator, one a process but no more than half; `None` for one."""
    if len(cores) < 2:  # noqa: PLR2004 - two sides
        return None
    count = min(processes, len(cores) // 2)
    return Cores(frozenset(cores[-count:]), frozenset(cores[:-count]))

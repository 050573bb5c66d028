"""How many worker processes offer a trial's load, and on which cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.domain.errors import BadInput, UnsupportedByStore
from harness.domain.store import Guarantees
from harness.scenario.model import ClosedLoop, Scenario, Trial


@dataclass(frozen=True, slots=True)
class Cores:
    """Separate cores for both sides of a measurement."""

    generator: frozenset[int]
    server: frozenset[int]

    def described(self) -> dict[str, list[int]]:
        """For the manifest."""
        return {"generator_cores": sorted(self.generator), "server_cores": sorted(self.server)}


def processes(trial: Trial, guarantees: Guarantees, *, cores: int | None = None) -> int:
    """The declared number; `auto` is one for every two cores, if there is work for them.

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


def separate(scenario: Scenario) -> Cores:
    """The last cores for the generator, one a process but no more than half, the rest for servers.

    Raises `BadInput` where there are not two.
    """
    cores = available()
    if len(cores) < 2 or not hasattr(os, "sched_setaffinity"):  # noqa: PLR2004 - two sides
        raise BadInput("--pin: expected Linux and two cores; run without it")
    wanted = [trial.processes for trial in scenario.trials]
    most = max(len(cores) // 2 if each == "auto" else each for each in wanted)
    count = min(most, len(cores) // 2)
    return Cores(frozenset(cores[-count:]), frozenset(cores[:-count]))


@contextmanager
def kept_on(cores: frozenset[int]) -> Iterator[None]:
    """This thread, and all that it starts inside the block, stays on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)

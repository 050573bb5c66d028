"""One run's cores and worker processes: decided once, kept, and written to the manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import replace
from statistics import median
from typing import Any

from harness.domain.flags import Flag
from harness.domain.placement import Placement, cores_text
from harness.domain.store import Guarantees
from harness.domain.workload import Catalogue
from harness.run.session import Session
from harness.run.trial_result import TrialResult
from harness.run.worker_allocation import (
    SIDES,
    Asked,
    Chosen,
    Decision,
    Machine,
    Probe,
    Use,
    busy_cores,
    chosen,
    decided,
    kept_on,
)
from harness.scenario.model import Scenario, Trial, point_key
from harness.servers import Server

Manifest = dict[str, Any]


class Placing:
    """Made when the ways to the servers are chosen, and before any of them starts."""

    def __init__(
        self,
        asked: Asked,
        machine: Machine,
        session: Session,
        scenario: Scenario,
        *,
        note: Callable[[str], None],
    ) -> None:
        libraries = _libraries(scenario, session.catalogue)
        self._session, self._scenario, self._note = session, scenario, note
        self._decision = decided(asked, machine, session.ways, scenario, libraries)
        self._chosen: dict[tuple[str, str], Chosen] = {}
        """How many worker processes `auto` took, by store and point."""
        note(str(self._decision))

    def keep(self, stack: AsyncExitStack) -> None:
        """Keep both sides on their cores until the stack is closed."""
        if cores := self._decision.cores:
            stack.enter_context(kept_on(cores.generator))
            self._session.cores = cores.server

    @property
    def flags(self) -> list[Flag]:
        """Of the run."""
        return [self._decision.flag] if self._decision.flag else []

    def on_every_core(self) -> AbstractContextManager[None]:
        """For a block in which no server has cores of its own."""
        every = frozenset(self._decision.machine.cores)
        return kept_on(every) if self._decision.cores else nullcontext()

    def for_trial(self, server: Server | None) -> AbstractContextManager[None]:
        """The cores of a trial's generator: every one where the store has no server."""
        return self.on_every_core() if server is None else nullcontext()

    def of(self, server: Server | None) -> Placement:
        """Where the trials with this server run."""
        cores, every = self._decision.cores, cores_text(self._decision.machine.cores)
        if server is None:
            return Placement(every, "", served=False)
        generator = cores_text(cores.generator) if cores else every
        if cores and server.technology in self._session.pinned:
            return Placement(generator, cores_text(cores.server), served=True)
        elsewhere = server.endpoint.provider == "external"
        return Placement(generator, "" if elsewhere else every, served=True)

    async def shared_out(
        self, trial: Trial, guarantees: Guarantees, *, served: bool, probe: Probe
    ) -> Trial:
        """The trial with a number of worker processes, the same in each repetition."""
        if trial.processes != "auto":
            return trial
        place = trial.store.key, point_key(trial.point)
        if place not in self._chosen:
            cores, machine = self._decision.cores, self._decision.machine
            most = len(cores.generator) if cores else max(1, machine.whole_cores // SIDES)
            took = await chosen(trial, guarantees, served=served, most=most, probe=probe)
            self._chosen[place] = took
            self._note(f"{trial.store.key}: processes {took.processes} (auto): {took.why}")
        return replace(trial, processes=self._chosen[place].processes)

    def described(self, results: Sequence[TrialResult]) -> Manifest:
        """For the manifest: `placement` and `processes`."""
        session = self._session
        kept = {"pinned": session.pinned, "not_pinned": session.not_pinned}
        return {
            "placement": self._decision.described() | kept,
            "processes": list(self._processes(results)),
        }

    def _processes(self, results: Sequence[TrialResult]) -> Iterator[Manifest]:
        """By store and point: how many there were, and at which rate one would be full.

        That rate follows from the CPU time of an operation, so it is an estimate.
        """
        asked = {
            (trial.store.key, point_key(trial.point)): trial.processes
            for trial in self._scenario.trials
        }
        for (key, point), wanted in asked.items():
            mine = [each for each in results if (each.key, each.point) == (key, point)]
            rows = [each.as_row() for each in mine if each.status == "done"]
            used = [Use.of(row) for row in rows if row.get("measured_s")]
            took = self._chosen.get((key, point))
            # A library's own work is in the process, too: no rate of the generator.
            served = all(row["provider"] != "none" for row in rows)
            full = [use.full_at_per_s for use in used if use.full_at_per_s and served]
            if used:
                yield {
                    "key": key,
                    "point": point,
                    "asked": wanted,
                    "processes": used[-1].processes,
                    "core_share": round(median(use.core_share for use in used), 3),
                    **({"one_is_full_at_per_s": round(median(full))} if full else {}),
                    **({"auto": took.described()} if took else {}),
                }


def foreseen(
    scenario: Scenario, catalogue: Catalogue, ways: Mapping[str, str], asked: Asked
) -> Decision:
    """What would be decided on this machine, with servers that are reached in these ways."""
    here = Machine.here()
    machine = replace(here, busy_cores=busy_cores(here) if ways else 0.0)
    return decided(asked, machine, ways, scenario, _libraries(scenario, catalogue))


def _libraries(scenario: Scenario, catalogue: Catalogue) -> list[str]:
    names = dict.fromkeys(trial.store.technology for trial in scenario.trials)
    return [name for name in names if catalogue.stores[name].server is None]

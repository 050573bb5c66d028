"""Rates that a run finds by itself before the trial that offers them: short trials, kept apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from harness.catalogue import Catalogue
from harness.outcome import Outcome
from harness.results import RunFolder
from harness.runner import rows
from harness.runner.opening import opening
from harness.runner.rows import Row
from harness.runner.searching import Found, highest_rate
from harness.runner.tables import read_columns
from harness.runner.trial import TrialRun
from harness.scenario.types import ClosedLoop, Objective, OpenLoop, Search, Trial, point_key
from harness.servers import Server
from harness.store import Endpoint

CAPACITY_S = 1.0
CAPACITY_WORKERS = (8, 32, 128)
WARM_UP_MAX_S = 0.5
START_SHARE = 0.5
"""Of the capacity, where a search begins: above that, queues are long by nature."""
MOST_SHARE = 2.0
"""Of the capacity, where it ends: no store holds more than it can do."""
NS_A_MS = 1e6
_FAILED = ("refused", "timeout", "unknown", "dropped", "unfinished")


class NoRate(Exception):
    """A probe could not be carried out, or nothing held; the message says which."""


@dataclass(slots=True)
class Prober:
    """Probes of one run: in namespaces of their own, and in a folder that goes away with it."""

    catalogue: Catalogue
    folder: RunFolder
    keep: Callable[[Row], None]
    """Takes a row of probes.parquet as soon as it is known."""
    note: Callable[[str], None]
    capacities: dict[tuple[str, str], float] = field(default_factory=dict)
    """Per second, by store and point; those that are not known yet are measured."""
    _numbers: count[int] = field(default_factory=lambda: count(1))

    async def settled(
        self, trial: Trial, endpoint: Endpoint, server: Server | None
    ) -> tuple[Trial, Row]:
        """The trial with a rate, and columns that say where that came from. Raises `NoRate`."""
        load = trial.load
        if not isinstance(load, OpenLoop) or not (load.of_capacity or load.search):
            return trial, {}
        self._require_base(trial)
        capacity_per_s = await self._capacity_per_s(trial, endpoint, server)
        row: Row = {
            "rate_found": "search" if load.search else "capacity",
            "capacity_per_s": capacity_per_s,
        }
        if load.of_capacity:
            rate_per_s: float | None = load.of_capacity * capacity_per_s
        else:
            assert load.search is not None
            found = await self._search(trial, load.search, capacity_per_s, endpoint, server)
            rate_per_s = found.rate_per_s
            row["failed_rate_per_s"] = found.failed_per_s
        if not rate_per_s:
            raise NoRate(f"no rate held: {load}")
        self.note(f"{trial.store.key}: {rate_per_s:,.0f}/s (capacity {capacity_per_s:,.0f}/s)")
        return replace(trial, load=replace(load, rate_per_s=rate_per_s)), row

    def _known(self, trial: Trial) -> tuple[str, str]:
        """Whose capacity it is. The sides of a pair share the base's: both get the same rate."""
        of_base = trial.side and isinstance(trial.load, OpenLoop) and trial.load.of_capacity
        return "" if of_base else trial.store.key, point_key(trial.point)

    def _require_base(self, trial: Trial) -> None:
        owner, point = self._known(trial)
        if not owner and trial.side == "candidate" and (owner, point) not in self.capacities:
            raise NoRate("the base's capacity could not be measured")

    async def _capacity_per_s(
        self, trial: Trial, endpoint: Endpoint, server: Server | None
    ) -> float:
        """The best of a few short closed loops; once a store and point."""
        known = self._known(trial)
        if known not in self.capacities:
            best_per_s = 0.0
            for workers in CAPACITY_WORKERS:
                probe = replace(trial, load=ClosedLoop(workers), duration_s=CAPACITY_S)
                row = await self._probe(probe, endpoint, server)
                self._keep(trial, row, purpose="capacity", workers=workers)
                best_per_s = max(best_per_s, row["throughput_per_s"])
            self.capacities[known] = best_per_s
        return self.capacities[known]

    async def _search(
        self,
        trial: Trial,
        search: Search,
        capacity_per_s: float,
        endpoint: Endpoint,
        server: Server | None,
    ) -> Found:
        async def holds(rate_per_s: float) -> bool:
            assert isinstance(trial.load, OpenLoop)
            load = replace(trial.load, rate_per_s=rate_per_s)
            probe = replace(trial, load=load, duration_s=search.probe_s)
            row = await self._probe(probe, endpoint, server, search.slo)
            held = bool(row.pop("held"))
            self._keep(trial, row, purpose="search", rate_per_s=rate_per_s, held=held)
            self.note(f"{trial.store.key}: {rate_per_s:,.0f}/s {'held' if held else 'not held'}")
            return held

        start_per_s, most_per_s = START_SHARE * capacity_per_s, MOST_SHARE * capacity_per_s
        return await highest_rate(holds, start_per_s, most_per_s)

    async def _probe(
        self,
        trial: Trial,
        endpoint: Endpoint,
        server: Server | None,
        slo: Objective | None = None,
    ) -> Row:
        """One short trial without verification; its counts, and whether the objective held."""
        trial = replace(
            trial,
            operations=None,
            warm_up_s=min(trial.warm_up_s, WARM_UP_MAX_S),
            verify=replace(trial.verify, enabled=False),
        )
        name = f"{endpoint.namespace}_p{next(self._numbers)}"
        how = opening(trial.store, self.catalogue, replace(endpoint, namespace=name))
        run = TrialRun(trial, how, self.catalogue, self.folder, server, watcher=None)
        finding = await run.run()
        if finding.measured is None:
            raise NoRate(f"probe: {finding.status}: {finding.message}")
        row = rows.measurement(trial, finding.measured, run.files)
        if slo is not None:
            row |= judged(run, row, slo)
        run.files.remove()
        return row

    def _keep(self, trial: Trial, row: Row, **about: object) -> None:
        kept = (
            "measured_s", "scheduled", "ok", "throughput_per_s", "response_p50_ns",
            "failed_share", "slow_share",
        )  # fmt: skip
        named = {"trial_id": trial.id, "key": trial.store.key}
        self.keep(named | about | {name: row.get(name) for name in kept})


def judged(run: TrialRun, row: Row, slo: Objective) -> Row:
    """Whether the objective held, counted: p99 ≤ x is that at most 1 % took longer than x.

    So it can be told from few operations, for which no percentile is ever shown.
    """
    samples = read_columns(run.files.samples, ("op", "intended_ns", "done_ns", "outcome"))
    ok = (samples["op"] >= 0) & (samples["outcome"] == Outcome.OK)
    response_ns = samples["done_ns"][ok] - samples["intended_ns"][ok]
    failed_share = sum(row[name] for name in _FAILED) / max(row["scheduled"], 1)
    limits = ((slo.p50_ms, 0.5), (slo.p99_ms, 0.01))
    shares = [(_slower(response_ns, limit), most) for limit, most in limits if limit is not None]
    fast = all(share <= most for share, most in shares)
    held = len(response_ns) > 0 and failed_share <= slo.errors and fast
    return {"held": held, "failed_share": failed_share, "slow_share": shares[-1][0]}


def _slower(response_ns: NDArray[np.int64], limit_ms: float) -> float:
    return float(np.mean(response_ns > limit_ms * NS_A_MS)) if len(response_ns) else 1.0

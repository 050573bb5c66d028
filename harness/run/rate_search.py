"""Rates that a run finds before the trial that offers them: a search over short trials."""

from __future__ import annotations

import math
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np

from harness.domain.store import Endpoint
from harness.domain.workload import Catalogue
from harness.results import RunFolder
from harness.run.session import store_factory
from harness.run.trial import TrialRun
from harness.run.trial_metrics import Row, TrialMetrics, trial_metrics
from harness.run.trial_result import RateSource
from harness.run.trial_samples import TrialSamples, Values
from harness.scenario.model import ClosedLoop, Objective, OpenLoop, Search, Trial, point_key
from harness.servers import Server

PRECISION = 1.1
"""The lowest rate that failed is at most this many times the answer."""
CONFIRMATIONS = 2
"""How often the answer must hold again, since one probe may hold by luck."""
RATE_MIN_PER_S = 1.0
PROBES_MAX = 40
_STRIDE = 2.0


@dataclass(frozen=True, slots=True)
class Probe:
    """One rate, and whether it held."""

    rate_per_s: float
    held: bool


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer lies between `rate_per_s`, which held, and `failed_per_s`, which did not.

    `rate_per_s` is `None` where nothing held, `failed_per_s` where nothing failed.
    """

    rate_per_s: float | None
    failed_per_s: float | None
    tried: tuple[Probe, ...]


async def highest_rate(
    holds: Callable[[float], Awaitable[bool]], start_per_s: float, most_per_s: float
) -> SearchResult:
    """Try rates with `holds`, from `start_per_s` on and never above `most_per_s`."""
    search = _Search(holds, most_per_s)
    await search.bracket(min(start_per_s, most_per_s))
    await search.bisect()
    while search.low is not None and not await search.confirmed():
        await search.step_down()
    return SearchResult(search.low, search.high, tuple(search.tried))


class _Search:
    def __init__(self, holds: Callable[[float], Awaitable[bool]], most_per_s: float) -> None:
        self._holds, self._most = holds, most_per_s
        self.low: float | None = None
        self.high: float | None = None
        self.tried: list[Probe] = []

    async def bracket(self, rate: float) -> None:
        """Grow while it holds, shrink while it does not, until both ends are known."""
        held = await self._try(rate)
        while held and rate < self._most:
            rate = min(rate * _STRIDE, self._most)
            held = await self._try(rate)
        while self.low is None and rate > RATE_MIN_PER_S:
            rate = max(rate / _STRIDE, RATE_MIN_PER_S)
            await self._try(rate)

    async def bisect(self) -> None:
        """Halve the bracket, in ratios, until it is narrow enough."""
        while self.low and self.high and self.high / self.low > PRECISION:
            await self._try(math.sqrt(self.low * self.high))

    async def confirmed(self) -> bool:
        """Whether the answer holds again, `CONFIRMATIONS` times in a row."""
        assert self.low is not None
        for _ in range(CONFIRMATIONS):
            if not await self._try(self.low):
                return False
        return True

    async def step_down(self) -> None:
        """After a rate that did not hold again, go to the next lower one that holds, if any."""
        while self.low is None and self.high is not None and len(self.tried) < PROBES_MAX:
            rate = self.high / PRECISION
            if rate < RATE_MIN_PER_S:
                return
            await self._try(rate)

    async def _try(self, rate: float) -> bool:
        held = await self._holds(rate)
        self.tried.append(Probe(rate, held))
        if held:
            self.low = max(rate, self.low or 0.0)
        else:
            self.high = min(rate, self.high or math.inf)
            if self.low is not None and self.low >= self.high:
                self.low = None
        return held


CAPACITY_S = 1.0
"""A capacity is not measured for longer than the trial that is offered a fraction of it."""
CAPACITY_WORKERS = (8, 32, 128)
WARM_UP_MAX_S = 0.5
START_SHARE = 0.5
"""Fraction of the capacity at which a search begins: above it, queues are always long."""
MOST_SHARE = 2.0
"""Fraction of the capacity at which it ends: no store sustains more than its capacity."""
NS_A_MS = 1e6


class NoRate(Exception):
    """A probe could not be carried out, or nothing held; the message says which."""


@dataclass(slots=True)
class Prober:
    """Probes of one run, in their own namespaces and in a folder that the run removes."""

    catalogue: Catalogue
    folder: RunFolder
    keep: Callable[[Row], None]
    """Takes a row of probes.parquet as soon as it is known."""
    note: Callable[[str], None]
    capacities: dict[tuple[str, str], float] = field(default_factory=dict)
    """Per second, by store and point; missing ones are measured."""
    _numbers: count[int] = field(default_factory=lambda: count(1))

    async def settled(
        self, trial: Trial, endpoint: Endpoint, server: Server | None
    ) -> tuple[Trial, RateSource | None]:
        """The trial with a rate, and the source of the rate. Raises `NoRate`."""
        load = trial.load
        if not isinstance(load, OpenLoop) or not (load.of_capacity or load.search):
            return trial, None
        self._require_base(trial)
        capacity_per_s = await self._capacity_per_s(trial, endpoint, server)
        if load.of_capacity:
            rate_per_s: float | None = load.of_capacity * capacity_per_s
            source = RateSource("capacity", capacity_per_s)
        else:
            assert load.search is not None
            searched = await self._search(trial, load.search, capacity_per_s, endpoint, server)
            rate_per_s = searched.rate_per_s
            source = RateSource("search", capacity_per_s, searched.failed_per_s)
        if not rate_per_s:
            raise NoRate(f"no rate held: {load}")
        self.note(f"{trial.store.key}: {rate_per_s:,.0f}/s (capacity {capacity_per_s:,.0f}/s)")
        return replace(trial, load=load.at_rate(rate_per_s)), source

    async def probed(self, trial: Trial, endpoint: Endpoint, server: Server | None) -> Row:
        """The row of one short trial of this load. Raises `NoRate`.

        The first, with one process, warms a fresh server up, which is slow until then.
        """
        probe = replace(trial, duration_s=CAPACITY_S)
        warm_up_max_s = math.inf if trial.processes == 1 else WARM_UP_MAX_S
        return await self._probe(probe, endpoint, server, warm_up_max_s=warm_up_max_s)

    def _known(self, trial: Trial) -> tuple[str, str]:
        """The key of the capacity. Both sides of a pair use the base's, and so the same rate."""
        of_base = trial.side and isinstance(trial.load, OpenLoop) and trial.load.of_capacity
        return "" if of_base else trial.store.key, point_key(trial.point)

    def _require_base(self, trial: Trial) -> None:
        owner, point = self._known(trial)
        if not owner and trial.side == "candidate" and (owner, point) not in self.capacities:
            raise NoRate("the base's capacity could not be measured")

    async def _capacity_per_s(
        self, trial: Trial, endpoint: Endpoint, server: Server | None
    ) -> float:
        """The best of a few short closed loops; measured once per store and point."""
        known = self._known(trial)
        if known not in self.capacities:
            best_per_s = 0.0
            duration_s = min(CAPACITY_S, trial.duration_s or CAPACITY_S)
            for workers in CAPACITY_WORKERS:
                probe = replace(trial, load=ClosedLoop(workers=workers), duration_s=duration_s)
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
    ) -> SearchResult:
        async def holds(rate_per_s: float) -> bool:
            assert isinstance(trial.load, OpenLoop)
            load = trial.load.at_rate(rate_per_s)
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
        warm_up_max_s: float = WARM_UP_MAX_S,
    ) -> Row:
        """One short trial without verification; its counts, and whether the objective held."""
        trial = replace(
            trial,
            operations=None,
            warm_up_s=min(trial.warm_up_s, warm_up_max_s),
            verify=None,
            faults=(),
        )
        name = f"{endpoint.namespace}_p{next(self._numbers)}"
        how = store_factory(trial.store, self.catalogue, replace(endpoint, namespace=name))
        run = TrialRun(trial, how, self.catalogue, self.folder, server, watcher=None)
        facts = await run.run()
        if facts.measured is None:
            raise NoRate(f"probe: {facts.status}: {facts.message}")
        samples = TrialSamples.read(
            trial.load, facts.measured.window, run.files, kept_max=sys.maxsize
        )
        metrics = trial_metrics(trial.load, facts.measured, samples, run.files)
        row = metrics.as_row()
        if slo is not None:
            row |= _compared(samples, metrics, slo)
        run.files.remove()
        return row

    def _keep(self, trial: Trial, row: Row, **about: object) -> None:
        kept = (
            "measured_s", "scheduled", "ok", "throughput_per_s", "response_p50_ns",
            "failed_share", "slow_share",
        )  # fmt: skip
        named = {"trial_id": trial.id, "key": trial.store.key}
        self.keep(named | about | {name: row.get(name) for name in kept})


def _compared(samples: TrialSamples, metrics: TrialMetrics, slo: Objective) -> Row:
    """Whether the objective held, counted: p99 ≤ x is that at most 1 % took longer than x.

    So few operations suffice, for which no percentile is ever shown.
    """
    response_ns = samples.answered_response_ns
    assert isinstance(response_ns, np.ndarray), "a search offers an open loop, and keeps its times"
    failed_share = metrics.failed / max(metrics.scheduled, 1)
    limits = ((slo.p50_ms, 0.5), (slo.p99_ms, 0.01))
    shares = [
        (_slower(response_ns, metrics.failed, limit), most)
        for limit, most in limits
        if limit is not None
    ]
    fast = all(share <= most for share, most in shares)
    held = metrics.ok > 0 and failed_share <= slo.errors and fast
    return {"held": held, "failed_share": failed_share, "slow_share": shares[-1][0]}


def _slower(response_ns: Values, failed: int, limit_ms: float) -> float:
    """The share of operations over the limit; what failed is slower than any."""
    slow = int(np.count_nonzero(response_ns > limit_ms * NS_A_MS)) + failed
    return slow / (len(response_ns) + failed) if len(response_ns) else 1.0

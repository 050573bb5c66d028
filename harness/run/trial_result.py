"""The results of a trial, and its row in trials.parquet as a typed value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Self

from harness.domain.durability import Durability, beyond, weakest
from harness.domain.faults import FaultKind
from harness.domain.placement import Placement
from harness.domain.store import Endpoint, Guarantees
from harness.load.coordinator import Measured
from harness.run.driver_costs import DriverPart
from harness.run.faults import Occurrence, hurt
from harness.run.sampling import Look
from harness.run.trial_metrics import Row, TrialMetrics
from harness.scenario.model import ClosedLoop, Scenario, Trial, point_key, point_label
from harness.verification import Kind, Verification, declared

_VIOLATIONS_LISTED = 20


@dataclass(frozen=True, slots=True)
class RuleCounts:
    """Rules of the workload's own that the log shows broken."""

    keeps_rules: bool
    rule_violations: int
    rules_broken: str

    @classmethod
    def of(cls, broken: Mapping[str, int], *, promised: bool) -> Self:
        """`broken` has a number for each rule."""
        return cls(promised, sum(broken.values()), json.dumps(dict(broken)))


@dataclass(slots=True)
class TrialFacts:
    """Results of a trial, filled in step by step; missing ones stay empty."""

    status: str = "done"
    message: str = ""
    started_at: str = ""
    guarantees: Guarantees | None = None
    durability: Durability | None = None
    """By the settings alone: what a crash of the server may lose. The place decides the rest."""
    loss_bound_s: float | None = None
    """How old an acknowledged append may be that a crash takes, where the settings say so."""
    oldest_lost_s: float = 0.0
    """The age, at the crash that took it, of the oldest acknowledged append that is lost."""
    emulator: str = ""
    """A sentence to show with every number, if the server is an emulator."""
    settings: dict[str, str] = field(default_factory=dict)
    measured: Measured | None = None
    looks: list[Look] = field(default_factory=list)
    verification: Verification | None = None
    verified: str = "off"
    compacted_bytes: int | None = None
    """Size of data and indexes after the store's own compaction."""
    server_killed: bool = False
    """The server was dead at the end and was started again."""
    faults: Sequence[Occurrence] = ()
    """What became of the trial's faults."""
    server_is_down: bool = False
    """A fault left it so that it does not start again."""
    rules: RuleCounts | None = None


@dataclass(frozen=True, slots=True)
class RateSource:
    """The source of an open loop's rate, if the run determined it."""

    rate_found: str
    """`search` or `capacity`."""
    capacity_per_s: float
    failed_rate_per_s: float | None = None
    """The lowest rate that did not hold in a search; `None` where all did."""

    def as_row(self) -> Row:
        """Cells of the trial's row; only a search has a rate that failed."""
        row: Row = {"rate_found": self.rate_found, "capacity_per_s": self.capacity_per_s}
        return row | ({"failed_rate_per_s": self.failed_rate_per_s} if self.is_search else {})

    @property
    def is_search(self) -> bool:
        """Whether the rate comes from a search."""
        return self.rate_found == "search"


@dataclass(frozen=True, slots=True)
class ViolationCounts:
    """Violations that verification counted."""

    violations: int
    declared_violations: int
    lost: int
    written_twice: int
    written_though_refused: int
    refused_though_written: int
    excused_violations: int
    first_violation: str
    violation_list: str
    unknown_written: int
    unknown_lost: int
    judged_reads: int | None
    stale_reads: int | None
    stale_p99_ns: float | None
    stale_max_ns: float | None

    @classmethod
    def of(
        cls,
        verification: Verification,
        guarantees: Guarantees,
        *,
        excused: frozenset[Kind] = frozenset(),
    ) -> Self:
        """Counted, and compared with what the store declares but for the `excused` kinds."""
        counts, examples = verification.counts, verification.violations
        broken = {kind: n for kind, n in counts.items() if declared(kind, guarantees)}
        allowed = sum(n for kind, n in broken.items() if kind in excused)
        reads = verification.staleness
        return cls(
            violations=sum(counts.values()),
            declared_violations=sum(broken.values()) - allowed,
            lost=counts.get(Kind.LOST, 0),
            written_twice=counts.get(Kind.DUPLICATED, 0) + counts.get(Kind.RETRY_DUPLICATED, 0),
            written_though_refused=counts.get(Kind.WRITTEN_THOUGH_REFUSED, 0),
            refused_though_written=verification.refused_though_written,
            excused_violations=allowed,
            first_violation=str(examples[0]) if examples else "",
            violation_list=json.dumps([str(each) for each in examples[:_VIOLATIONS_LISTED]]),
            unknown_written=verification.unknown_written,
            unknown_lost=verification.unknown_lost,
            judged_reads=reads.reads if reads else None,
            stale_reads=reads.stale if reads else None,
            stale_p99_ns=reads.p99_ns if reads else None,
            stale_max_ns=reads.max_ns if reads else None,
        )


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial by the names of its columns. Groups of columns that it lacks are `None`."""

    run: str
    scenario: str
    scenario_hash: str
    trial: int
    trial_id: str
    store: str
    variant: str
    options: str
    key: str
    workload: str
    load: str
    load_label: str
    workers: int
    rate_per_s: float | None
    point: str
    point_label: str
    repetition: int
    seed: str
    side: str
    rate_source: RateSource | None
    status: str
    message: str
    started_at: str
    durability: str
    guarantees: str
    emulator: str
    settings: str
    verified: str
    data_compacted_bytes: int | None
    violation_counts: ViolationCounts | None
    rule_counts: RuleCounts | None
    provider: str
    server_version: str
    added_rtt_ms: float | None
    generator_cores: str
    server_cores: str
    loop: str
    metrics: TrialMetrics | None
    driver: DriverPart | None = None
    valid: bool = False
    flags: str = "[]"

    def as_row(self) -> Row:
        """The cells of its row, without the columns that the trial lacks."""
        row: Row = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, (TrialMetrics, RateSource)):
                row |= value.as_row()
            elif isinstance(value, (ViolationCounts, RuleCounts, DriverPart)):
                row |= asdict(value)
            elif each.name not in _GROUPS:
                row[each.name] = value
        return row


_GROUPS = {"rate_source", "violation_counts", "rule_counts", "metrics", "driver"}


def trial_result(
    scenario: Scenario,
    trial: Trial,
    facts: TrialFacts,
    metrics: TrialMetrics | None,
    *,
    run: str,
    endpoint: Endpoint,
    has_server: bool,
    placement: Placement,
    place_allows: Durability,
    rate_source: RateSource | None,
    loop: str,
    driver: DriverPart | None = None,
) -> TrialResult:
    """All values of the trial, before its validity is judged.

    `place_allows` is the class that the store's data reaches at most where it lies.
    """
    load, guarantees = trial.load, facts.guarantees
    return TrialResult(
        run=run,
        scenario=scenario.name,
        scenario_hash=scenario.hash,
        trial=trial.number,
        trial_id=trial.id,
        store=trial.store.technology,
        variant=trial.store.variant,
        options=trial.store.options_text,
        key=trial.store.key,
        workload=trial.workload,
        load="closed" if isinstance(load, ClosedLoop) else "open",
        load_label=str(load),
        workers=load.workers if isinstance(load, ClosedLoop) else load.in_flight_max,
        rate_per_s=None if isinstance(load, ClosedLoop) else load.rate_per_s or 0.0,
        point=point_key(trial.point),
        point_label=point_label(trial.point),
        repetition=trial.repetition,
        seed=trial.seed,
        side=trial.side,
        rate_source=rate_source,
        status=facts.status,
        message=" ".join(facts.message.split()),  # a driver may say it in several lines
        started_at=facts.started_at,
        durability=str(weakest(facts.durability, place_allows)) if facts.durability else "",
        guarantees=json.dumps(asdict(guarantees)) if guarantees else "{}",
        emulator=facts.emulator,
        settings=json.dumps(facts.settings),
        verified=facts.verified,
        data_compacted_bytes=facts.compacted_bytes,
        violation_counts=violation_counts(facts),
        rule_counts=facts.rules,
        provider=endpoint.provider,
        server_version=endpoint.version,
        added_rtt_ms=trial.added_rtt_ms if has_server else None,
        generator_cores=placement.generator,
        server_cores=placement.server,
        loop=loop,
        metrics=metrics,
        driver=driver,
    )


_MAY_LOSE = frozenset({Durability.MEMORY, Durability.BOUNDED_LOSS, Durability.UNKNOWN})
_MAY_LOSE_WITH_POWER = _MAY_LOSE | {Durability.PROCESS_CRASH}
_A_LOSS = frozenset(
    {Kind.LOST, Kind.DUPLICATED, Kind.NOT_CONTIGUOUS, Kind.STREAM_READ_DIFFERS}
    | {Kind.DELIVERED_UNWRITTEN}
)
_AFTER_A_LOSS = _A_LOSS | {
    Kind.MISPLACED,
    Kind.SKIPPED,
    Kind.DELIVERED_TWICE,
    Kind.DELIVERED_OUT_OF_ORDER,
}
"""Versions and positions of what was lost are given to others: a reader goes past them."""


def violation_counts(facts: TrialFacts) -> ViolationCounts | None:
    """The violations, if the trial was verified.

    A server that died may lose what its durability class allows it to lose; an unknown class
    promises nothing. One that lost power may also lose what a class keeps in a crash alone.
    """
    if facts.verification is None or facts.guarantees is None:
        return None
    excused: frozenset[Kind] = frozenset()
    if may_lose(facts):
        excused = _AFTER_A_LOSS if facts.verification.counts.get(Kind.LOST) else _A_LOSS
    return ViolationCounts.of(facts.verification, facts.guarantees, excused=excused)


def may_lose(facts: TrialFacts) -> bool:
    """Whether the store's class allows what it lost, after what happened to its server."""
    happened = hurt(facts.faults)
    if loses_too_much(facts):
        return False
    if FaultKind.LOSE_POWER in happened and facts.durability in _MAY_LOSE_WITH_POWER:
        return True
    return bool(happened or facts.server_killed) and facts.durability in _MAY_LOSE


def loses_too_much(facts: TrialFacts) -> bool:
    """Whether a store with bounded loss lost something older than its bound."""
    bounded = facts.durability is Durability.BOUNDED_LOSS
    return bounded and beyond(facts.loss_bound_s, facts.oldest_lost_s)

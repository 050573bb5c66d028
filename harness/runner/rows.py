"""The row of a trial: counts, rates, percentiles, verdicts, from its files and its manifest."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from harness import costs
from harness.generator.conducting import Measured
from harness.generator.files import TrialFiles
from harness.generator.pacing import NS_A_SECOND
from harness.history import Verification, declared
from harness.outcome import Outcome
from harness.percentiles import percentiles
from harness.runner import billing
from harness.runner.checking import delivery_latencies_ns
from harness.runner.operations import Operations, Tally
from harness.runner.sampling import Look
from harness.runner.steadiness import Steadiness, steadiness
from harness.runner.tables import blocks, read_columns
from harness.scenario.types import ClosedLoop, Scenario, Trial, point_key, point_label
from harness.store import Durability, Guarantees

_PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
_ACKNOWLEDGED = ("op", "first", "count", "done_ns")

Row = dict[str, Any]


@dataclass(slots=True)
class Finding:
    """What became known of a trial, piece by piece; whatever is missing stays empty."""

    status: str = "done"
    message: str = ""
    started_at: str = ""
    guarantees: Guarantees | None = None
    durability: Durability | None = None
    settings: dict[str, str] = field(default_factory=dict)
    measured: Measured | None = None
    looks: list[Look] = field(default_factory=list)
    verification: Verification | None = None
    verified: str = "off"
    compacted_bytes: int | None = None
    """What data and indexes take after the store's own compaction."""
    server_killed: bool = False
    """The server was dead at the end and had to be started again."""


def identity(scenario: Scenario, trial: Trial, run: str) -> Row:
    """The keys of a trial: what was run, where it stands, how it was loaded."""
    load = trial.load
    closed = isinstance(load, ClosedLoop)
    return {
        "run": run,
        "scenario": scenario.name,
        "scenario_hash": scenario.hash,
        "trial": trial.number,
        "trial_id": trial.id,
        "store": trial.store.technology,
        "variant": trial.store.variant,
        "options": trial.store.options_text,
        "key": trial.store.key,
        "workload": trial.workload,
        "load": "closed" if closed else "open",
        "load_label": str(load),
        "workers": load.workers if isinstance(load, ClosedLoop) else load.in_flight_max,
        "rate_per_s": None if isinstance(load, ClosedLoop) else load.rate_per_s,
        "point": point_key(trial.point),
        "point_label": point_label(trial.point),
        "repetition": trial.repetition,
        "seed": trial.seed,
        "side": trial.side,
    }


def verdict(finding: Finding) -> Row:
    """Status, declarations, and what verification found."""
    guarantees = finding.guarantees
    row: Row = {
        "status": finding.status,
        "message": finding.message,
        "started_at": finding.started_at,
        "durability": str(finding.durability) if finding.durability else "",
        "guarantees": json.dumps(asdict(guarantees)) if guarantees else "{}",
        "emulator": guarantees.emulator if guarantees else "",
        "settings": json.dumps(finding.settings),
        "verified": finding.verified,
        "data_compacted_bytes": finding.compacted_bytes,
    }
    if finding.verification is not None and guarantees is not None:
        row |= _violations(finding.verification, _held_to(finding, guarantees))
    return row


def _held_to(finding: Finding, guarantees: Guarantees) -> Guarantees:
    """What was promised: a server that died may lose what its durability class says it may."""
    may_lose = finding.durability in (Durability.MEMORY, Durability.BOUNDED_LOSS)
    if finding.server_killed and may_lose:
        return replace(guarantees, append_only="none")
    return guarantees


def _violations(verification: Verification, guarantees: Guarantees) -> Row:
    counts = verification.counts
    promised = {kind: count for kind, count in counts.items() if declared(kind, guarantees)}
    return {
        "violations": sum(counts.values()),
        "declared_violations": sum(promised.values()),
        "first_violation": str(verification.violations[0]) if verification.violations else "",
        "violation_list": json.dumps([str(each) for each in verification.violations[:20]]),
        "unknown_written": verification.unknown_written,
        "unknown_lost": verification.unknown_lost,
    }


def measurement(trial: Trial, measured: Measured, files: TrialFiles) -> Row:
    """Counts, rates and percentiles of the measured operations."""
    operations = Operations(files.samples)
    tally = operations.tally()
    seconds = (measured.window.ended_ns - measured.window.started_ns) / NS_A_SECOND
    row: Row = {
        "measured_s": seconds,
        "processes": measured.processes,
        "busiest_worker_cpu_s": measured.busiest_cpu_s,
        "generator_cpu_s": measured.bill.used(costs.GENERATOR_CPU_S),
        "server_cpu_s": measured.bill.used(costs.SERVER_CPU_S),
        "pacer": measured.pacer if trial.load.__class__ is not ClosedLoop else "none (closed loop)",
        "refusals": json.dumps(measured.refusals),
    }
    row |= _counts(tally, measured.window.scheduled)
    row["throughput_per_s"] = row["ok"] / seconds
    row["events_per_s"] = row["events"] / seconds
    row |= billing.row(measured.bill, row["events"])
    row |= _attempts(tally, files)
    row |= _times(operations, open_loop=not isinstance(trial.load, ClosedLoop))
    row |= _steadiness(steadiness(trial.load, measured.window, operations))
    return row | _deliveries(files)


def _steadiness(found: Steadiness | None) -> Row:
    if found is None:
        return {"steady": None}
    return {"steady": found.after_s is not None, "steady_after_s": found.after_s}


def _counts(tally: Tally, scheduled: int) -> Row:
    counts: Row = {outcome.name.lower(): int(tally.ended[outcome]) for outcome in Outcome}
    return counts | {
        "scheduled": scheduled,
        "balanced": scheduled == int(tally.ended.sum()),
        "events": tally.events,
    }


def _attempts(tally: Tally, files: TrialFiles) -> Row:
    conflicts = 0
    for others in blocks(files.appends, ("op", "outcome")):
        conflicts += int(((others["op"] >= 0) & (others["outcome"] == Outcome.CONFLICT)).sum())
    return {"attempts": tally.attempts, "retries": tally.retries, "conflicts": conflicts}


def _times(operations: Operations, *, open_loop: bool) -> Row:
    row = _spread("service", operations.times_ns("done_ns", "sent_ns"))
    if not open_loop:
        return row
    row |= _spread("response", operations.times_ns("done_ns", "intended_ns"))
    for name, until, since in (
        ("dispatch", "dispatched_ns", "intended_ns"),
        ("queue", "sent_ns", "dispatched_ns"),
    ):
        p50, p99 = percentiles(operations.times_ns(until, since), (50, 99), reorder=True)
        row |= {f"{name}_delay_p50_ns": p50, f"{name}_delay_p99_ns": p99}
    return row


def _spread(name: str, values_ns: np.ndarray) -> Row:
    found = percentiles(values_ns, list(_PERCENTILES.values()), reorder=True)
    row: Row = {f"{name}_count": len(values_ns)}
    row |= {f"{name}_{label}_ns": value for label, value in zip(_PERCENTILES, found, strict=True)}
    row[f"{name}_max_ns"] = float(values_ns.max()) if len(values_ns) else None
    return row


def _deliveries(files: TrialFiles) -> Row:
    if not files.deliveries.exists():
        return {}
    samples = read_columns(files.samples, _ACKNOWLEDGED)
    deliveries = read_columns(files.deliveries, ("event", "handled_ns"))
    return _spread("delivery", delivery_latencies_ns(samples, deliveries))

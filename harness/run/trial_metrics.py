"""A trial's numbers: the columns of its row, its seconds and its histograms."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from harness.analysis.percentiles import STORED, percentiles
from harness.domain import costs
from harness.domain.outcome import Outcome
from harness.load.coordinator import Measured
from harness.load.pacing import NS_A_SECOND
from harness.load.trial_files import TrialFiles, blocks
from harness.results.hlog import Interval
from harness.results.sorted_rows import Scratch
from harness.run import event_costs
from harness.run.delivery_times import DeliveryTimes
from harness.run.fault_sightings import under_way
from harness.run.faults import Occurrence
from harness.run.long_trials import LongColumn
from harness.run.outages import outages
from harness.run.sampling import Look
from harness.run.steadiness import steadiness
from harness.run.trial_samples import TrialSamples, Values
from harness.scenario.model import Load, Trial

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spread:
    """Count, percentiles and maximum of times; a percentile is `None` with too few beyond it.

    Operations without an answer count as slower than any: a percentile among them is infinite.
    The maximum is no less than one of them has waited.
    """

    count: int
    p50_ns: float | None
    p90_ns: float | None
    p95_ns: float | None
    p99_ns: float | None
    p999_ns: float | None
    max_ns: float | None

    @classmethod
    def of(
        cls,
        values_ns: Values | LongColumn | DeliveryTimes,
        *,
        unanswered: int = 0,
        waited_ns: int = 0,
    ) -> Self:
        """Leaves the values in their order. `waited_ns` is the longest wait without an answer."""
        wanted = list(STORED.values())
        if isinstance(values_ns, LongColumn | DeliveryTimes):
            shown = values_ns.percentiles(wanted, unanswered=unanswered)
            longest_ns = values_ns.longest_ns
        else:
            shown = percentiles(values_ns, wanted, unanswered=unanswered)
            longest_ns = int(values_ns.max(initial=0))
        p50, p90, p95, p99, p999 = shown
        longest = float(max(longest_ns, waited_ns))
        found = len(values_ns) or waited_ns
        count = len(values_ns) + unanswered
        return cls(count, p50, p90, p95, p99, p999, longest if found else None)


@dataclass(frozen=True, slots=True)
class Delay:
    """Percentiles of a delay in an open loop."""

    delay_p50_ns: float | None
    delay_p99_ns: float | None

    @classmethod
    def of(cls, values_ns: Values | LongColumn) -> Self:
        """Reorders the values."""
        if isinstance(values_ns, LongColumn):
            p50, p99 = values_ns.percentiles((50, 99))
        else:
            p50, p99 = percentiles(values_ns, (50, 99), reorder=True)
        return cls(p50, p99)


@dataclass(frozen=True, slots=True)
class TrialMetrics:
    """Counts, rates and percentiles of the measured operations, by the names of their columns.

    `service` and the like stand for columns that begin with that name.
    """

    measured_s: float
    processes: int
    busiest_worker_cpu_s: float
    generator_cpu_s: float | None
    server_cpu_s: float | None
    pacer: str
    refusals: str
    failure_message: str
    ok: int
    conflict: int
    refused: int
    timeout: int
    unknown: int
    dropped: int
    unfinished: int
    scheduled: int
    balanced: bool
    events: int
    throughput_per_s: float
    events_per_s: float
    event_costs: Mapping[str, Any]
    attempts: int
    retries: int
    conflicts: int
    versioned_appends: int
    workload_counts: Mapping[str, int]
    service: Spread
    response: Spread | None
    dispatch: Delay | None
    queue: Delay | None
    steady: bool | None
    steady_after_s: float | None
    without_service_s: float
    longest_unanswered_s: float
    stalled_s: float
    server_restarted: bool
    delivery: Spread | None

    @property
    def failed(self) -> int:
        """Operations that ended neither well nor in a conflict."""
        return self.refused + self.timeout + self.unknown + self.dropped + self.unfinished

    def as_row(self) -> Row:
        """Cells of trials.parquet, without the columns that this kind of load does not have."""
        row: Row = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (Spread, Delay)):
                row |= {f"{field.name}_{name}": _finite(n) for name, n in asdict(value).items()}
            elif field.name in _MAPPINGS:
                row |= value
            elif field.name == "steady_after_s":
                row |= {} if self.steady is None else {field.name: value}
            elif field.name not in _OPTIONAL or value is not None:
                row[field.name] = value
        return row


def _finite(value: float | None) -> float | None:
    """A run folder holds no infinite numbers; `analysis.percentiles.stored_time` knows them."""
    return None if value is None or math.isinf(value) else value


_MAPPINGS = {"event_costs", "workload_counts"}
_OPTIONAL = {"response", "dispatch", "queue", "delivery"}


def trial_metrics(
    load: Load, measured: Measured, samples: TrialSamples, files: TrialFiles
) -> TrialMetrics:
    """Compute all numbers of a trial."""
    window, done = measured.window, samples.completions
    seconds = (window.ended_ns - window.started_ns) / NS_A_SECOND
    steady = steadiness(load, window.started_ns, done)
    ended = {
        outcome.name.lower(): int(samples.ended[outcome])
        for outcome in Outcome
        if outcome is not Outcome.FOUND  # of appends alone
    }
    is_open = samples.is_open
    failures = sorted(measured.failures.items(), key=lambda each: -each[1].count)
    out_of_service = outages(samples.service, window, files)
    return TrialMetrics(
        measured_s=seconds,
        processes=measured.processes,
        busiest_worker_cpu_s=measured.busiest_cpu_s,
        generator_cpu_s=measured.usage.used(costs.GENERATOR_CPU_S),
        server_cpu_s=measured.usage.used(costs.SERVER_CPU_S),
        pacer=measured.pacer if is_open else "none (closed loop)",
        refusals=json.dumps({name: each.count for name, each in failures}),
        failure_message=f"{failures[0][0]}: {failures[0][1].message}" if failures else "",
        **ended,
        scheduled=window.scheduled,
        balanced=window.scheduled == int(samples.ended.sum()),
        events=samples.events,
        throughput_per_s=ended["ok"] / seconds,
        events_per_s=samples.events / seconds,
        event_costs=event_costs.row(measured.usage, samples.events),
        attempts=samples.attempts,
        retries=samples.retries,
        conflicts=_conflicts(files),
        versioned_appends=samples.versioned,
        workload_counts={name: round(count) for name, count in measured.counts.items()},
        service=Spread.of(done.service_ns.values, waited_ns=samples.unanswered.service_ns),
        response=_response(samples),
        dispatch=Delay.of(samples.dispatch_delay_ns.values) if is_open else None,
        queue=Delay.of(samples.queue_delay_ns.values) if is_open else None,
        steady=None if steady is None else steady.after_s is not None,
        steady_after_s=None if steady is None else steady.after_s,
        without_service_s=sum(to_ns - from_ns for from_ns, to_ns in out_of_service) / NS_A_SECOND,
        longest_unanswered_s=samples.unanswered.longest_ns / NS_A_SECOND,
        stalled_s=measured.stalled_ns / NS_A_SECOND,
        server_restarted=measured.usage.server_restarted,
        delivery=_delivery(files),
    )


def _response(samples: TrialSamples) -> Spread | None:
    """Of everybody whom an open loop offered: what failed took longer than any answer."""
    answered = samples.answered_response_ns
    if answered is None:
        return None
    return Spread.of(
        answered,
        unanswered=int(samples.ended.sum()) - len(answered),
        waited_ns=samples.unanswered.response_ns,
    )


def _conflicts(files: TrialFiles) -> int:
    """Attempts that ended in a conflict, which are not in the operations' own rows."""
    conflicts = 0
    for others in blocks(files.appends, ("op", "outcome")):
        conflicts += int(((others["op"] >= 0) & (others["outcome"] == Outcome.CONFLICT)).sum())
    return conflicts


def _delivery(files: TrialFiles) -> Spread | None:
    if not files.deliveries.exists():
        return None
    with Scratch(files.deliveries.parent) as scratch:
        return Spread.of(DeliveryTimes.of(files, scratch))


def interval_rows(
    trial: Trial,
    samples: TrialSamples,
    looks: Sequence[Look],
    faults: Sequence[Occurrence] = (),
) -> Iterator[Row]:
    """A row for each second of the measurement, with the sampler's values."""
    curves, seconds, done = _curves(looks), samples.seconds, samples.completions
    services = done.split(seconds.edges_ns, done.service_ns)
    for number, service_ns in enumerate(services):
        from_ns, to_ns = seconds.bounds_ns[number : number + 2]
        ended = seconds.ended[number]
        p50, p99 = percentiles(service_ns, (50, 99))
        yield {
            "trial_id": trial.id,
            "key": trial.store.key,
            "second": number,
            "length_s": (to_ns - from_ns) / NS_A_SECOND,
            "ok": int(ended[Outcome.OK]),
            "conflict": int(ended[Outcome.CONFLICT]),
            "failed": int(ended.sum() - ended[Outcome.OK] - ended[Outcome.CONFLICT]),
            "in_flight": int(seconds.in_flight[number]),
            "service_p50_ns": p50,
            "service_p99_ns": p99,
            "service_max_ns": float(service_ns.max()) if len(service_ns) else None,
            "fault": under_way(faults, from_ns, to_ns),
            **_resources(curves, from_ns, to_ns),
        }


def histograms(trial: Trial, samples: TrialSamples) -> Iterator[Interval]:
    """Times of operations that ended well, by the second in which they ended.

    Open loads have response times as well. A second in which nothing ended is empty.
    """
    done, window = samples.completions, samples.window
    columns = {"service": done.service_ns}
    if done.response_ns is not None:
        columns["response"] = done.response_ns
    starts_ns = range(window.started_ns, window.ended_ns, NS_A_SECOND)
    clock_s = time.time() - time.monotonic_ns() / NS_A_SECOND
    for name, column in columns.items():
        values = done.split(starts_ns[1:], column)
        for start_ns, values_ns in zip(starts_ns, values, strict=True):
            length_ns = min(NS_A_SECOND, window.ended_ns - start_ns)
            started_s, length_s = clock_s + start_ns / NS_A_SECOND, length_ns / NS_A_SECOND
            wide = values_ns.astype(np.int64)
            yield Interval(f"{trial.id}-{name}", started_s, length_s, wide)


Curve = Callable[[float], float | None]


def _resources(curves: dict[str, Curve], from_ns: int, to_ns: int) -> Row:
    row: Row = {}
    for name in ("generator_cpu_s", "server_cpu_s"):
        before, after = curves[name](from_ns), curves[name](to_ns)
        row[name] = None if before is None or after is None or after < before else after - before
    for name in ("server_memory_bytes", "server_disk_bytes"):
        value = curves[name](to_ns)
        row[name] = None if value is None else round(value)
    return row


def _curves(looks: Sequence[Look]) -> dict[str, Curve]:
    """Each quantity over time, interpolated between two readings."""
    values: dict[str, list[float | int | None]] = {
        "generator_cpu_s": [look.generator_cpu_s for look in looks],
        "server_cpu_s": [look.server.cpu_s for look in looks],
        "server_memory_bytes": [look.server.memory_bytes for look in looks],
        "server_disk_bytes": [look.server.disk_bytes for look in looks],
    }
    at_ns = np.array([look.at_ns for look in looks], dtype=float)
    return {name: _curve(at_ns, heights) for name, heights in values.items()}


def _curve(at_ns: NDArray[np.float64], values: Sequence[float | int | None]) -> Curve:
    if not values or any(value is None for value in values):
        return lambda _: None
    heights = np.array(values, dtype=float)
    return lambda ns: float(np.interp(ns, at_ns, heights))

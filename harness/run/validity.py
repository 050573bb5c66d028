"""Whether a trial counts, and which flags stand beside its numbers."""

from __future__ import annotations

import json
from collections import Counter

from harness.domain import costs
from harness.domain.flags import Flag, FlagCode, sentence
from harness.run import event_costs
from harness.run.trial_metrics import Row
from harness.scenario.model import OpenLoop, Trial

BUSY_SHARE = 0.8
DRIVER_SHARE = 0.5
"""Of a client's CPU: above it, a lab that cost nothing would not halve it."""
CEILING_SHARE = 0.5
LATE_SHARE = 0.1
ACHIEVED_MIN = 0.99
ERRORS_MAX = 0.001
REPETITIONS_MIN = 5
PRESSURE_MAX = 10.0
"""Percent of the last ten seconds in which any task waited for a CPU."""
STEAL_MAX = 0.01
"""Of all CPU time during the run."""
DRIFT_MAX = 0.05
"""Of the generator's own rate, from the beginning of a run to its end."""
_CAUSES_MAX = 3
OVERRUN_MIN_S = 1.0
_UNANSWERED = ("timeout", "unknown", "unfinished")
_ERRORS = ("refused", "timeout", "unknown", "dropped", "unfinished")


def is_valid(row: Row) -> bool:
    """Whether the trial is finished, balanced, kept what is promised, and had a success."""
    return bool(
        row["status"] == "done"
        and row.get("balanced")
        and row.get("ok")
        and row["verified"] != "failed"
        and not row.get("declared_violations")
        and not _broken_promise(row)
    )


def message(row: Row) -> str:
    """The trial's own message, or why one that ran to its end had no success."""
    if row["message"] or row["status"] != "done":
        return str(row["message"])
    if _broken_promise(row):
        broken = sentence([Flag(FlagCode.RULES_BROKEN, _rules_broken(row))])
        return f"{broken}, which the design protects"
    if row.get("ok", 1):
        return ""
    counts = {name: row[name] for name in ("conflict", *_ERRORS) if row[name]}
    ended = ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none was offered"
    return f"no operation succeeded: {ended}; {row['failure_message']}".rstrip("; ")


def verified(row: Row) -> str:
    """`invalid` where a declared guarantee failed, else the result of verification."""
    return "invalid" if row.get("declared_violations") else str(row["verified"])


def flags(trial: Trial, row: Row, ceiling_per_s: float) -> list[Flag]:
    """Flags of one trial. `ceiling_per_s` is the generator's rate without a store."""
    if "scheduled" not in row:
        return []
    candidates = [
        (not row["balanced"], Flag(FlagCode.UNBALANCED)),
        (_is_generator_bound(row, ceiling_per_s), _limit(row)),
        (_is_driver_bound(row), Flag(FlagCode.DRIVER_BOUND, {"share": _driver_share(row)})),
        (_errors(row) > ERRORS_MAX, Flag(FlagCode.OPERATIONS_FAILED, {"share": _errors(row)})),
        *((_errors(row) > ERRORS_MAX, flag) for flag in _causes(row)),
        (row.get("steady") is False, Flag(FlagCode.NEVER_STEADY)),
        (
            row.get("steady") is not False and bool(row.get("steady_after_s")),
            Flag(FlagCode.STEADY_LATE, {"after_s": row.get("steady_after_s") or 0.0}),
        ),
        (_short_of_target(trial, row), Flag(FlagCode.BELOW_TARGET)),
        (bool(row.get("declared_violations")), Flag(FlagCode.GUARANTEE_BROKEN)),
        (
            row["verified"] == "findings",
            Flag(FlagCode.FINDINGS, {"count": row.get("violations") or 0}),
        ),
        (
            bool(row.get("stale_reads")),
            Flag(
                FlagCode.STALE_READS,
                {
                    "stale": row.get("stale_reads") or 0,
                    "reads": row.get("judged_reads") or 0,
                    "longest_s": (row.get("stale_max_ns") or 0) / 1e9,
                },
            ),
        ),
        (
            bool(row.get("rule_violations")) and not _broken_promise(row),
            Flag(FlagCode.RULES_BROKEN, _rules_broken(row)),
        ),
        (bool(_units(row)), Flag(FlagCode.UNITS, _units(row))),
        (row.get("rate_found") == "search", Flag(FlagCode.SEARCHED, _rates(row))),
        *_interruptions(trial, row),
    ]
    return [*trial.fitting, *(flag for holds, flag in candidates if holds)]


def _interruptions(trial: Trial, row: Row) -> list[tuple[bool, Flag]]:
    """What a mean or a percentile would hide: a time without service, a stall, a restart."""
    measured_s, asked_s = row["measured_s"], trial.duration_s
    silent_s, stalled_s = row.get("without_service_s") or 0.0, row.get("stalled_s") or 0.0
    unanswered = sum(row[name] for name in _UNANSWERED)
    longest_s, reset = row.get("longest_unanswered_s") or 0.0, row.get("counts_reset") or ""
    return [
        (
            silent_s > 0,
            Flag(FlagCode.WITHOUT_SERVICE, {"seconds": silent_s, "of_s": measured_s}),
        ),
        (
            unanswered > 0,
            Flag(FlagCode.UNANSWERED, {"count": unanswered, "longest_s": longest_s}),
        ),
        (bool(row.get("unknown_attempts")), Flag(FlagCode.IN_DOUBT, _doubts(row))),
        (
            asked_s is not None and measured_s > asked_s + OVERRUN_MIN_S,
            Flag(FlagCode.OVERRAN, {"measured_s": measured_s, "asked_s": asked_s or 0.0}),
        ),
        (bool(row.get("server_restarted")), Flag(FlagCode.SERVER_RESTARTED)),
        (stalled_s > 0, Flag(FlagCode.LAB_STALLED, {"seconds": stalled_s, "of_s": measured_s})),
        (bool(reset), Flag(FlagCode.COUNTS_RESET, {"counts": reset.replace("_", " ")})),
    ]


def _doubts(row: Row) -> dict[str, int]:
    """What became of appends without an answer, of clients that go on after them."""
    names = ("unknown_attempts", "settled_by_answer", "settled_by_reading", "settled_by_conflict")
    return {name: row.get(name) or 0 for name in (*names, "given_up")}


def run_flags(repetitions: int, environment: Row, commit: Row) -> list[Flag]:
    """Flags of a whole run that are known at its beginning."""
    pressure = environment.get("pressure", {})
    candidates = [
        (
            repetitions < REPETITIONS_MIN,
            Flag(FlagCode.FEW_REPETITIONS, {"minimum": REPETITIONS_MIN}),
        ),
        (bool(commit.get("dirty")), Flag(FlagCode.DIRTY_TREE)),
        (bool(environment.get("swap_used_bytes")), Flag(FlagCode.SWAPPING)),
        (pressure.get("cpu", 0.0) > PRESSURE_MAX, Flag(FlagCode.BUSY_MACHINE)),
    ]
    return [flag for holds, flag in candidates if holds]


def neighbour_flags(neighbours: Row) -> list[Flag]:
    """Flags that are known only at the end of a run. Pressure is then mostly the run's own."""
    stolen = neighbours.get("steal_share", 0.0)
    return [Flag(FlagCode.STOLEN_CPU)] if stolen > STEAL_MAX else []


def drift_flags(before_per_s: float, after_per_s: float) -> list[Flag]:
    """A flag if the generator's rate without a store changed over the run."""
    drift = after_per_s / before_per_s - 1 if before_per_s else 0.0
    direction = "faster" if drift > 0 else "slower"
    flag = Flag(FlagCode.DRIFT, {"share": abs(drift), "direction": direction})
    return [flag] if abs(drift) > DRIFT_MAX else []


def _is_generator_bound(row: Row, ceiling_per_s: float) -> bool:
    """Over a share of one core, over half of its ceiling, or late by a large share of its times.

    Core and ceiling are those of one worker process; the busiest counts.
    """
    late_ns, response_ns = row.get("dispatch_delay_p50_ns"), row.get("response_p50_ns")
    return (
        _share(row["busiest_worker_cpu_s"], row["measured_s"]) > BUSY_SHARE
        or row["throughput_per_s"] > CEILING_SHARE * ceiling_per_s * row["processes"]
        or (late_ns is not None and late_ns > LATE_SHARE * (response_ns or 0.0))
    )


def _is_driver_bound(row: Row) -> bool:
    """A busy client whose driver takes the larger part of it.

    An in-process store is its own driver, and shares its core with the generator.
    """
    busy = _share(row["busiest_worker_cpu_s"], row["measured_s"]) > BUSY_SHARE
    return busy and _driver_share(row) > DRIVER_SHARE and row["provider"] != "none"


def _driver_share(row: Row) -> float:
    return row.get("driver_share") or 0.0


def _causes(row: Row) -> list[Flag]:
    """A flag for each of the most frequent classes of error."""
    counts = Counter(json.loads(row.get("refusals") or "{}"))
    return [
        Flag(FlagCode.FAILED_WITH, {"reason": reason, "count": count})
        for reason, count in counts.most_common(_CAUSES_MAX)
    ]


def _units(row: Row) -> dict[str, float]:
    """Billed units per event; includes reads of the same window."""
    units = {name: row.get(event_costs.EACH[name]) for name in sorted(costs.BILLED)}
    return {name: n for name, n in units.items() if n}


def _broken_promise(row: Row) -> bool:
    """Whether the log shows a rule broken that the workload's design promises to keep."""
    return bool(row.get("keeps_rules") and row.get("rule_violations"))


def _rules_broken(row: Row) -> dict[str, float]:
    """How often, by rule."""
    counts = json.loads(row.get("rules_broken") or "{}")
    return {str(rule): int(count) for rule, count in counts.items()}


def _rates(row: Row) -> dict[str, float]:
    """The rates between which the answer of a search lies."""
    failed_per_s = row.get("failed_rate_per_s")
    above = {"failed_rate_per_s": failed_per_s} if failed_per_s else {}
    return {"rate_per_s": row.get("rate_per_s") or 0.0, **above}


def _limit(row: Row) -> Flag:
    """The flag of a busy generator; an in-process store works in the generator's process."""
    in_process = row["provider"] == "none"
    return Flag(FlagCode.SHARED_CORE if in_process else FlagCode.GENERATOR_BOUND)


def _errors(row: Row) -> float:
    return _share(sum(row[name] for name in _ERRORS), row["scheduled"])


def _short_of_target(trial: Trial, row: Row) -> bool:
    if not isinstance(trial.load, OpenLoop) or trial.duration_s is None:
        return False
    finished = row["scheduled"] - row["dropped"] - row["unfinished"]
    return _share(finished, row["measured_s"]) < ACHIEVED_MIN * _share(
        row["scheduled"], trial.duration_s
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0

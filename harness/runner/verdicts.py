"""What is to be said beside a trial's numbers, in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from harness import costs
from harness.runner import billing
from harness.runner.rows import Row
from harness.scenario.types import OpenLoop, Trial

BUSY_SHARE = 0.8
CEILING_SHARE = 0.5
LATE_SHARE = 0.1
ACHIEVED_MIN = 0.99
ERRORS_MAX = 0.001
REPETITIONS_MIN = 5
PRESSURE_MAX = 10.0
"""Percent of the last ten seconds in which something waited for a CPU."""
STEAL_MAX = 0.01
"""Of all CPU time during the run."""
DRIFT_MAX = 0.05
"""Of the generator's own rate, from the beginning of a run to its end."""
_ERRORS = ("refused", "timeout", "unknown", "dropped", "unfinished")


def is_valid(row: Row) -> bool:
    """Finished, balanced, and nothing found that the variant promises not to do."""
    return bool(
        row["status"] == "done"
        and row.get("balanced")
        and row["verified"] != "failed"
        and not row.get("declared_violations")
    )


def verified(row: Row) -> str:
    """`invalid` where a declared guarantee failed, else what verification itself said."""
    return "invalid" if row.get("declared_violations") else str(row["verified"])


def flags(trial: Trial, row: Row, ceiling_per_s: float) -> list[str]:
    """Verdict flags of one trial. `ceiling_per_s` is what the generator reached on nothing."""
    if "scheduled" not in row:
        return []
    found = [
        (not row["balanced"], "accounting does not balance"),
        (_is_generator_bound(row, ceiling_per_s), _busy(row)),
        (_errors(row) > ERRORS_MAX, f"{_errors(row):.1%} of operations failed"),
        (bool(_unsteady(row)), f"warm-up not steady: {_unsteady(row)}"),
        (_short_of_target(trial, row), "achieved under 99 % of the target rate"),
        (bool(row.get("declared_violations")), "broke a declared guarantee"),
        (row["verified"] == "findings", f"{row.get('violations')} findings in what it kept"),
        (bool(_units(row)), f"consumed an event: {', '.join(_units(row))}"),
        (row.get("rate_found") == "search", _held(row)),
    ]
    return [text for holds, text in found if holds]


def run_flags(repetitions: int, environment: Row, commit: Row) -> list[str]:
    """Verdict flags of a whole run."""
    pressure = environment.get("pressure", {})
    found: Sequence[tuple[bool, str]] = [
        (repetitions < REPETITIONS_MIN, f"fewer than {REPETITIONS_MIN} repetitions"),
        (bool(commit.get("dirty")), "uncommitted changes in the lab's own tree"),
        (bool(environment.get("swap_used_bytes")), "the machine was swapping"),
        (pressure.get("cpu", 0.0) > PRESSURE_MAX, "the machine was busy with something else"),
    ]
    return [text for holds, text in found if holds]


def neighbour_flags(neighbours: Row) -> list[str]:
    """What is known only at the end of a run. Pressure then is mostly the run's own."""
    stolen = neighbours.get("steal_share", 0.0)
    return ["the hypervisor took CPU time away"] if stolen > STEAL_MAX else []


def drift_flags(before_per_s: float, after_per_s: float) -> list[str]:
    """Where the generator, on nothing, is not as fast at the end of a run as at its beginning."""
    drift = after_per_s / before_per_s - 1 if before_per_s else 0.0
    told = f"the machine became {abs(drift):.0%} {'faster' if drift > 0 else 'slower'}"
    return [f"{told} during the run"] if abs(drift) > DRIFT_MAX else []


def _is_generator_bound(row: Row, ceiling_per_s: float) -> bool:
    """Over a share of one core, over half of its ceiling, or late by much of what it measures.

    Core and ceiling are those of one worker process; the busiest counts.
    """
    late_ns, response_ns = row.get("dispatch_delay_p50_ns"), row.get("response_p50_ns")
    return (
        _share(row["busiest_worker_cpu_s"], row["measured_s"]) > BUSY_SHARE
        or row["throughput_per_s"] > CEILING_SHARE * ceiling_per_s * row["processes"]
        or (late_ns is not None and late_ns > LATE_SHARE * (response_ns or 0.0))
    )


def _unsteady(row: Row) -> str:
    """What is wrong with the warm-up; empty where nothing is, or nothing can be told."""
    if row.get("steady") is False:
        return "the trial never became so"
    after_s = row.get("steady_after_s")
    return f"it went on for {after_s:.1f} s into the measurement" if after_s else ""


def _units(row: Row) -> list[str]:
    """What an event costs where use is billed; reads of the same window are part of it."""
    found = {name: row.get(billing.EACH[name]) for name in sorted(costs.BILLED)}
    return [f"{n:.2f} {name.replace('_', ' ')}" for name, n in found.items() if n]


def _held(row: Row) -> str:
    """Between which rates the answer of a search lies."""
    failed_per_s = row.get("failed_rate_per_s")
    above = f"{failed_per_s:,.0f}/s did not" if failed_per_s else "none above was tried"
    return f"held {row.get('rate_per_s') or 0.0:,.0f}/s; {above}"


def _busy(row: Row) -> str:
    """An in-process store's own work cannot be told from the generator's."""
    in_process = row["provider"] == "none"
    return "a whole core for store and generator" if in_process else "generator-bound"


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

"""Whether a store keeps up with a rate, and in time at it: from the open loads of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness import words
from harness.summary.answers import FAIL, PASS, UNKNOWN, Answer
from harness.summary.ranking import that_count

_KEPT_UP = 0.99
"""A rate is kept up with where at least this much of it was reached."""
_LUCK = 3.0
"""So many standard deviations of a Poisson count are no shortfall: fewer were scheduled."""
_SHORT = "achieved under"
"""In the flag of a trial that did not keep up; the run knows how much was scheduled, and when."""
_ERRORS = 0.001
_FAILED = ["refused", "timeout", "unknown", "dropped", "unfinished"]
_NS_A_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Level:
    """One offered rate: whether all its trials were fine, none, or neither (None)."""

    rate_per_s: float
    fine: bool | None
    told: str


def at_rate(trials: pd.DataFrame, require: Mapping[str, Any]) -> Iterator[tuple[str, Answer]]:
    """The rate itself, then each response time that is limited at it.

    What holds at a higher rate holds at this one; what fails at a lower one fails at this one.
    """
    rate_per_s = float(require["at_rate_per_s"])
    errors = float(require.get("errors", _ERRORS))
    counted = that_count(trials)
    yield f"keeps up with {words.rate(rate_per_s)}", _rate(counted, rate_per_s, errors)
    for name in ("p50", "p99"):
        limit_ms = require.get(f"{name}_ms")
        if limit_ms is not None:
            told = f"{name} ≤ {limit_ms:g} ms at {words.rate(rate_per_s)}"
            yield told, _time(counted, name, float(limit_ms), rate_per_s)


def _rate(counted: pd.DataFrame, rate_per_s: float, errors: float) -> Answer:
    levels = _levels(counted, lambda trials: _kept_up(trials, errors))
    missed = counted[counted["failed_rate_per_s"].notna()]
    levels += [_Level(float(each), fine=False, told="the search said so")
               for each in missed["failed_rate_per_s"].unique()]  # fmt: skip
    closed = counted.loc[counted["load"] == "closed", "throughput_per_s"]
    reached = f"; closed loops reached {words.rate(closed.max())}" if len(closed) else ""
    return _judged(levels, rate_per_s, without=f"no open load offered that much{reached}")


def _kept_up(trials: pd.DataFrame, errors: float) -> tuple[list[bool | None], str]:
    reached = trials["throughput_per_s"] / trials["rate_per_s"]
    luck = _LUCK / trials["scheduled"].astype("float64") ** 0.5
    failed = trials[_FAILED].sum(axis=1) / trials["scheduled"]
    short = trials["flags"].str.contains(_SHORT, regex=False)
    fine = (reached >= _KEPT_UP - luck) & ~short & (failed <= errors)
    told = f"reached {words.rate(trials['throughput_per_s'].min())}"
    told += f", {words.percent(failed.max())} failed" if failed.max() > errors else ""
    return [bool(each) for each in fine], told


def _time(counted: pd.DataFrame, name: str, limit_ms: float, rate_per_s: float) -> Answer:
    column = f"response_{name}_ns"
    levels = _levels(counted, lambda trials: _in_time(trials[column], limit_ms))
    without = "no open load offered that much, and closed loops have no response time"
    return _judged(levels, rate_per_s, without=without)


def _in_time(times_ns: pd.Series, limit_ms: float) -> tuple[list[bool | None], str]:
    if times_ns.isna().any():
        return [None], "too few operations for that percentile: measure for longer"
    fine = [bool(ns <= limit_ms * _NS_A_MS) for ns in times_ns]
    return [*fine], f"{words.duration(float(times_ns.max()))} in the worst of {len(fine)}"


def _levels(
    counted: pd.DataFrame, judge: Callable[[pd.DataFrame], tuple[list[bool | None], str]]
) -> list[_Level]:
    """A level a rate that open trials were given, from the lowest."""
    found = []
    for rate_per_s, trials in counted[counted["load"] == "open"].groupby("rate_per_s"):
        fine, told = judge(trials)
        agreed = fine[0] if len(set(fine)) == 1 else None
        mixed = f"{fine.count(True)} of {len(fine)} trials held it: " if len(set(fine)) > 1 else ""
        found.append(_Level(float(str(rate_per_s)), agreed, mixed + told))
    return found


def _judged(levels: list[_Level], rate_per_s: float, *, without: str) -> Answer:
    above = [level for level in levels if level.rate_per_s >= rate_per_s]
    below = [level for level in levels if level.rate_per_s <= rate_per_s]
    for status, found in (
        (PASS, [level for level in above if level.fine is True]),
        (FAIL, [level for level in reversed(below) if level.fine is False]),
        (UNKNOWN, above),
    ):
        if found:
            return Answer(status, f"at {words.rate(found[0].rate_per_s)}: {found[0].told}")
    return Answer(UNKNOWN, without)

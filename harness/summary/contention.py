"""Goodput, conflicts and retries against whatever the scenario varied to make streams contended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from harness.summary.ranking import unranked_reason

Point = Mapping[str, object]

_KEPT = [
    "scenario", "workload", "load_label", "durability", "key", "repetition", "status", "valid",
    "flags", "violations",
]  # fmt: skip
_ALIKE = ["scenario", "workload", "load", "durability"]
_FINISHED = ["ok", "conflict", "refused", "timeout", "unknown"]
FALLING = {"streams.count"}
"""Varied names whose smaller values mean more contention."""


def has_contention(trials: pd.DataFrame) -> bool:
    """Whether a run can say anything about contention: commands ran, or something conflicted."""
    conflicted = trials["conflicts"].fillna(0) + trials["retries"].fillna(0) > 0
    return bool((conflicted | (trials["workload"] == "command")).any())


def contention(trials: pd.DataFrame) -> pd.DataFrame:
    """A row a trial: `goodput_per_s` and, an operation, conflicts, retries and refusals.

    These are `conflicts_per_op`, `retries_per_op` and `refused_per_op`. An operation is a logical
    one, its retries inside it. `x_name` is the varied name with the most values, `x_label` the
    value here and `x` its place in the order of rising contention; `panel` says what else was
    varied. A trial that does not count has a `reason`, and one that is not done has no numbers:
    unsupported is not zero conflicts. A design that has no conflicts of its own may show up under
    refusals instead: there its database said no, and nobody retried.
    """
    points = [json.loads(point) for point in trials["point"]]
    name = _varied_most(points)
    operations = trials[_FINISHED].sum(axis=1, min_count=1).astype("Float64")
    operations = operations.where(operations > 0)
    order = _order(points, name)
    return trials[_KEPT].assign(
        x_name=name,
        x=[order[_value(point, name)] for point in points],
        x_label=[_value(point, name) for point in points],
        panel=[_rest(point, name) for point in points],
        goodput_per_s=trials["throughput_per_s"],
        conflicts_per_op=(trials["conflicts"] / operations).astype("float64"),
        retries_per_op=(trials["retries"] / operations).astype("float64"),
        refused_per_op=(trials["refused"] / operations).astype("float64"),
        reason=[unranked_reason(trial) for _, trial in trials.iterrows()],
    )


def contention_groups(trials: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The trials of one figure each: they differ in store, repetition and contention only."""
    panels = contention(trials)["panel"]
    for _, alike in trials.groupby([*(trials[name] for name in _ALIKE), panels], sort=False):
        yield alike


def _varied_most(points: Sequence[Point]) -> str:
    names = list(dict.fromkeys(name for point in points for name in point))
    return max(names, key=lambda name: len({_value(point, name) for point in points}), default="")


def _order(points: Sequence[Point], name: str) -> dict[str, int]:
    values = {_value(point, name): point.get(name) for point in points}
    ordered = sorted(values, key=lambda label: _sortable(values[label]), reverse=name in FALLING)
    return {label: place for place, label in enumerate(ordered)}


def _value(point: Point, name: str) -> str:
    value = point.get(name)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _sortable(value: object) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return 0, float(value), ""
    return 1, 0.0, str(value)


def _rest(point: Point, name: str) -> str:
    return ", ".join(f"{other} = {_value(point, other)}" for other in point if other != name)

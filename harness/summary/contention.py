"""Goodput, conflicts and retries against whatever the scenario varied to make streams contended."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from harness.summary.ranking import unranked_reason
from harness.summary.varied import varied_axis

_KEPT = [
    "scenario", "workload", "load_label", "durability", "key", "repetition", "status", "valid",
    "flags", "violations",
]  # fmt: skip
_ALIKE = ["scenario", "workload", "load", "durability"]
_FINISHED = ["ok", "conflict", "refused", "timeout", "unknown"]
_FALLING = {"streams.count"}
"""Varied names whose smaller values mean more contention."""


def has_contention(trials: pd.DataFrame) -> bool:
    """Whether a run can say anything about contention: commands ran, or something conflicted."""
    conflicted = trials["conflicts"].fillna(0) + trials["retries"].fillna(0) > 0
    return bool((conflicted | (trials["workload"] == "command")).any())


def contended_points(trials: pd.DataFrame) -> int:
    """The points of a run that can say something about contention, 0 of any other run."""
    return int(trials["point"].nunique()) if has_contention(trials) else 0


def contention(trials: pd.DataFrame) -> pd.DataFrame:
    """A row a trial: `goodput_per_s` and, an operation, conflicts, retries and refusals.

    These are `conflicts_per_op`, `retries_per_op` and `refused_per_op`. An operation is a logical
    one, its retries inside it. `x_name` is the varied name with the most values, `x_label` the
    value here and `x` its place in the order of rising contention; `panel` says what else was
    varied. A trial that does not count has a `reason`, and one that is not done has no numbers:
    unsupported is not zero conflicts. A design that has no conflicts of its own may show up under
    refusals instead: there its database said no, and nobody retried.
    """
    axis = varied_axis(trials, falling=_FALLING)
    operations = trials[_FINISHED].sum(axis=1, min_count=1).astype("Float64")
    operations = operations.where(operations > 0)
    return pd.concat([trials[_KEPT], axis], axis=1).assign(
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

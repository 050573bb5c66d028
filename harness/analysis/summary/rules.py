"""Rules that span streams: what each design pays to keep them, and what it breaks."""

from __future__ import annotations

import pandas as pd

from harness.analysis.summary.by_parameter import contention
from harness.analysis.summary.ranking import GROUP
from harness.domain import formatting

_PER_OPERATION = ("false_conflicts", "compensations")
_MEDIANS = [
    "goodput_per_s", "conflicts_per_op", "false_conflicts_per_op", "compensations_per_op",
    "read_per_decision",
]  # fmt: skip


def under_rules(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials of workloads with rules of their own, unsupported designs included."""
    return trials[_has_rules(trials)]


def without_rules(trials: pd.DataFrame) -> pd.DataFrame:
    """All other trials."""
    return trials[~_has_rules(trials)]


def _has_rules(trials: pd.DataFrame) -> pd.Series:
    workloads = set(trials.loc[trials["decisions"].notna(), "workload"])
    return trials["workload"].isin(workloads)


def rules(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each trial, as `contention` has it, and what keeping the rules took.

    `false_conflicts_per_op`, `compensations_per_op`, `read_per_decision`, and `broken`: the rules
    that the audit found broken. It is empty for a design that promises none to be, and kept that.
    """
    rows = contention(trials)
    operations = rows["operations"]
    decisions = trials["decisions"].astype("Float64")
    unprotected = ~trials["keeps_rules"].astype("boolean").fillna(value=True)
    broken = trials["rule_violations"].astype("Float64")
    return rows.assign(
        **{
            f"{name}_per_op": (trials[name] / operations).astype("float64")
            for name in _PER_OPERATION
        },
        read_per_decision=(trials["events_read"] / decisions.where(decisions > 0)).astype(
            "float64"
        ),
        broken=broken.where(unprotected | (broken > 0)).astype("float64"),
    )


def rules_by_point(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each key, point and durability class: medians of the repetitions that are done.

    `broken` is the fewest and the most rules that a repetition broke, in words.
    """
    done = trials[trials["status"] == "done"]
    axes = rules(done)[["x", "x_label", "x_name", *_MEDIANS]]
    rows = pd.concat([done[[*GROUP, "key", "rule_violations"]], axes], axis=1)
    groups = rows.groupby([*GROUP, "key"], sort=False)
    return (
        groups[_MEDIANS]
        .median()
        .assign(
            broken=groups["rule_violations"].agg(_span),
            **{name: groups[name].first() for name in ("x", "x_label", "x_name")},
        )
        .reset_index()
    )


def _span(counts: pd.Series) -> str:
    known = counts.dropna()
    if not len(known):
        return formatting.MISSING
    return formatting.span(int(known.min()), int(known.max()))

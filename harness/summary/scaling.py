"""What rises or falls with the value that a scenario varied."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from harness.summary.ranking import unranked_reason
from harness.summary.varied import varied_axis

_ALIKE = ["scenario", "workload", "load"]
_KEPT = ["key", "durability", "repetition", "trial_id", "flags"]


def scaling(trials: pd.DataFrame) -> pd.DataFrame:
    """A row a trial: `value` against `x`, `x_label`, `x_name`; `panel` is what else was varied.

    `value` is operations a second in closed loops and searches, the median response time in ns
    in open loops, whose rate is given; `measure` says which. `reason` where it does not count.
    """
    rated = (trials["load"] == "closed") | (trials["rate_found"] == "search")
    value = trials["throughput_per_s"].where(rated, trials["response_p50_ns"])
    return pd.concat([trials[_KEPT], varied_axis(trials)], axis=1).assign(
        measure=["throughput" if each else "response p50" for each in rated],
        value=value.astype("float64"),
        reason=[unranked_reason(trial) for _, trial in trials.iterrows()],
    )


def scaling_groups(trials: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The trials of one figure each; none where nothing was varied."""
    if trials["point"].nunique() < 2:  # noqa: PLR2004 — one point is no curve
        return
    panels = varied_axis(trials)["panel"]
    for _, alike in trials.groupby([*(trials[name] for name in _ALIKE), panels], sort=False):
        if alike["point"].nunique() > 1:
            yield alike

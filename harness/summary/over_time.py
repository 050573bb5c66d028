"""Operations a second in each second of each trial."""

from __future__ import annotations

import pandas as pd

_LEAST_S = 0.5
"""A shorter rest at the end of a trial says little about a rate."""


def has_rate_over_time(trials: pd.DataFrame, intervals: pd.DataFrame) -> bool:
    """Whether any of these trials has three seconds or more to show."""
    rows = rate_over_time(trials, intervals)
    return bool(len(rows)) and bool(rows.groupby("trial_id").size().max() > 2)  # noqa: PLR2004


def rate_over_time(trials: pd.DataFrame, intervals: pd.DataFrame) -> pd.DataFrame:
    """A row a trial and second: `trial_id`, `key`, `durability`, `second`, `per_s`."""
    of_these = trials.loc[trials["status"] == "done", ["trial_id", "durability"]]
    rows = of_these.merge(intervals, on="trial_id")
    rows = rows[rows["length_s"] >= _LEAST_S]
    rows = rows.assign(per_s=(rows["ok"] / rows["length_s"]).astype("float64"))
    return rows[["trial_id", "key", "durability", "second", "per_s"]]

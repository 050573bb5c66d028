"""Percentiles in the rows of trials, as every table and figure shows them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from harness.analysis.percentiles import stored_time


def stored_times(trials: pd.DataFrame, times: str, label: str) -> pd.Series:
    """`stored_time` of each trial; NaN in all of a closed loop's response times."""
    names = [f"{times}_{label}_ns", f"{times}_count", "ok", "conflict"]
    rows = trials[names].to_numpy(dtype=float, na_value=np.nan)
    values = [stored_time(dict(zip(names, row, strict=True)), times, label) for row in rows]
    return pd.Series(values, index=trials.index, dtype="float64")


def median_time(repetitions: pd.Series) -> float:
    """The median of a percentile over repetitions, one of them; NaN if one of them has none.

    Of an even number it is the slower of the two in the middle.
    """
    times = np.sort(repetitions.to_numpy(dtype=float, na_value=np.nan))
    return float(times[len(times) // 2]) if len(times) and not np.isnan(times).any() else math.nan

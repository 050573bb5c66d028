"""The paired t interval: what so many pairs say of a ratio, on its logarithm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Values = NDArray[np.float64]


def t_interval(logs: Values, level: float) -> tuple[float, float]:
    """The mean log ratio's interval at confidence 1 − `level`; NaN with fewer than two pairs."""
    if len(logs) < 2:  # noqa: PLR2004 — one pair has no spread
        return float("nan"), float("nan")
    reach = float(stdtrit(len(logs) - 1, 1 - level / 2)) * standard_error(logs)
    return float(np.mean(logs)) - reach, float(np.mean(logs)) + reach


def standard_error(logs: Values) -> float:
    """Of the mean log ratio."""
    return float(np.std(logs, ddof=1) / np.sqrt(len(logs)))

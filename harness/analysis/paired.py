"""The paired t interval of a ratio, on its logarithm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def t_interval(logs: Values, level: float) -> tuple[float, float]:
    """The interval of the mean log ratio at confidence 1 − `level`; NaN for one pair or none."""
    if len(logs) < 2:  # noqa: PLR2004 — one pair has no spread
        return float("nan"), float("nan")
    from scipy.special import stdtrit  # noqa: PLC0415 - a third of the time that `eslab` loads

    reach = float(stdtrit(len(logs) - 1, 1 - level / 2)) * standard_error(logs)
    return float(np.mean(logs)) - reach, float(np.mean(logs)) + reach


def standard_error(logs: Values) -> float:
    """The standard error of the mean log ratio."""
    return float(np.std(logs, ddof=1) / np.sqrt(len(logs)))

"""The paired t interval of a ratio, on its logarithm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def t_interval(logs: Values, level: float) -> tuple[float, float]:
    """The interval of the mean log ratio at confidence 1 − `level`; NaN for one pair or none."""
    if len(logs) < 2:  # noqa: PLR2004 — one pair has no spread
        return float("nan"), float("nan")
    reach = float(t_quantile(1 - level / 2, len(logs) - 1)) * standard_error(logs)
    return float(np.mean(logs)) - reach, float(np.mean(logs)) + reach


def standard_error(logs: Values) -> float:
    """The standard error of the mean log ratio."""
    return float(np.std(logs, ddof=1) / np.sqrt(len(logs)))


def t_quantile(share: float, freedom: int | NDArray[np.int64]) -> Values:
    """The quantile of Student's t distribution with these degrees of freedom."""
    from scipy.special import stdtrit  # noqa: PLC0415 - a third of the time that `eslab` loads

    return np.asarray(stdtrit(freedom, share), dtype=float)

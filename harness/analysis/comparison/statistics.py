"""The exact sign-flip test, the Holm levels over metrics, and how many pairs an effect needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from harness.analysis.comparison.metrics import Values
from harness.analysis.paired import standard_error, t_quantile

EXACT_MAX = 40
"""Up to this many pairs the test counts every swap; above it draws `DRAWS` random ones."""
DRAWS = 100_000
_SEED = 20_261_123
_TIE = 1e-9
"""Sums that differ by less than this share of the total are equal: addition rounds."""


def sign_flip(logs: Values) -> float:
    """Two-sided p value for a zero mean of `logs`; 1 if all are zero."""
    values = np.asarray(logs, dtype=float)
    total = float(np.abs(values).sum())
    if not total:
        return 1.0
    least = abs(float(values.sum())) - _TIE * total
    if len(values) > EXACT_MAX:
        return _drawn(values, least)
    half = len(values) // 2
    left, right = _sums(values[:half]), np.sort(_sums(values[half:]))
    beyond = len(right) - np.searchsorted(right, least - left, side="left")
    below = np.searchsorted(right, -least - left, side="right")
    swaps = int((beyond + below).sum())
    return min(1.0, swaps / float(2 ** len(values)))


def least_p(pairs: int) -> float:
    """The smallest p value that this many pairs can give: all on the same side."""
    return min(1.0, 2.0 ** (1 - pairs))


def pairs_for(level: float) -> int:
    """The fewest pairs that can be significant at this level."""
    return 1 + math.ceil(-math.log2(level))


def _sums(values: Values) -> Values:
    """The sum for each of the 2ⁿ combinations of signs."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _drawn(values: Values, least: float) -> float:
    """The p value from seeded random swaps; the observed order counts as one of them."""
    rng = np.random.default_rng(_SEED)
    signs = rng.integers(0, 2, (DRAWS, len(values)), dtype=np.int8) * 2 - 1
    return float(1 + (np.abs(signs @ values) >= least).sum()) / (DRAWS + 1)


ALPHA = 0.05
POWER = 0.8
PAIRS_MAX = 1_000
"""The largest number of pairs that a message suggests."""


def holm(p_values: Sequence[float], alpha: float = ALPHA) -> list[tuple[float, bool]]:
    """For each p value its level by Holm's method, and whether it is significant.

    The smallest has level alpha/m, the next alpha/(m − 1) …; after the first that is not
    significant none is, and the level stays the same.
    """
    levels: list[tuple[float, bool]] = [(alpha, False)] * len(p_values)
    going, level = True, alpha
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        level = alpha / (len(p_values) - rank) if going else level
        going = p_values[place] <= level
        levels[place] = (level, going)
    return levels


def least_effect(logs: Values, level: float, margin_log: float) -> float | None:
    """The smallest log ratio that these pairs show four times out of five.

    It must be significant, and its estimate must lie beyond the margin. `None` if there are too
    few pairs for significance.
    """
    count = len(logs)
    if count < max(2, pairs_for(level)):
        return None
    error = standard_error(logs) * float(np.sqrt(count / _as_for_t(np.array([count]), level)[0]))
    significant = _quantile(1 - level / 2, count) * error
    return max(significant, margin_log) + _quantile(POWER, count) * error


def pairs_needed(spread: float, level: float, margin_log: float) -> int | None:
    """The pairs that separate a change of the margin from no change, at this standard deviation.

    Four times out of five each: a change as large as the margin is significant, and no change
    is equivalent. `None` above `PAIRS_MAX`.
    """
    pairs = np.arange(max(2, pairs_for(level)), PAIRS_MAX + 1)
    shows = _quantiles(1 - level / 2, pairs) + _quantiles(POWER, pairs)
    equals = _quantiles(1 - ALPHA, pairs) + _quantiles((1 + POWER) / 2, pairs)
    errors = np.maximum(shows / np.sqrt(_as_for_t(pairs, level)), equals / np.sqrt(pairs))
    return _first(pairs, errors * spread <= margin_log)


def pairs_to_decide(mean: float, spread: float, level: float, margin_log: float) -> int | None:
    """The pairs that decide, four times out of five, if mean and deviation stay the same.

    `None` above `PAIRS_MAX`: an effect close to the margin is neither a change nor equivalent.
    """
    beyond = abs(mean) > margin_log
    room = abs(mean) if beyond else margin_log - abs(mean)
    pairs = np.arange(max(2, pairs_for(level)) if beyond else 2, PAIRS_MAX + 1)
    first = _quantiles(1 - level / 2 if beyond else 1 - ALPHA, pairs)
    then = _quantiles(POWER if beyond else (1 + POWER) / 2, pairs)
    counted = _as_for_t(pairs, level) if beyond else pairs
    return _first(pairs, (first + then) * spread / np.sqrt(counted) <= room)


def _as_for_t(pairs: NDArray[np.int64], level: float) -> NDArray[np.int64]:
    """The pairs with which a t test has the power of the sign-flip test with `pairs`.

    From simulation: one fewer, and two fewer where all pairs must be on one side.
    """
    return np.where(pairs == pairs_for(level), pairs - 2, pairs - 1)


def _first(pairs: NDArray[np.int64], enough: NDArray[np.bool_]) -> int | None:
    return int(pairs[enough][0]) if enough.any() else None


@cache
def _quantile(share: float, pairs: int) -> float:
    return float(t_quantile(share, pairs - 1))


def _quantiles(share: float, pairs: NDArray[np.int64]) -> Values:
    return t_quantile(share, pairs - 1)

"""The Holm levels over metrics, and how many pairs an effect needs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.compare.metrics import Values
from harness.compare.sign_flip import pairs_for
from harness.paired import standard_error

ALPHA = 0.05
POWER = 0.8
PAIRS_MAX = 1_000
"""No number of pairs beyond this is promised to anybody."""


def holm(p_values: Sequence[float], alpha: float = ALPHA) -> list[tuple[float, bool]]:
    """For each p value the level at which Holm holds it, and whether it is significant.

    The smallest is held to alpha/m, the next to alpha/(m − 1) …; after the first that is not
    significant none is, and the level stays what it was there.
    """
    found: list[tuple[float, bool]] = [(alpha, False)] * len(p_values)
    going, level = True, alpha
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        level = alpha / (len(p_values) - rank) if going else level
        going = p_values[place] <= level
        found[place] = (level, going)
    return found


def least_effect(logs: Values, level: float, margin_log: float) -> float | None:
    """The least log ratio that these pairs would show four times out of five.

    It must be significant, and its estimate must come out beyond the margin. `None` where
    there are too few pairs for anything to be significant.
    """
    count = len(logs)
    if count < max(2, pairs_for(level)):
        return None
    error = standard_error(logs) * float(np.sqrt(count / _as_for_t(np.array([count]), level)[0]))
    significant = _quantile(1 - level / 2, count) * error
    return max(significant, margin_log) + _quantile(POWER, count) * error


def pairs_needed(spread: float, level: float, margin_log: float) -> int | None:
    """So many pairs with this standard deviation tell a change of the margin from none.

    Four times out of five each: a change as large as the margin is significant, and no change
    is equivalent. `None` beyond `PAIRS_MAX`.
    """
    pairs = np.arange(max(2, pairs_for(level)), PAIRS_MAX + 1)
    shows = _quantiles(1 - level / 2, pairs) + _quantiles(POWER, pairs)
    equals = _quantiles(1 - ALPHA, pairs) + _quantiles((1 + POWER) / 2, pairs)
    errors = np.maximum(shows / np.sqrt(_as_for_t(pairs, level)), equals / np.sqrt(pairs))
    return _first(pairs, errors * spread <= margin_log)


def pairs_to_decide(mean: float, spread: float, level: float, margin_log: float) -> int | None:
    """So many pairs decide, four times out of five, if mean and deviation stay as they are.

    `None` beyond `PAIRS_MAX`: an effect of about the margin is neither a change nor none.
    """
    beyond = abs(mean) > margin_log
    room = abs(mean) if beyond else margin_log - abs(mean)
    pairs = np.arange(max(2, pairs_for(level)) if beyond else 2, PAIRS_MAX + 1)
    first = _quantiles(1 - level / 2 if beyond else 1 - ALPHA, pairs)
    then = _quantiles(POWER if beyond else (1 + POWER) / 2, pairs)
    counted = _as_for_t(pairs, level) if beyond else pairs
    return _first(pairs, (first + then) * spread / np.sqrt(counted) <= room)


def _as_for_t(pairs: NDArray[np.int64], level: float) -> NDArray[np.int64]:
    """With so many pairs a t test would show what the sign-flip test shows with `pairs`.

    Simulated: one fewer, and two fewer where all pairs have to be on one side.
    """
    return np.where(pairs == pairs_for(level), pairs - 2, pairs - 1)


def _first(pairs: NDArray[np.int64], enough: NDArray[np.bool_]) -> int | None:
    return int(pairs[enough][0]) if enough.any() else None


@cache
def _quantile(share: float, pairs: int) -> float:
    return float(stats.t.ppf(share, pairs - 1))


def _quantiles(share: float, pairs: NDArray[np.int64]) -> Values:
    return np.asarray(stats.t.ppf(share, pairs - 1))

"""The exact sign-flip test: if base and candidate were the same, each pair could be either way.

Of all 2ⁿ ways to swap base and candidate within pairs, the p value is the share whose mean log
ratio is at least as far from zero as the one that was seen. Nothing is assumed of its shape.
"""

from __future__ import annotations

import math

import numpy as np

from harness.compare.metrics import Values

EXACT_MAX = 40
"""Up to so many pairs every swap counts; beyond, as many random ones as are drawn."""
DRAWS = 100_000
_SEED = 20_261_123
_TIE = 1e-9
"""Sums that differ by less than this, relative to all, are equal: adding up rounds."""


def sign_flip(logs: Values) -> float:
    """Two-sided p value of the mean of `logs` being zero; 1 where all are zero."""
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
    """The smallest p value that so many pairs can give: all on the same side."""
    return min(1.0, 2.0 ** (1 - pairs))


def pairs_for(level: float) -> int:
    """The fewest pairs that can be significant at this level."""
    return 1 + math.ceil(-math.log2(level))


def _sums(values: Values) -> Values:
    """The sum under each of the 2ⁿ signs."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _drawn(values: Values, least: float) -> float:
    """The same from seeded random swaps; what was seen counts as one of them."""
    rng = np.random.default_rng(_SEED)
    signs = rng.integers(0, 2, (DRAWS, len(values)), dtype=np.int8) * 2 - 1
    return float(1 + (np.abs(signs @ values) >= least).sum()) / (DRAWS + 1)

"""Pairs of a count in which the server wrote something for itself: a few of them do not decide."""

from __future__ import annotations

import numpy as np

from harness.compare.pairing import Ratios

PAIRS_FOR_ONE = 9
"""The fewest pairs whose second smallest and second largest hold the median 95 times of 100."""


def strays(pairs: int) -> int:
    """So many of these pairs are left out on each side."""
    return pairs // PAIRS_FOR_ONE


def without_strays(pairs: Ratios) -> Ratios:
    """The pairs from the smallest ratio to the largest, without those that are left out."""
    count = len(pairs.logs)
    kept = np.argsort(pairs.logs, kind="stable")[strays(count) : count - strays(count)]
    return pairs.taken(kept)

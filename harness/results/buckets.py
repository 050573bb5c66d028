"""HdrHistogram's buckets, a whole column at a time: 3 significant digits from 1 ns to 100,000 s.

Counts are those that `HdrHistogram.record_value` would arrive at, at some 15 ns a value instead
of 800. Layout: https://hdrhistogram.github.io/HdrHistogram/JavaDoc/org/HdrHistogram/Histogram.html
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOWEST_NS = 1
HIGHEST_NS = 10**14
"""Longer than a trial may be."""
DIGITS = 3
_HALF_BITS = 10
_HALF = 1 << _HALF_BITS
"""Buckets to a doubling of the value; more than 10 ** 3, so that 3 digits are kept."""
_MANTISSA_BITS, _EXPONENT_BIAS = 52, 1023
_UPPER_FROM = (_EXPONENT_BIAS + _HALF_BITS - 1) << _HALF_BITS


def index(values_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bucket of each value from 0 to `HIGHEST_NS`; `ValueError` for one outside."""
    if len(values_ns) and (values_ns.min() < 0 or values_ns.max() > HIGHEST_NS):
        raise ValueError(f"a histogram takes 0 to {HIGHEST_NS:,} ns")
    # A float's exponent and the first ten bits of its mantissa, read as one number, count exactly
    # these buckets, from 1024 on; below, each value has its own. Exact below 2 ** 53.
    upper = values_ns.astype(np.float64).view(np.int64) >> (_MANTISSA_BITS - _HALF_BITS)
    return np.where(values_ns < _HALF, values_ns, upper - _UPPER_FROM)


BUCKETS = (int(index(np.array([HIGHEST_NS]))[0]) // _HALF + 1) * _HALF
"""How many there are."""


def counts(values_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many values are in each bucket."""
    return np.bincount(index(values_ns), minlength=BUCKETS)

"""Percentiles as HdrHistogram defines them: values that occurred, where enough lie beyond.

The value at percentile q is the smallest that at least q percent of all values do not exceed.
It is one of the values: between two modes there is no time that nobody saw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

BEYOND_MIN = 100
"""A percentile with fewer values beyond it is chance, and is left out."""
_COPIED_MAX = 1 << 20
"""Percentiles of more values are found without a copy of them."""
_HALF = 16
"""Bits of each half of a value."""
_WHOLE = 100_000_000
"""100 percent in millionths of a percent: ranks are computed in integers, where 99.9 is exact."""


def percentiles(
    values: NDArray[np.integer[Any]],
    wanted: Sequence[float],
    *,
    unanswered: int = 0,
    reorder: bool = False,
) -> list[float | None]:
    """The value at each wanted percentile (0–100), or `None` if fewer than 100 lie beyond it.

    `unanswered` more operations took longer than any value: a percentile among them is infinite.
    `reorder` allows partial sorting of `values` in place, which saves a copy.
    """
    return values_of(
        len(values), wanted, partial(_values_of_rank, values, reorder=reorder), unanswered
    )


def values_of(
    answered: int,
    wanted: Sequence[float],
    of_ranks: Callable[[Sequence[int]], Sequence[float]],
    unanswered: int = 0,
) -> list[float | None]:
    """`percentiles` of values that `of_ranks` finds by their places in order, from 0."""
    count = answered + unanswered
    shown = [q for q in wanted if count * (_WHOLE - _millionths(q)) >= BEYOND_MIN * _WHOLE]
    finite = [q for q in shown if rank(q, count) < answered]
    found = of_ranks([rank(q, count) for q in finite])
    value_at = dict.fromkeys(shown, math.inf) | dict(zip(finite, found, strict=True))
    return [value_at.get(q) for q in wanted]


def values_at(values: NDArray[np.number[Any]], wanted: Sequence[float]) -> list[float]:
    """The value at each wanted percentile (0–100), however few there are; at least one."""
    return _values_of_rank(values, [rank(q, len(values)) for q in wanted], reorder=False)


def _values_of_rank(
    values: NDArray[np.number[Any]], ranks: Sequence[int], *, reorder: bool
) -> list[float]:
    if not ranks:
        return []
    if reorder:
        values.partition(ranks)
    elif values.dtype == np.uint32 and len(values) > _COPIED_MAX:
        return _counted(values, ranks)
    else:
        values = np.partition(values, ranks)
    return [float(values[each]) for each in ranks]


def _counted(values: NDArray[Any], ranks: Sequence[int]) -> list[float]:
    """Without a copy: counts the upper halves, then the lower halves of those that matter."""
    blocks = np.array_split(values, len(values) // _COPIED_MAX + 1)
    below = np.cumsum(sum(np.bincount(block >> _HALF, minlength=1 << _HALF) for block in blocks))
    uppers = np.searchsorted(below, ranks, "right")
    lowers = {int(upper): np.zeros(1 << _HALF, np.int64) for upper in uppers}
    for block in blocks:
        for upper in lowers:
            near = block[block >> _HALF == upper] & ((1 << _HALF) - 1)
            lowers[upper] += np.bincount(near, minlength=1 << _HALF)
    before = np.concatenate([[0], below])[uppers]
    return [
        float((upper << _HALF) + _place(lowers[upper], rank - less))
        for upper, rank, less in zip(uppers.tolist(), ranks, before.tolist(), strict=True)
    ]


def _place(counts: NDArray[np.int64], rank: int) -> int:
    """The number at this rank, where `counts` says how often each number occurs."""
    return int(np.searchsorted(np.cumsum(counts), rank, "right"))


STORED: Mapping[str, float] = MappingProxyType(
    {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
)
"""The percentiles in a trial's row, by the label in their columns' names."""


def stored_time(trial: Mapping[str, Any], times: str, label: str) -> float:
    """A percentile of a trial's row in ns; NaN with too few values beyond it.

    A percentile of response time that lies among the operations that failed is infinite: a run
    folder leaves it empty, as it does every number that it cannot hold.
    """
    value, count = trial[f"{times}_{label}_ns"], trial[f"{times}_count"]
    if not _is_missing(value) or times != "response" or _is_missing(count):
        return math.nan if _is_missing(value) else float(value)
    answered = int(trial["ok"] + trial["conflict"])
    beyond = percentiles(np.empty(0, np.int64), [STORED[label]], unanswered=int(count))
    among_failed = beyond[0] is not None and rank(STORED[label], int(count)) >= answered
    return math.inf if among_failed else math.nan


def _is_missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def rank(q: float, count: int) -> int:
    """The index, from 0, of percentile `q` among `count` sorted values."""
    return max(-(-count * _millionths(q) // _WHOLE), 1) - 1


def _millionths(q: float) -> int:
    return round(q * _WHOLE / 100)

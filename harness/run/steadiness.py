"""When warm-up really ended, by the marginal standard error rule, and whether it mattered.

MSER (White, "An Effective Truncation Heuristic for Bias Reduction in Simulation Output",
Simulation 69, 1997; compared with others by White, Cobb and Spratt, Winter Simulation Conference
2000): from the beginning of a series of batch means, cut off as many as make the standard error of
the rest smallest. A cut in the second half means that the series never became steady.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.load.pacing import NS_A_SECOND
from harness.run.long_trials import LongCompletions
from harness.run.trial_samples import Completions, Values
from harness.scenario.model import ClosedLoop, Load

BATCHES = 40
OPERATIONS_A_BATCH_MIN = 20
LENGTH_MIN_NS = NS_A_SECOND
"""In a shorter window a batch is hardly longer than an operation, and few end in the first."""
LEFT_MIN = 5
"""The fewest batches after the cut: the standard error of fewer is small by luck."""
BIAS_MAX = 0.05
"""The part before the cut matters if it changes the mean by more than this share."""


@dataclass(frozen=True, slots=True)
class Steadiness:
    """`after_s` is when the measured window became steady, 0 at once; `None` is never."""

    after_s: float | None


def steadiness(
    load: Load, started_ns: int, done: Completions | LongCompletions
) -> Steadiness | None:
    """Of throughput in a closed loop, of response time in an open one, whose rate is given.

    `None` where the window is too short, or there are too few operations, to judge.
    """
    if done.count < BATCHES * OPERATIONS_A_BATCH_MIN:
        return None
    length_ns = done.last_ns - started_ns
    if length_ns < LENGTH_MIN_NS:
        return None
    edges_ns = [started_ns - (-number * length_ns // BATCHES) for number in range(1, BATCHES)]
    if isinstance(load, ClosedLoop):
        series = np.array(done.counts(edges_ns), float)
    else:
        assert done.response_ns is not None
        series = _medians(done.split(edges_ns, done.response_ns))
    cut = mattering_cut(series)
    if cut is None:
        return Steadiness(None)
    return Steadiness(cut * length_ns / BATCHES / NS_A_SECOND)


def mattering_cut(series: NDArray[np.float64]) -> int | None:
    """How many batches to cut off; 0 where that changes nothing, `None` if it never is steady."""
    half = len(series) // 2
    cut = mser(series, len(series) - LEFT_MIN)
    if cut > half:
        # By luck, unless the rest after the best cut of the first half still changes.
        cut = mser(series, half)
        earlier, later = np.array_split(series[cut:], 2)
        if _bias(earlier.mean(), later.mean()) > BIAS_MAX:
            return None
    return cut if _bias(series.mean(), series[cut:].mean()) > BIAS_MAX else 0


def mser(series: NDArray[np.float64], last: int) -> int:
    """The cut up to `last` that makes the squared standard error of the rest smallest."""
    return int(np.argmin([series[cut:].var() / (len(series) - cut) for cut in range(last + 1)]))


def _medians(batches_ns: Iterable[Values]) -> NDArray[np.float64]:
    """Medians, since one slow response is no trend. An empty batch repeats the previous one."""
    medians = np.array([np.median(batch) if len(batch) else np.nan for batch in batches_ns])
    known = np.flatnonzero(~np.isnan(medians))
    nearest = np.searchsorted(known, np.arange(BATCHES), side="right").clip(1) - 1
    filled: NDArray[np.float64] = medians[known[nearest]]
    return filled


def _bias(value: float, true: float) -> float:
    return abs(value - true) / abs(true) if true else float(value != true)

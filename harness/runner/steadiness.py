"""When warm-up was really over: the marginal standard error rule, and whether it mattered.

MSER (White, "An Effective Truncation Heuristic for Bias Reduction in Simulation Output",
Simulation 69, 1997; compared with others by White, Cobb and Spratt, Winter Simulation Conference
2000): of a series of batch means, cut off as many at the beginning as make the standard error of
what is left the smallest. A cut in the second half means that the series never became steady.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.generator.loops import Window
from harness.generator.pacing import NS_A_SECOND
from harness.runner.operations import Operations
from harness.scenario.types import ClosedLoop, Load

BATCHES = 40
BLOCK = 1 << 16
OPERATIONS_A_BATCH_MIN = 20
LENGTH_MIN_NS = NS_A_SECOND
"""In a shorter window a batch is not much longer than an operation: the first holds few ends."""
LEFT_MIN = 5
"""Batches that are left at least: the standard error of fewer is small by luck."""
BIAS_MAX = 0.05
"""What lies before the cut matters if it changes the mean by more than this share."""


@dataclass(frozen=True, slots=True)
class Steadiness:
    """`after_s` is when the measured window became steady, 0 at once; `None` is never."""

    after_s: float | None


def steadiness(load: Load, window: Window, operations: Operations) -> Steadiness | None:
    """Of throughput in a closed loop, of response time in an open one, whose rate is given.

    `None` where the window is too short, or there are too few operations, to tell.
    """
    done_ns = operations.ends_ns()
    if len(done_ns) < BATCHES * OPERATIONS_A_BATCH_MIN:
        return None
    length_ns = int(done_ns.max()) - window.started_ns
    if length_ns < LENGTH_MIN_NS:
        return None
    batch = _batches(done_ns, window.started_ns, length_ns)
    if isinstance(load, ClosedLoop):
        series = np.array([np.count_nonzero(batch == n) for n in range(BATCHES)], float)
    else:
        series = _medians(batch, operations.times_ns("done_ns", "intended_ns"))
    cut = mattering_cut(series)
    if cut is None:
        return Steadiness(None)
    return Steadiness(cut * length_ns / BATCHES / NS_A_SECOND)


def _batches(done_ns: NDArray[np.int64], started_ns: int, length_ns: int) -> NDArray[np.uint8]:
    """The number of the batch in which each was done; block by block, to spare memory."""
    batch = np.empty(len(done_ns), np.uint8)
    for at in range(0, len(done_ns), BLOCK):
        since_ns = done_ns[at : at + BLOCK] - started_ns
        batch[at : at + BLOCK] = np.minimum(since_ns * BATCHES // length_ns, BATCHES - 1)
    return batch


def mattering_cut(series: NDArray[np.float64]) -> int | None:
    """How many batches to cut off; 0 where that changes nothing, `None` if it never is steady."""
    half = len(series) // 2
    cut = mser(series, len(series) - LEFT_MIN)
    if cut > half:
        # By luck, unless what the best cut of the first half leaves still goes on changing.
        cut = mser(series, half)
        earlier, later = np.array_split(series[cut:], 2)
        if _bias(earlier.mean(), later.mean()) > BIAS_MAX:
            return None
    return cut if _bias(series.mean(), series[cut:].mean()) > BIAS_MAX else 0


def mser(series: NDArray[np.float64], last: int) -> int:
    """The cut up to `last` that makes the squared standard error of what is left the smallest."""
    return int(np.argmin([series[cut:].var() / (len(series) - cut) for cut in range(last + 1)]))


def _medians(batch: NDArray[np.uint8], values_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Medians: one slow response says nothing of the state. An empty batch is as the one before."""
    medians = np.full(BATCHES, np.nan)
    for number in np.unique(batch):
        medians[number] = np.median(values_ns[batch == number])
    known = np.flatnonzero(~np.isnan(medians))
    nearest = np.searchsorted(known, np.arange(BATCHES), side="right").clip(1) - 1
    filled: NDArray[np.float64] = medians[known[nearest]]
    return filled


def _bias(value: float, true: float) -> float:
    return abs(value - true) / abs(true) if true else float(value != true)

"""Logarithmic time axes whose ticks can be read, over one decade or over six."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from harness import words

_ROOM = 1.25
_STEPS = ((1, 2, 5), (1, 3), (1,))
_MOST_TICKS = 7
_LINEAR_NS = 10_000
_DECADES = 7


def log_time(axes: Axes, axis: Axis, values_ns: NDArray[np.float64]) -> None:
    """A logarithmic scale around these values, with ticks such as `200 µs` and `1 ms`."""
    positive = values_ns[values_ns > 0]
    low, high = (positive.min(), positive.max()) if len(positive) else (1e3, 1e6)
    limits = (float(low) / _ROOM, float(high) * _ROOM)
    if axis is axes.xaxis:
        axes.set_xscale("log")
        axes.set_xlim(limits)
    else:
        axes.set_yscale("log")
        axes.set_ylim(limits)
    axis.set_major_locator(FixedLocator(ticks(*limits)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda ns, _: words.duration(ns)))


def log_time_around_zero(axes: Axes, values_ns: NDArray[np.float64]) -> None:
    """A logarithmic x axis in both directions, linear in between; for times that may be negative.

    They are where a subscriber was faster than the answer to the writer.
    """
    low, high = float(values_ns.min()), float(values_ns.max())
    axes.set_xscale("symlog", linthresh=_LINEAR_NS, linscale=0.6)
    axes.set_xlim(min(low * _ROOM, -_LINEAR_NS / 4), max(high * _ROOM, _LINEAR_NS))
    steps = [_LINEAR_NS * 10.0**power for power in range(_DECADES)]
    both = [-step for step in steps] + [0.0] + steps
    axes.xaxis.set_major_locator(FixedLocator([t for t in both if low * _ROOM <= t <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ns, _: words.duration(ns) if ns else "0"))


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between the two: as many as can be told apart, two or more if any exist."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in _STEPS:
        found = [step * 10.0**decade for decade in decades for step in steps]
        found = [tick for tick in found if low <= tick <= high]
        if len(found) <= _MOST_TICKS:
            break
    return found if len(found) > 1 else _fine(low, high)


def _fine(low: float, high: float) -> list[float]:
    """For less than a third of a decade: four steps of equal ratio, of two digits each."""
    raw = np.geomspace(low, high, 6)[1:-1]
    return sorted({float(f"{value:.2g}") for value in raw})

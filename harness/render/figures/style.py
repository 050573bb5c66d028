"""The look of every figure: colours, marks, sizes, time axes, wrapped names. No global settings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from harness.domain import formatting

PAPER = "#ffffff"
INK = "#1b1f24"
MUTED = "#5d6670"
GRID = "#d9dee3"

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
PURPLE, AMBER, SKY = "#aa4499", "#b8860b", "#3a9bd9"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY)
"""Colours after Okabe and Ito, distinct for every common kind of colour blindness; pale ones are
darker here, to show on white. Beyond six stores, marks and dashes make the difference. They are
for marks and lines only: as text they are too pale, so names are in ink next to a mark."""

WIDTH_IN = 4.5
"""Narrow on purpose: on a telephone the page shrinks it by an eighth, not by half."""
TITLE_PT, TEXT_PT, SMALL_PT = 11.0, 9.0, 8.0

_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": TEXT_PT,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": TEXT_PT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=SERIES),
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "figure.dpi": 144.0,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL_PT,
    "ytick.labelsize": SMALL_PT,
    "svg.fonttype": "none",
    "svg.hashsalt": "eslab",
}


@contextmanager
def styled() -> Iterator[None]:
    """Applies the lab's look inside the block and ignores the notebook's settings."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for name, value in _SETTINGS.items():
            mpl.rcParams[name] = value
        yield


@dataclass(frozen=True, slots=True)
class Mark:
    """The colour, marker and dashes of one store in every figure of a run."""

    colour: str
    marker: str
    dashes: str


def marks(keys: Sequence[str]) -> dict[str, Mark]:
    """A mark for each store key. Pass all keys of the run, so that all figures agree."""
    shapes = (("o", "-"), ("s", "--"), ("^", ":"))
    by_key = {}
    for place, key in enumerate(sorted(set(keys))):
        marker, dashes = shapes[place // len(SERIES) % len(shapes)]
        by_key[key] = Mark(SERIES[place % len(SERIES)], marker, dashes)
    return by_key


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
    axis.set_major_formatter(FuncFormatter(lambda ns, _: formatting.duration(ns)))


def log_time_around_zero(axes: Axes, values_ns: NDArray[np.float64]) -> None:
    """A logarithmic x axis in both directions, linear around zero, for times that may be negative.

    A time is negative if the subscriber got the event before the writer got its answer.
    """
    low, high = float(values_ns.min()), float(values_ns.max())
    axes.set_xscale("symlog", linthresh=_LINEAR_NS, linscale=0.6)
    axes.set_xlim(min(low * _ROOM, -_LINEAR_NS / 4), max(high * _ROOM, _LINEAR_NS))
    steps = [_LINEAR_NS * 10.0**power for power in range(_DECADES)]
    both = [-step for step in steps] + [0.0] + steps
    axes.xaxis.set_major_locator(FixedLocator([t for t in both if low * _ROOM <= t <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda ns, _: formatting.duration(ns) if ns else "0")
    )


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between the two: at most seven if possible, and two or more if any exist."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in _STEPS:
        places = [step * 10.0**decade for decade in decades for step in steps]
        places = [tick for tick in places if low <= tick <= high]
        if len(places) <= _MOST_TICKS:
            break
    return places if len(places) > 1 else _fine(low, high)


def _fine(low: float, high: float) -> list[float]:
    """Four steps of equal ratio, of two digits each, for less than a third of a decade."""
    raw = np.geomspace(low, high, 6)[1:-1]
    return sorted({float(f"{value:.2g}") for value in raw})


_EM = 0.62
"""Mean width of a character of DejaVu Sans in ems; wider than most readers' fonts."""
_PT_AN_INCH = 72
LINE_EM = 1.25


def wrapped(key: str, characters: int) -> list[str]:
    """A store key in lines of at most `characters`, broken before `{`, `:` and `+`, after `,`."""
    parts = re.split(r"(?<=,)|(?=[{:+])", key)
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) > characters:
            lines.append("")
        lines[-1] += part
    return [piece for line in lines for piece in _cut(line, characters)]


def width_in(texts: Sequence[str], size_pt: float) -> float:
    """Width of the longest text, in inches."""
    return max((len(text) for text in texts), default=0) * size_pt * _EM / _PT_AN_INCH


def height_in(lines: int, size_pt: float) -> float:
    """Height of this many lines, in inches."""
    return lines * size_pt * LINE_EM / _PT_AN_INCH


def apart(wanted: Sequence[float], heights: Sequence[float], top: float) -> list[float]:
    """Centres near the wanted ones, between 0 and `top`, for labels that do not overlap.

    Labels that would overlap stack around their common middle and keep their order. `top` must be
    at least the sum of the heights.
    """
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    piles: list[_Pile] = []
    for place in order:
        piles.append(_Pile([place], wanted, heights, top))
        while len(piles) > 1 and piles[-2].bottom + piles[-2].height > piles[-1].bottom:
            above = piles.pop()
            piles[-1] = _Pile([*piles[-1].places, *above.places], wanted, heights, top)
    centres = [0.0] * len(wanted)
    for pile in piles:
        bottom = pile.bottom
        for place in pile.places:
            centres[place] = bottom + heights[place] / 2
            bottom += heights[place]
    return centres


class _Pile:
    """A stack of labels, as near to their wanted places as the edges allow."""

    def __init__(
        self, places: list[int], wanted: Sequence[float], heights: Sequence[float], top: float
    ) -> None:
        self.places = places
        self.height = sum(heights[place] for place in places)
        middle = sum(wanted[place] for place in places) / len(places)
        self.bottom = max(0.0, min(middle - self.height / 2, top - self.height))


def _cut(line: str, characters: int) -> list[str]:
    """The pieces of a line that is too long, cut after a `=`, `_` or `-` in the second half."""
    pieces = []
    while len(line) > characters:
        ends = [line.rfind(mark, characters // 2, characters) + 1 for mark in "=_-"]
        end = max(ends) or characters
        pieces.append(line[:end])
        line = line[end:]
    return [*pieces, line]

"""How every figure looks: colours, marks, sizes. Nothing here touches pyplot or global settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from cycler import cycler

PAPER = "#ffffff"
INK = "#1b1f24"
MUTED = "#5d6670"
GRID = "#d9dee3"

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
PURPLE, AMBER, SKY = "#aa4499", "#b8860b", "#3a9bd9"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY)
"""After Okabe and Ito, told apart with every common kind of colour blindness; the pale ones
darkened until they show on white. Past six, marks and dashes tell stores apart. They are for
marks and lines: text in them would be too pale to read, so names are in ink beside a mark."""

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
    """The lab's look inside the block, whatever the notebook has set."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for name, value in _SETTINGS.items():
            mpl.rcParams[name] = value
        yield


@dataclass(frozen=True, slots=True)
class Mark:
    """How one store is drawn in every figure of a run."""

    colour: str
    marker: str
    dashes: str


def marks(keys: Sequence[str]) -> dict[str, Mark]:
    """A mark a store key, the same whatever else is in the figure: give all keys of the run."""
    shapes = (("o", "-"), ("s", "--"), ("^", ":"))
    found = {}
    for place, key in enumerate(sorted(set(keys))):
        marker, dashes = shapes[place // len(SERIES) % len(shapes)]
        found[key] = Mark(SERIES[place % len(SERIES)], marker, dashes)
    return found

"""A panel with one band for each store: name and number on a line, repetitions as dots below."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from harness.render.figures.sheet import MARGIN_IN, Sheet
from harness.render.figures.style import (
    GRID,
    INK,
    MUTED,
    TEXT_PT,
    WIDTH_IN,
    Mark,
    height_in,
    wrapped,
)

_CHARACTERS = 44
_NOTE_CHARACTERS = 56
_DOTS_IN = 0.2
_GAP_IN = 0.06
AXIS_IN = 0.5
"""Room for ticks and the axis label below a panel."""


@dataclass(frozen=True, slots=True)
class Dots:
    """Values of one kind, one for each repetition. `hollow` ones are not ranked."""

    values: Sequence[float]
    hollow: bool = False
    marker: str = ""
    """Replaces the store's own marker."""


@dataclass(frozen=True, slots=True)
class Band:
    """One store's part of a panel. `note` replaces missing dots."""

    key: str
    figure: str
    dots: Sequence[Dots]
    median: float | None = None
    note: str = ""

    @property
    def lines(self) -> list[str]:
        """The name, wrapped, and the note under it."""
        return [*self.named, *self.noted]

    @property
    def named(self) -> list[str]:
        """The wrapped name, with room for the figure on its right."""
        return wrapped(self.key, _CHARACTERS - len(self.figure))

    @property
    def noted(self) -> list[str]:
        """The note in at most three lines; tables have all of a long note."""
        return textwrap.wrap(self.note, _NOTE_CHARACTERS, max_lines=3, placeholder=" …")

    @property
    def height_in(self) -> float:
        """Height of the band."""
        return height_in(len(self.lines), TEXT_PT) + _DOTS_IN + _GAP_IN


def bands_height_in(bands: Sequence[Band]) -> float:
    """Height of a panel of these bands, with its axis."""
    return sum(band.height_in for band in bands) + AXIS_IN


def draw_bands(sheet: Sheet, bands: Sequence[Band], marks: dict[str, Mark]) -> Axes:
    """A panel of bands, the first on top. The y axis is in inches from the top of the panel."""
    height = sum(band.height_in for band in bands)
    axes = sheet.panel(height, left=MARGIN_IN + 0.08, right=MARGIN_IN + 0.16, below=AXIS_IN)
    axes.set_ylim(height, 0)
    axes.set_yticks([])
    axes.grid(visible=True, axis="x")
    axes.spines["left"].set_visible(False)
    top = 0.0
    for band in bands:
        _draw_band(axes, band, top, marks[band.key])
        top += band.height_in
    return axes


def _draw_band(axes: Axes, band: Band, top: float, mark: Mark) -> None:
    across = axes.get_yaxis_transform()
    text_height = height_in(len(band.lines), TEXT_PT)
    axes.text(-0.005, top + 0.02, "\n".join(band.named), transform=across, va="top",
              fontsize=TEXT_PT, color=INK, weight="bold")  # fmt: skip
    axes.text(1, top + 0.02, band.figure, transform=across, va="top", ha="right", color=INK,
              fontsize=TEXT_PT)  # fmt: skip
    if band.note:
        axes.text(-0.005, top + 0.02 + height_in(len(band.named), TEXT_PT), "\n".join(band.noted),
                  transform=across, va="top", fontsize=TEXT_PT - 1, color=MUTED)  # fmt: skip
    y = top + text_height + _DOTS_IN / 2
    axes.plot([0, 1], [y, y], transform=across, color=GRID, linewidth=0.8, zorder=0.5)
    for dots in band.dots:
        _draw_dots(axes, dots, y, mark)
    if band.median is not None and not np.isnan(band.median):
        axes.plot([band.median] * 2, [y - 0.085, y + 0.085], color=INK, linewidth=1.6, zorder=3)


def _draw_dots(axes: Axes, dots: Dots, y: float, mark: Mark) -> None:
    values = np.asarray(dots.values, dtype=float)
    axes.plot(
        values, np.full(len(values), y), linestyle="", marker=dots.marker or mark.marker,
        markersize=6, alpha=0.75, color=mark.colour, markeredgewidth=0.8,
        markeredgecolor=mark.colour if dots.hollow else "#ffffff",
        markerfacecolor="none" if dots.hollow else mark.colour, clip_on=False, zorder=2,
    )  # fmt: skip


PLOT_IN = WIDTH_IN - 2 * MARGIN_IN - 0.24
"""Width of a panel of bands."""

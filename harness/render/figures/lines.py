"""Lines with names at their right ends, for panels that many stores share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from harness.render.figures.sheet import MARGIN_IN, Sheet
from harness.render.figures.style import (
    INK,
    MUTED,
    SMALL_PT,
    WIDTH_IN,
    Mark,
    apart,
    height_in,
    width_in,
    wrapped,
)

_CHARACTERS = 24
_LEAD_IN = 0.24
_MARK_AT = 0.7
"""Place of the store's mark, as a share of the lead; the mark identifies a name in plain ink."""
_GAP_IN = 0.05
LEFT_IN = 0.62
AXIS_IN = 0.5
_LEAST_IN = 2.3


@dataclass(frozen=True, slots=True)
class Name:
    """A store's name at the end of its line (x, y in data units), with a line of small print."""

    key: str
    x: float
    y: float
    small: str = ""

    @property
    def lines(self) -> list[str]:
        """The wrapped key and the small print under it."""
        small = wrapped(self.small, _CHARACTERS) if self.small else []
        return [*wrapped(self.key, _CHARACTERS), *small]

    @property
    def height_in(self) -> float:
        """Height of the name, with a gap to the next."""
        return height_in(len(self.lines), SMALL_PT) + _GAP_IN


def panel_height_in(names: Sequence[Name]) -> float:
    """Height of a panel with room for all names on its right."""
    return max(_LEAST_IN, sum(name.height_in for name in names))


def room_in(names: Iterable[Name]) -> float:
    """Width of these names; use one width for all panels of a sheet, so that their axes align."""
    texts = [line for name in names for line in name.lines]
    return width_in(texts, SMALL_PT) + _LEAD_IN + MARGIN_IN


def panel(sheet: Sheet, names: Sequence[Name], right: float) -> Axes:
    """Axes with `right` inches of room at the right, high enough for these names."""
    return sheet.panel(panel_height_in(names), left=LEFT_IN, right=right, below=AXIS_IN)


def name_lines(axes: Axes, names: Sequence[Name], marks: Mapping[str, Mark]) -> None:
    """Writes the names. Call it after limits and scales are set."""
    size_in = axes.get_position().width * WIDTH_IN, panel_height_in(names)
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [to_axes.transform((name.x, name.y)) for name in names]
    heights = [name.height_in for name in names]
    wanted = [end[1] * size_in[1] for end in ends]
    centres = apart(wanted, heights, size_in[1])
    for name, end, centre in zip(names, ends, centres, strict=True):
        lead = _LEAD_IN / size_in[0]
        y = centre / size_in[1]
        axes.plot([end[0], 1 + lead * 0.2, 1 + lead * 0.5], [end[1], y, y], color=MUTED,
                  transform=axes.transAxes, linewidth=0.7, linestyle=(0, (1, 1.5)),
                  clip_on=False)  # fmt: skip
        mark = marks[name.key]
        axes.plot([1 + lead * _MARK_AT], [y], color=mark.colour, marker=mark.marker, markersize=5,
                  transform=axes.transAxes, linestyle="", clip_on=False)  # fmt: skip
        _write(axes, name, (1 + lead, centre), size_in[1])


def _write(axes: Axes, name: Name, at: tuple[float, float], panel_in: float) -> None:
    """Writes one line at a time, so that the line height does not depend on the font."""
    line_in = height_in(1, SMALL_PT)
    top_in = at[1] + line_in * (len(name.lines) - 1) / 2
    named = len(wrapped(name.key, _CHARACTERS))
    for place, line in enumerate(name.lines):
        bold = place < named
        axes.text(at[0], (top_in - place * line_in) / panel_in, line, transform=axes.transAxes,
                  fontsize=SMALL_PT, ha="left", va="center", color=INK if bold else MUTED,
                  weight="bold" if bold else "normal")  # fmt: skip

"""A figure of exact inches: title on top, panels below one another, caption at the foot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from harness.figures.drawing import Drawing
from harness.figures.labels import height_in
from harness.figures.style import INK, MUTED, SMALL_PT, TEXT_PT, TITLE_PT, WIDTH_IN

MARGIN_IN = 0.12
_TITLE_IN = 0.36
_SUBTITLE_IN = 0.2


@dataclass(frozen=True, slots=True)
class Words:
    """The words around the panels. `alternative` is for those who cannot see the figure."""

    title: str
    subtitle: str
    caption: str
    alternative: str


class Sheet:
    """Lays panels out from the top down; all measures in inches."""

    def __init__(self, words: Words, panels_in: float) -> None:
        caption_in = height_in(words.caption.count("\n") + 1, SMALL_PT)
        more_in = height_in(words.title.count("\n"), TITLE_PT)
        head_in = _TITLE_IN + more_in + _SUBTITLE_IN
        self.height_in = head_in + panels_in + caption_in + 2 * MARGIN_IN
        self.figure = Drawing(WIDTH_IN, self.height_in, words.alternative)
        self._top_in = self.height_in - head_in
        self._say(words.title, self.height_in - MARGIN_IN, TITLE_PT, INK, weight="bold")
        self._say(words.subtitle, self.height_in - MARGIN_IN - more_in - 0.22, SMALL_PT, MUTED)
        self._say(words.caption, caption_in + MARGIN_IN / 2, SMALL_PT - 0.5, MUTED, linespacing=1.3)

    def head(self, text: str) -> None:
        """A line of bold text above the next panel."""
        self._top_in -= height_in(1, TEXT_PT) + MARGIN_IN
        self._say(text, self._top_in + height_in(1, TEXT_PT), TEXT_PT, INK, weight="bold")

    def panel(self, height: float, *, left: float, right: float, below: float) -> Axes:
        """Axes of that height; `left`, `right` and `below` are room for their labels."""
        self._top_in -= height
        width = WIDTH_IN - left - right
        box = (
            left / WIDTH_IN,
            self._top_in / self.height_in,
            width / WIDTH_IN,
            height / self.height_in,
        )
        self._top_in -= below
        return self.figure.add_axes(box)

    def _say(self, text: str, y_in: float, size: float, colour: str, **more: Any) -> None:
        self.figure.text(
            MARGIN_IN / WIDTH_IN, y_in / self.height_in, text,
            fontsize=size, color=colour, va="top", ha="left", **more,
        )  # fmt: skip


HEAD_IN = height_in(1, TEXT_PT) + MARGIN_IN
"""Room that `Sheet.head` takes."""

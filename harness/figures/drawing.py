"""A figure that notebooks show as SVG, with or without pyplot, and that says what it shows."""

from __future__ import annotations

import io
import re

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from harness.figures.style import styled

_PROLOG = re.compile(r"^.*?(?=<svg )", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)


class Drawing(Figure):
    """A matplotlib figure of exact inches. Its label is a text for those who cannot see it."""

    def __init__(self, width_in: float, height_in: float, alternative: str) -> None:
        super().__init__(figsize=(width_in, height_in))
        FigureCanvasAgg(self)
        self.set_label(alternative)

    def svg(self) -> str:
        """One `<svg>` element: text as text, no prolog, no date, the same bytes each time."""
        buffer = io.StringIO()
        about = {"Title": str(self.get_label()), "Date": None}
        with styled():
            self.savefig(buffer, format="svg", metadata=about)
        element = _METADATA.sub("", _PROLOG.sub("", buffer.getvalue(), count=1))
        return element.replace("<svg ", '<svg role="img" ', 1)

    def _repr_svg_(self) -> str:
        return self.svg()

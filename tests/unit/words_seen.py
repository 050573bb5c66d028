"""The words of a figure and the room that each of them takes."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from harness.render import figures


def texts(figure: figures.Drawing) -> list[Text]:
    """Every word that is seen; ticks outside of an axis' limits are not."""
    found = list(figure.texts)
    for axes in figure.axes:
        found += [*axes.texts, axes.xaxis.label, axes.yaxis.label, *tick_labels(axes)]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def tick_labels(axes: Axes) -> list[Text]:
    found = []
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        low, high = sorted(limits)
        ticked = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
        found += [label for place, label in ticked if low <= place <= high]
    return found


def boxes(figure: figures.Drawing):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    return [(text.get_text(), text.get_window_extent(renderer)) for text in texts(figure)]


def covered(first, second, slack_px: float = 1.0) -> bool:
    across = min(first.x1, second.x1) - max(first.x0, second.x0)
    down = min(first.y1, second.y1) - max(first.y0, second.y0)
    return across > slack_px and down > slack_px

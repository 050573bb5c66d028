"""A figure of exact inches: title on top, panels below one another, caption at the foot."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from harness.analysis import summary
from harness.domain.flags import sentence
from harness.render.figures.style import (
    INK,
    MUTED,
    SMALL_PT,
    TEXT_PT,
    TITLE_PT,
    WIDTH_IN,
    Mark,
    height_in,
    marks,
    styled,
)

_PROLOG = re.compile(r"^.*?(?=<svg )", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)


class Drawing(Figure):
    """A matplotlib figure with its size in inches. Its label is the alternative text."""

    def __init__(self, width_in: float, height_in: float, alternative: str) -> None:
        super().__init__(figsize=(width_in, height_in))
        FigureCanvasAgg(self)
        self.set_label(alternative)

    def svg(self) -> str:
        """One `<svg>` element with text as text; no prolog and no date, so the bytes are stable."""
        buffer = io.StringIO()
        about = {"Title": str(self.get_label()), "Date": None}
        with styled():
            self.savefig(buffer, format="svg", metadata=about)
        element = _METADATA.sub("", _PROLOG.sub("", buffer.getvalue(), count=1))
        return element.replace("<svg ", '<svg role="img" ', 1)

    def _repr_svg_(self) -> str:
        return self.svg()


@dataclass(frozen=True, slots=True)
class Material:
    """What figures of one point are drawn from: its trials, and what the run kept of them."""

    trials: pd.DataFrame
    intervals: pd.DataFrame
    kept_samples: Callable[[str], pd.DataFrame | None]
    """Raw samples by trial, where the run kept them."""
    about: About


@dataclass(frozen=True, slots=True)
class PointFigure:
    """A figure that a page has for each point and load; its module ends in `FIGURE`."""

    place: int
    """Figures stand in this order."""
    draw: Callable[[Material], Drawing | None]
    """`None` where the trials have nothing for it to show."""


MARGIN_IN = 0.12
_TITLE_IN = 0.36
_SUBTITLE_IN = 0.2


@dataclass(frozen=True, slots=True)
class Words:
    """The texts around the panels. `alternative` is for readers who cannot see the figure."""

    title: str
    subtitle: str
    caption: str
    alternative: str


class Sheet:
    """Places panels from top to bottom; all measures are in inches."""

    def __init__(self, words: Words, panels_in: float) -> None:
        caption_in = height_in(words.caption.count("\n") + 1, SMALL_PT)
        more_in = height_in(words.title.count("\n"), TITLE_PT)
        head_in = _TITLE_IN + more_in + _SUBTITLE_IN
        self.height_in = head_in + panels_in + caption_in + 2 * MARGIN_IN
        self.figure = Drawing(WIDTH_IN, self.height_in, words.alternative)
        self._top_in = self.height_in - head_in
        self._write(words.title, self.height_in - MARGIN_IN, TITLE_PT, INK, weight="bold")
        self._write(words.subtitle, self.height_in - MARGIN_IN - more_in - 0.22, SMALL_PT, MUTED)
        self._write(
            words.caption, caption_in + MARGIN_IN / 2, SMALL_PT - 0.5, MUTED, linespacing=1.3
        )

    def head(self, text: str) -> None:
        """A line of bold text above the next panel."""
        self._top_in -= height_in(1, TEXT_PT) + MARGIN_IN
        self._write(text, self._top_in + height_in(1, TEXT_PT), TEXT_PT, INK, weight="bold")

    def panel(self, height: float, *, left: float, right: float, below: float) -> Axes:
        """Axes of this height; `left`, `right` and `below` are room for their labels."""
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

    def _write(self, text: str, y_in: float, size: float, colour: str, **more: Any) -> None:
        self.figure.text(
            MARGIN_IN / WIDTH_IN, y_in / self.height_in, text,
            fontsize=size, color=colour, va="top", ha="left", **more,
        )  # fmt: skip


HEAD_IN = height_in(1, TEXT_PT) + MARGIN_IN
"""Height of `Sheet.head`."""


_COMMIT_DIGITS = 10
_CHARACTERS_A_LINE = 68


@dataclass(frozen=True, slots=True)
class About:
    """The common facts of a run's figures: machine, commit, flags and each store's mark."""

    run: str
    machine: str
    commit: str
    flags: Sequence[str]
    marks: Mapping[str, Mark]


def about(manifest: Mapping[str, Any], trials: pd.DataFrame) -> About:
    """The facts for all figures of a run."""
    return About(
        run=str(manifest.get("run", "")),
        machine=machine(manifest),
        commit=commit(manifest),
        flags=[sentence([flag]) for flag in summary.run_flags(manifest)],
        marks=marks([str(key) for key in trials["key"]]),
    )


def machine(manifest: Mapping[str, Any]) -> str:
    """CPU model and number of cores."""
    cpu = manifest.get("environment", {}).get("cpu", {})
    cores = cpu.get("cores")
    plural = "" if cores == 1 else "s"
    return str(cpu.get("model", "unknown CPU")) + (f", {cores} core{plural}" if cores else "")


def commit(manifest: Mapping[str, Any]) -> str:
    """The commit, shortened, and whether its tree was dirty."""
    recorded = manifest.get("commit", {})
    text = str(recorded.get("commit", ""))[:_COMMIT_DIGITS] or "unknown"
    return f"{text} + uncommitted changes" if recorded.get("dirty") else text


def caption(trials: pd.DataFrame, about: About, *, extra: Sequence[str] = ()) -> str:
    """The caption of a figure of these trials, in several lines."""
    loads, classes = _unique(trials, "load_label"), _unique(trials, "durability")
    lines = [
        f"{'; '.join(_unique(trials, 'workload'))} · {'; '.join(loads)} · {'; '.join(classes)}",
        f"{about.machine} · commit {about.commit} · run {about.run}",
        *extra,
        *_flag_lines(trials, about),
    ]
    wrapped = [textwrap.wrap(line, _CHARACTERS_A_LINE, subsequent_indent="  ") for line in lines]
    return "\n".join(line for lines in wrapped for line in lines)


def _flag_lines(trials: pd.DataFrame, about: About) -> list[str]:
    lines = [f"⚑ {'; '.join(about.flags)}"] if about.flags else []
    by_flag = summary.by_flag(trials)
    everyone = ", ".join(sorted(set(trials["key"])))
    for flag, stores in zip(by_flag["flag"], by_flag["stores"], strict=True):
        lines.append(f"⚑ {flag}: {'all' if stores == everyone else stores}")
    return lines


def _unique(trials: pd.DataFrame, column: str) -> list[str]:
    return [str(value) for value in trials[column].unique() if value] or ["unknown"]

"""Latency as percentile curves with a logarithmic tail: one line for each repetition."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from harness.analysis.summary import latency_curves, tail
from harness.domain import formatting
from harness.render.figures.lines import AXIS_IN, Name, name_lines, panel, panel_height_in, room_in
from harness.render.figures.sheet import (
    HEAD_IN,
    About,
    Drawing,
    Material,
    PointFigure,
    Sheet,
    Words,
    caption,
)
from harness.render.figures.style import MUTED, SMALL_PT, Mark, log_time, styled

_FROM = float(tail(50.0))
_TICKS = {50.0: "p50", 90.0: "p90", 99.0: "p99", 99.9: "p99.9", 99.99: "p99.99", 99.999: "p99.999"}


def latency(trials: pd.DataFrame, curves: pd.DataFrame, about: About) -> Drawing:
    """The curves (`summary.latency_curves`) of the trials of one point and load.

    A curve ends where fewer than 100 samples lie beyond; the counts follow the names.
    """
    shown = curves[curves["tail"] >= _FROM - 1e-9]
    panels = {str(name): group for name, group in shown.groupby("durability", sort=False)}
    names = {name: _names(group, trials) for name, group in panels.items()}
    heights = sum(panel_height_in(each) + AXIS_IN + HEAD_IN for each in names.values())
    right = room_in(name for each in names.values() for name in each)
    with styled():
        sheet = Sheet(_words(trials, shown, about), heights)
        for name, group in panels.items():
            sheet.head(name or "durability unknown")
            axes = panel(sheet, names[name], right)
            _draw(axes, group, about)
            _axes(axes, group)
            name_lines(axes, names[name], about.marks)
    return sheet.figure


def _words(trials: pd.DataFrame, shown: pd.DataFrame, about: About) -> Words:
    times = "response" if (trials["load"] == "open").any() else "service"
    start = "intended start" if times == "response" else "start of the call"
    label = str(trials["point_label"].iloc[0])
    left_out = sorted(set(trials.loc[trials["status"] == "done", "key"]) - set(shown["key"]))
    few = f"too few samples for a curve (200 give a median): {', '.join(left_out)}"
    return Words(
        title=f"{times.capitalize()} time" + (f" · {label}" if label else ""),
        subtitle=f"from {start} to answer · a line a repetition",
        caption=caption(trials, about, extra=[few] if left_out else []),
        alternative=_alternative(shown, times),
    )


def _names(group: pd.DataFrame, trials: pd.DataFrame) -> list[Name]:
    """Each store's name at the right end of the repetition that reaches farthest."""
    counts = trials.set_index("trial_id")
    names = []
    for key, curves in group.groupby("key"):
        last = curves.sort_values("tail").iloc[-1]
        times = str(last["times"])
        n = counts.loc[curves["trial_id"].unique(), f"{times}_count"]
        names.append(Name(str(key), float(last["tail"]), float(last["ns"]), small=_counted(n)))
    return names


def _counted(n: pd.Series) -> str:
    return f"n = {formatting.span(n.min(), n.max())}" + (f" × {len(n)}" if len(n) > 1 else "")


def _draw(axes: Axes, group: pd.DataFrame, about: About) -> None:
    for (key, _), curve in group.groupby(["key", "trial_id"]):
        mark: Mark = about.marks[str(key)]
        axes.plot(curve["tail"], curve["ns"], color=mark.colour, linestyle=mark.dashes,
                  linewidth=1.3, alpha=0.8, marker=mark.marker, markersize=3.5,
                  markevery=[len(curve) - 1], clip_on=False)  # fmt: skip


def _axes(axes: Axes, group: pd.DataFrame) -> None:
    end = max(float(group["tail"].max()), float(tail(90.0)))
    axes.set_xlim(_FROM, end)
    shown = {float(tail(percentile)): text for percentile, text in _TICKS.items()}
    places = [place for place in shown if place <= end + 1e-9]
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: shown[_nearest(place, places)]))
    axes.set_xlabel("percentile (log scale)", color=MUTED, fontsize=SMALL_PT)
    log_time(axes, axes.yaxis, np.asarray(group["ns"], dtype=float))


def _nearest(place: float, places: list[float]) -> float:
    return min(places, key=lambda known: abs(known - place))


def _alternative(shown: pd.DataFrame, times: str) -> str:
    """The farthest percentile of each store, in words."""
    ends = []
    for key, curves in shown.groupby("key"):
        last = curves.sort_values("tail").iloc[-1]
        ends.append(f"{key} p{last['percentile']:.6g} {formatting.duration(last['ns'])}")
    return f"{times.capitalize()} time by percentile and store; the tails end at: " + (
        "; ".join(ends) + "."
    )


def _of_point(point: Material) -> Drawing:
    return latency(point.trials, latency_curves(point.trials, point.kept_samples), point.about)


FIGURE = PointFigure(3, _of_point)

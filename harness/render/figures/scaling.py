"""Throughput or response time by the varied value: one panel for each durability class."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from harness.analysis.summary import scaling as summarised
from harness.domain import formatting
from harness.render.figures.lines import AXIS_IN, Name, name_lines, panel, panel_height_in, room_in
from harness.render.figures.sheet import HEAD_IN, About, Drawing, Sheet, Words, caption
from harness.render.figures.style import MUTED, SMALL_PT, log_time, styled

_ROOM = 1.06


def scaling(trials: pd.DataFrame, about: About) -> Drawing:
    """The trials of one of `summary.scaling_groups`. Lines join medians of trials that count."""
    rows = summarised(trials)
    panels = dict(list(rows.groupby("durability", sort=False)))
    names = {name: _names(group) for name, group in panels.items()}
    heights = sum(panel_height_in(each) + AXIS_IN + HEAD_IN for each in names.values())
    right = room_in(name for each in names.values() for name in each)
    with styled():
        sheet = Sheet(_words(trials, rows, about), heights)
        for name, group in panels.items():
            sheet.head(str(name) or "durability unknown")
            axes = panel(sheet, names[name], right)
            for key, of_key in group.groupby("key"):
                _draw(axes, of_key, about, str(key))
            _axes(axes, group, rows)
            name_lines(axes, names[name], about.marks)
    return sheet.figure


def _words(trials: pd.DataFrame, rows: pd.DataFrame, about: About) -> Words:
    name, measure = str(rows["x_name"].iloc[0]), str(rows["measure"].iloc[0])
    others = rows["panel"].iloc[0]
    label = f"{measure.capitalize()} over {name.rsplit('.', 1)[-1]}"
    return Words(
        title=label + (f" · {others}" if others else ""),
        subtitle="a dot a repetition, lines join medians; hollow: not counted",
        caption=caption(trials, about),
        alternative=_alternative(rows, label),
    )


def _medians(rows: pd.DataFrame) -> pd.DataFrame:
    """Medians by key and place of the trials that count, or of all trials if none counts."""
    known = rows.dropna(subset=["value"])
    counted = known[known["reason"] == ""]
    never = known[~known["key"].isin(counted["key"])]
    both = pd.concat([counted, never])
    return both.groupby(["key", "x", "x_label"])["value"].median().reset_index().sort_values("x")


def _names(rows: pd.DataFrame) -> list[Name]:
    ends = _medians(rows).groupby("key", as_index=False).last()
    return [
        Name(str(key), float(x), float(value))
        for key, x, value in zip(ends["key"], ends["x"], ends["value"], strict=True)
    ]


def _draw(axes: Axes, rows: pd.DataFrame, about: About, key: str) -> None:
    mark, medians = about.marks[key], _medians(rows)
    axes.plot(medians["x"], medians["value"], color=mark.colour, linestyle=mark.dashes,
              linewidth=1.4, alpha=0.85)  # fmt: skip
    for counts, dots in rows.groupby(rows["reason"] == ""):
        axes.plot(dots["x"], dots["value"], linestyle="", marker=mark.marker, markersize=5,
                  color=mark.colour, alpha=0.75, clip_on=False,
                  markerfacecolor=mark.colour if counts else "none")  # fmt: skip


def _axes(axes: Axes, group: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Throughput on a scale from zero, so that heights compare; times on a logarithmic scale."""
    labels = dict(zip(rows["x"], rows["x_label"], strict=True))
    values = group["value"].dropna().to_numpy(dtype=float)
    if rows["measure"].iloc[0] == "throughput":
        axes.set_ylim(0, values.max(initial=0) * _ROOM or 1)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: formatting.short(y)))
    else:
        log_time(axes, axes.yaxis, np.asarray(values))
    axes.set_xlim(-0.25, max(labels) + 0.25)
    axes.xaxis.set_major_locator(FixedLocator(sorted(labels)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: labels.get(round(x), "")))
    unit = "operations a second" if rows["measure"].iloc[0] == "throughput" else "response p50"
    axes.set_xlabel(f"{rows['x_name'].iloc[0]} · {unit}", color=MUTED, fontsize=SMALL_PT)


def _alternative(rows: pd.DataFrame, label: str) -> str:
    rate = rows["measure"].iloc[0] == "throughput"
    texts = []
    for key, medians in _medians(rows).groupby("key"):
        first, last = medians.iloc[0], medians.iloc[-1]
        ends = [formatting.rate(end["value"]) if rate else formatting.duration(end["value"])
                for end in (first, last)]  # fmt: skip
        texts.append(f"{key} {ends[0]} at {first['x_label']}, {ends[1]} at {last['x_label']}")
    return f"{label}: " + "; ".join(texts) + "."

"""Operations in each second: it shows stalls and slow starts, which a median hides."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.analysis.summary import has_rate_over_time, rate_over_time
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
from harness.render.figures.style import MUTED, SMALL_PT, styled

_ROOM = 1.06


def over_time(trials: pd.DataFrame, intervals: pd.DataFrame, about: About) -> Drawing:
    """One line for each repetition of one point; see `summary.has_rate_over_time`."""
    rows = rate_over_time(trials, intervals)
    panels = dict(list(rows.groupby("durability", sort=False)))
    names = {name: _names(group) for name, group in panels.items()}
    heights = sum(panel_height_in(each) + AXIS_IN + HEAD_IN for each in names.values())
    right = room_in(name for each in names.values() for name in each)
    with styled():
        sheet = Sheet(_words(trials, rows, about), heights)
        for name, group in panels.items():
            sheet.head(str(name) or "durability unknown")
            axes = panel(sheet, names[name], right)
            for (key, _), line in group.groupby(["key", "trial_id"]):
                mark = about.marks[str(key)]
                axes.plot(line["second"], line["per_s"], color=mark.colour, alpha=0.75,
                          linestyle=mark.dashes, linewidth=1.2)  # fmt: skip
            _axes(axes, group)
            name_lines(axes, names[name], about.marks)
    return sheet.figure


def _words(trials: pd.DataFrame, rows: pd.DataFrame, about: About) -> Words:
    label = str(trials["point_label"].iloc[0])
    return Words(
        title="Rate over time" + (f" · {label}" if label else ""),
        subtitle="operations that ended well in each second · a line a repetition",
        caption=caption(trials, about),
        alternative=_alternative(rows),
    )


def _names(rows: pd.DataFrame) -> list[Name]:
    """The names at the last second of the longest repetition."""
    last = rows.sort_values("second").groupby("key", as_index=False).last()
    return [
        Name(str(key), float(second), float(per_s))
        for key, second, per_s in zip(last["key"], last["second"], last["per_s"], strict=True)
    ]


def _axes(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set_ylim(0, rows["per_s"].max() * _ROOM or 1)
    axes.set_xlim(0, max(rows["second"].max(), 1))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: formatting.short(y)))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("second of the measurement", color=MUTED, fontsize=SMALL_PT)


def _alternative(rows: pd.DataFrame) -> str:
    ranges = []
    for key, of_key in rows.groupby("key"):
        least, most = formatting.rate(of_key["per_s"].min()), formatting.rate(of_key["per_s"].max())
        ranges.append(f"{key} between {least} and {most}")
    return "Operations a second in each second of the measurement: " + "; ".join(ranges) + "."


def _of_point(point: Material) -> Drawing | None:
    if not has_rate_over_time(point.trials, point.intervals):
        return None
    return over_time(point.trials, point.intervals, point.about)


FIGURE = PointFigure(4, _of_point)

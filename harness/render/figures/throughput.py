"""Throughput by store: one panel for each durability class, one dot for each repetition."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.analysis.summary import ranking, unranked_reasons
from harness.domain import formatting
from harness.render.figures.bands import Band, Dots, bands_height_in, draw_bands
from harness.render.figures.sheet import (
    HEAD_IN,
    About,
    Drawing,
    PointFigure,
    Sheet,
    Words,
    caption,
)
from harness.render.figures.style import MUTED, SMALL_PT, styled


def throughput(trials: pd.DataFrame, about: About) -> Drawing:
    """Operations a second of the trials of one point and load; the bar in a band is the median.

    Hollow dots are repetitions that do not count.
    """
    ranked = ranking(trials)
    panels = {
        name: _bands(group, trials) for name, group in ranked.groupby("durability", sort=False)
    }
    words_ = Words(
        title="Throughput by store" + _point(trials),
        subtitle="operations that ended well, a second · a dot a repetition, a bar the median",
        caption=caption(trials, about),
        alternative=_alternative(ranked),
    )
    with styled():
        sheet = Sheet(words_, sum(bands_height_in(bands) + HEAD_IN for bands in panels.values()))
        for name, bands in panels.items():
            sheet.head(str(name) or "durability unknown")
            axes = draw_bands(sheet, bands, dict(about.marks))
            _axis(axes, trials)
    return sheet.figure


def _bands(ranked: pd.DataFrame, trials: pd.DataFrame) -> list[Band]:
    durability = ranked["durability"].iloc[0]
    of_class = trials[trials["durability"] == durability]
    return [_band(row, of_class[of_class["key"] == row["key"]]) for _, row in ranked.iterrows()]


def _band(row: pd.Series, trials: pd.DataFrame) -> Band:
    counted = [not reason for reason in unranked_reasons(trials)]
    out = [not one for one in counted]
    return Band(
        key=str(row["key"]),
        figure=formatting.rate(row["throughput_per_s"]),
        dots=[
            Dots(trials["throughput_per_s"][counted].dropna().tolist()),
            Dots(trials["throughput_per_s"][out].dropna().tolist(), hollow=True),
        ],
        median=float(row["throughput_per_s"]) if row["repetitions"] else None,
        note=f"not ranked: {row['reason']}" if row["reason"] else "",
    )


def _axis(axes: Axes, trials: pd.DataFrame) -> None:
    """The axis from zero, so that lengths compare, with a line at the offered rate, if any."""
    highest = axes.dataLim.x1 if axes.dataLim.x1 > 0 else 1.0
    offered = trials["rate_per_s"].max()
    if not pd.isna(offered):
        axes.axvline(offered, color=MUTED, linestyle="--", linewidth=0.9)
        axes.set_xlabel(f"per second; dashed: {formatting.rate(offered)} offered", color=MUTED)
        highest = max(highest, offered)
    else:
        axes.set_xlabel("per second", color=MUTED)
    axes.set_xlim(0, highest * 1.04)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.label.set_fontsize(SMALL_PT)


def _point(trials: pd.DataFrame) -> str:
    label = str(trials["point_label"].iloc[0])
    return f" · {label}" if label else ""


def _alternative(ranked: pd.DataFrame) -> str:
    medians = [
        f"{row['key']} {formatting.rate(row['throughput_per_s'])}"
        + (f" (not ranked: {row['reason']})" if row["reason"] else "")
        for _, row in ranked.iterrows()
    ]
    return "Median throughput by store, a dot a repetition: " + "; ".join(medians) + "."


FIGURE = PointFigure(1, lambda point: throughput(point.trials, point.about))

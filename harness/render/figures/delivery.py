"""Subscription delivery latency by store: dots for p50 and p99 of each repetition."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from harness.analysis.stored_times import median_time
from harness.analysis.summary import delivery as summarised
from harness.analysis.summary import has_deliveries
from harness.domain import formatting
from harness.render.figures.bands import Band, Dots, bands_height_in, draw_bands
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
from harness.render.figures.style import MUTED, SMALL_PT, log_time, log_time_around_zero, styled

_NS = ["p50_ns", "p99_ns"]


def delivery(trials: pd.DataFrame, about: About) -> Drawing:
    """The time from acknowledged append to the subscriber's handler, for one point's trials."""
    rows = summarised(trials)
    panels = {name: _bands(group) for name, group in rows.groupby("durability", sort=False)}
    counts = f"n = {formatting.span(rows['count'].min(), rows['count'].max())} deliveries a trial"
    words_ = Words(
        title="Subscription delivery latency",
        subtitle="from acknowledged append to handler · ● p50, ◆ p99 of each repetition",
        caption=caption(trials.loc[rows.index], about, extra=[counts]),
        alternative=_alternative(rows),
    )
    with styled():
        sheet = Sheet(words_, sum(bands_height_in(bands) + HEAD_IN for bands in panels.values()))
        for name, bands in panels.items():
            sheet.head(str(name) or "durability unknown")
            _axis(draw_bands(sheet, bands, dict(about.marks)), rows)
    return sheet.figure


def _bands(rows: pd.DataFrame) -> list[Band]:
    order = rows.groupby("key")["p50_ns"].agg(median_time).sort_values(na_position="last")
    return [_band(str(key), rows[rows["key"] == key]) for key in order.index]


def _band(key: str, rows: pd.DataFrame) -> Band:
    p50, p99 = (median_time(rows[name]) for name in _NS)
    reasons = [reason for reason in rows["reason"] if reason]
    return Band(
        key=key,
        figure=f"p50 {formatting.duration(p50)} · p99 {formatting.duration(p99)}",
        dots=[
            Dots(rows["p50_ns"].dropna().tolist(), hollow=bool(reasons), marker="o"),
            Dots(rows["p99_ns"].dropna().tolist(), hollow=bool(reasons), marker="D"),
        ],
        note=f"not counted: {reasons[0]}" if reasons else "",
    )


def _axis(axes: Axes, rows: pd.DataFrame) -> None:
    values = rows[_NS].to_numpy(dtype=float)
    values = values[~np.isnan(values)]
    if not len(values):
        return
    if values.min() > 0:
        log_time(axes, axes.xaxis, values)
    else:
        log_time_around_zero(axes, values)
    axes.set_xlabel("latency (log scale)", color=MUTED, fontsize=SMALL_PT)


def _alternative(rows: pd.DataFrame) -> str:
    medians = rows.groupby("key")[_NS].agg(median_time)
    texts = [
        f"{key} p50 {formatting.duration(row['p50_ns'])}, p99 {formatting.duration(row['p99_ns'])}"
        for key, row in medians.iterrows()
    ]
    return "Delivery latency by store, medians of the repetitions: " + "; ".join(texts) + "."


def _of_point(point: Material) -> Drawing | None:
    return delivery(point.trials, point.about) if has_deliveries(point.trials) else None


FIGURE = PointFigure(5, _of_point)

"""Subscription delivery latency by store: a dot a repetition for p50 and p99."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from harness import words
from harness.figures.bands import Band, Dots, bands_height_in, draw_bands
from harness.figures.captions import About, caption
from harness.figures.drawing import Drawing
from harness.figures.scales import log_time, log_time_around_zero
from harness.figures.sheet import HEAD_IN, Sheet, Words
from harness.figures.style import MUTED, SMALL_PT, styled
from harness.summary import delivery as summarised

_NS = ["p50_ns", "p99_ns"]


def delivery(trials: pd.DataFrame, about: About) -> Drawing:
    """From an append's acknowledgement to the subscriber's handler, for the trials of one point."""
    rows = summarised(trials)
    panels = {name: _bands(group) for name, group in rows.groupby("durability", sort=False)}
    counts = f"n = {words.span(rows['count'].min(), rows['count'].max())} deliveries a trial"
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
    order = rows.groupby("key")["p50_ns"].median().sort_values(na_position="last")
    return [_band(str(key), rows[rows["key"] == key]) for key in order.index]


def _band(key: str, rows: pd.DataFrame) -> Band:
    p50, p99 = (rows[name].median(skipna=False) for name in _NS)
    reasons = [reason for reason in rows["reason"] if reason]
    return Band(
        key=key,
        figure=f"p50 {words.duration(p50)} · p99 {words.duration(p99)}",
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
    axes.set_xlabel("latency, logarithmic", color=MUTED, fontsize=SMALL_PT)


def _alternative(rows: pd.DataFrame) -> str:
    medians = rows.groupby("key")[_NS].median()
    told = [
        f"{key} p50 {words.duration(row['p50_ns'])}, p99 {words.duration(row['p99_ns'])}"
        for key, row in medians.iterrows()
    ]
    return "Delivery latency by store, medians of the repetitions: " + "; ".join(told) + "."

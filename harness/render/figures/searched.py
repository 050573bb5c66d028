"""The rates of a search: the highest that met the objective, and the lowest that did not."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.analysis.summary import searched_rates
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
from harness.render.figures.style import MUTED, SMALL_PT, styled


def searched(trials: pd.DataFrame, about: About) -> Drawing:
    """The trials of one point; see `summary.searched_rates`."""
    rows = searched_rates(trials)
    panels = {name: _bands(group) for name, group in rows.groupby("durability", sort=False)}
    words_ = Words(
        title="Highest rate that held",
        subtitle="filled: held, each repetition · hollow ◆: the lowest that did not hold",
        caption=caption(trials, about),
        alternative=_alternative(rows),
    )
    with styled():
        sheet = Sheet(words_, sum(bands_height_in(bands) + HEAD_IN for bands in panels.values()))
        for name, bands in panels.items():
            sheet.head(str(name) or "durability unknown")
            _axis(draw_bands(sheet, bands, dict(about.marks)))
    return sheet.figure


def _bands(rows: pd.DataFrame) -> list[Band]:
    order = rows.groupby("key")["held_per_s"].median().sort_values(ascending=False)
    return [_band(str(key), rows[rows["key"] == key]) for key in order.index]


def _band(key: str, rows: pd.DataFrame) -> Band:
    held, failed = rows["held_per_s"].dropna(), rows["failed_per_s"].dropna()
    return Band(
        key=key,
        figure=formatting.rate(held.median()),
        dots=[
            Dots(held.tolist()),
            Dots(failed.tolist(), hollow=True, marker="D"),
        ],
        median=float(held.median()) if len(held) else None,
        note="" if len(held) else "no rate held",
    )


def _axis(axes: Axes) -> None:
    axes.set_xlim(0, axes.dataLim.x1 * 1.04 if axes.dataLim.x1 > 0 else 1)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("offered operations a second", color=MUTED, fontsize=SMALL_PT)


def _alternative(rows: pd.DataFrame) -> str:
    medians = [
        f"{key} {formatting.rate(of_key['held_per_s'].median())}"
        for key, of_key in rows.groupby("key", sort=False)
    ]
    return "Highest rate that held the objective, medians: " + "; ".join(medians) + "."


def _of_point(point: Material) -> Drawing | None:
    found = (point.trials["rate_found"] == "search").any()
    return searched(point.trials, point.about) if found else None


FIGURE = PointFigure(2, _of_point)

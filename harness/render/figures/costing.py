"""One counted cost by store: a dot for each repetition, on an axis from zero."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.analysis.summary import COSTS, unranked_reasons
from harness.domain import formatting
from harness.render.figures.bands import Band, Dots, bands_height_in, draw_bands
from harness.render.figures.sheet import HEAD_IN, About, Drawing, Sheet, Words, caption
from harness.render.figures.style import MUTED, SMALL_PT, styled


def costing(trials: pd.DataFrame, column: str, about: About) -> Drawing:
    """A cost of `summary.COSTS` for the trials of one point.

    Only the caption names stores without a value. Durability classes share the axis.
    """
    reported = trials[trials[column].notna()]
    bands = [_band(str(key), mine, column) for key, mine in reported.groupby("key", sort=False)]
    bands.sort(key=lambda band: band.median or 0)
    missing = ", ".join(sorted(set(trials["key"]) - set(reported["key"])))
    words_ = Words(
        title=f"{COSTS[column].capitalize()} an event",
        subtitle="a dot a repetition, a bar the median",
        caption=caption(trials, about, extra=[f"not reported: {missing}"] if missing else []),
        alternative=f"{COSTS[column].capitalize()} an event, medians: "
        + "; ".join(f"{band.key} {band.figure}" for band in bands) + ".",
    )  # fmt: skip
    with styled():
        sheet = Sheet(words_, bands_height_in(bands) + HEAD_IN)
        if bands:
            _axis(draw_bands(sheet, bands, dict(about.marks)))
    return sheet.figure


def _band(key: str, trials: pd.DataFrame, column: str) -> Band:
    counts = [not reason for reason in unranked_reasons(trials)]
    values = trials[column].astype("float64")
    median = float((values[counts] if any(counts) else values).median())
    return Band(
        key=key,
        figure=formatting.number(median),
        dots=[
            Dots(values[counts].tolist()),
            Dots(values[[not each for each in counts]].tolist(), hollow=True),
        ],
        median=median,
    )


def _axis(axes: Axes) -> None:
    axes.set_xlim(0, axes.dataLim.x1 * 1.04 if axes.dataLim.x1 > 0 else 1)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: formatting.short(value)))
    axes.set_xlabel("for each event appended or read", color=MUTED, fontsize=SMALL_PT)

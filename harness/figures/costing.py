"""One counted cost, store by store: a dot a repetition, from zero."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness import words
from harness.figures.bands import Band, Dots, bands_height_in, draw_bands
from harness.figures.captions import About, caption
from harness.figures.drawing import Drawing
from harness.figures.sheet import HEAD_IN, Sheet, Words
from harness.figures.style import MUTED, SMALL_PT, styled
from harness.summary import COSTS, unranked_reason


def costing(trials: pd.DataFrame, column: str, about: About) -> Drawing:
    """A cost of `summary.COSTS` for the trials of one point; stores that do not tell are left out.

    Classes share the axis: a byte is a byte, whatever it survives.
    """
    told = trials[trials[column].notna()]
    bands = [_band(str(key), mine, column) for key, mine in told.groupby("key", sort=False)]
    bands.sort(key=lambda band: band.median or 0)
    silent = sorted(set(trials["key"]) - set(told["key"]))
    words_ = Words(
        title=f"{COSTS[column].capitalize()} an event",
        subtitle="a dot a repetition, a bar the median",
        caption=caption(trials, about, extra=[f"not told: {', '.join(silent)}"] if silent else []),
        alternative=f"{COSTS[column].capitalize()} an event, medians: "
        + "; ".join(f"{band.key} {band.figure}" for band in bands) + ".",
    )  # fmt: skip
    with styled():
        sheet = Sheet(words_, bands_height_in(bands) + HEAD_IN)
        if bands:
            _axis(draw_bands(sheet, bands, dict(about.marks)))
    return sheet.figure


def _band(key: str, trials: pd.DataFrame, column: str) -> Band:
    counts = [not unranked_reason(trial) for _, trial in trials.iterrows()]
    values = trials[column].astype("float64")
    median = float((values[counts] if any(counts) else values).median())
    return Band(
        key=key,
        figure=words.number(median),
        dots=[
            Dots(values[counts].tolist()),
            Dots(values[[not each for each in counts]].tolist(), hollow=True),
        ],
        median=median,
    )


def _axis(axes: Axes) -> None:
    axes.set_xlim(0, axes.dataLim.x1 * 1.04 if axes.dataLim.x1 > 0 else 1)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.short(value)))
    axes.set_xlabel("for each event appended or read", color=MUTED, fontsize=SMALL_PT)

"""Latency over time as a heat map: it shows whether slow operations spread out or cluster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator

from harness.analysis.summary import SamplesOf, heat
from harness.domain import formatting
from harness.render.figures.lines import AXIS_IN, LEFT_IN
from harness.render.figures.sheet import HEAD_IN, MARGIN_IN, About, Drawing, Sheet, Words, caption
from harness.render.figures.style import MUTED, SMALL_PT, log_time, styled, wrapped

_PANEL_IN = 1.5
_CHARACTERS = 52


def heat_map(trials: pd.DataFrame, samples_of: SamplesOf, about: About) -> Drawing:
    """One panel for each store, of its first repetition, for the trials of one point.

    Stores without samples have no panel. It shows response times of open loads, otherwise service
    times.
    """
    start = "intended_ns" if (trials["load"] == "open").any() else "sent_ns"
    heats = _heats(trials, samples_of, start)
    with styled():
        lines = sum(len(wrapped(key, _CHARACTERS)) for key, _ in heats)
        room = len(heats) * (_PANEL_IN + AXIS_IN) + lines * HEAD_IN
        sheet = Sheet(_words(trials, heats, about), room)
        for key, counts in heats:
            for line in wrapped(key, _CHARACTERS):
                sheet.head(line)
            axes = sheet.panel(_PANEL_IN, left=LEFT_IN, right=MARGIN_IN + 0.1, below=AXIS_IN)
            _draw(axes, counts)
    return sheet.figure


def _heats(
    trials: pd.DataFrame, samples_of: SamplesOf, start: str
) -> list[tuple[str, pd.DataFrame]]:
    heats = []
    for key, mine in trials[trials["status"] == "done"].groupby("key", sort=False):
        samples = samples_of(str(mine["trial_id"].iloc[0]))
        counts = pd.DataFrame() if samples is None else heat(samples, start=start)
        if len(counts):
            heats.append((str(key), counts))
    return heats


def _draw(axes: Axes, counts: pd.DataFrame) -> None:
    """Empty cells keep the background; the palest colour is one operation."""
    values = counts.to_numpy()
    seconds, ns = _edges(counts.columns), _edges(counts.index, ratio=True)
    shown = np.ma.masked_equal(values, 0)
    axes.pcolormesh(seconds, ns, shown, cmap="viridis_r", norm=LogNorm(1, max(values.max(), 2)),
                    rasterized=True)  # fmt: skip
    log_time(axes, axes.yaxis, ns)
    axes.set_xlim(seconds[0], seconds[-1])
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(visible=False)
    axes.set_xlabel("second", color=MUTED, fontsize=SMALL_PT)


def _edges(lower: pd.Index, *, ratio: bool = False) -> np.ndarray:
    """The lower edges and the upper edge of the last cell."""
    edges = lower.to_numpy(dtype=float)
    last = edges[-1] ** 2 / edges[-2] if ratio else 2 * edges[-1] - edges[-2]
    return np.append(edges, last)


def _words(trials: pd.DataFrame, heats: Sequence[tuple[str, pd.DataFrame]], about: About) -> Words:
    times = "Response" if (trials["load"] == "open").any() else "Service"
    ranges = [
        f"{key} {formatting.duration(c.index[0])} to {formatting.duration(c.index[-1])}"
        for key, c in heats
    ]
    return Words(
        title=f"{times} time over time",
        subtitle="operations by second and time taken; darker is more (log scale)",
        caption=caption(trials, about, extra=[] if heats else ["no trial kept its samples"]),
        alternative=f"{times} time over time; the range of each store: {'; '.join(ranges)}.",
    )

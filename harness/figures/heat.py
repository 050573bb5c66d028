"""Latency over time as a heat map: whether the slow operations were everywhere or at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator

from harness import words
from harness.figures.captions import About, caption
from harness.figures.drawing import Drawing
from harness.figures.labels import wrapped
from harness.figures.lines import AXIS_IN, LEFT_IN
from harness.figures.scales import log_time
from harness.figures.sheet import HEAD_IN, MARGIN_IN, Sheet, Words
from harness.figures.style import MUTED, SMALL_PT, styled
from harness.summary import SamplesOf, heat

_PANEL_IN = 1.5
_CHARACTERS = 52


def heat_map(trials: pd.DataFrame, samples_of: SamplesOf, about: About) -> Drawing:
    """A panel a store, of its first repetition, for the trials of one point.

    Stores without samples have no panel. Times are response for open loads, else service.
    """
    start = "intended_ns" if (trials["load"] == "open").any() else "sent_ns"
    found = _heats(trials, samples_of, start)
    with styled():
        lines = sum(len(wrapped(key, _CHARACTERS)) for key, _ in found)
        room = len(found) * (_PANEL_IN + AXIS_IN) + lines * HEAD_IN
        sheet = Sheet(_words(trials, found, about), room)
        for key, counts in found:
            for line in wrapped(key, _CHARACTERS):
                sheet.head(line)
            axes = sheet.panel(_PANEL_IN, left=LEFT_IN, right=MARGIN_IN + 0.1, below=AXIS_IN)
            _draw(axes, counts)
    return sheet.figure


def _heats(
    trials: pd.DataFrame, samples_of: SamplesOf, start: str
) -> list[tuple[str, pd.DataFrame]]:
    found = []
    for key, mine in trials[trials["status"] == "done"].groupby("key", sort=False):
        samples = samples_of(str(mine["trial_id"].iloc[0]))
        counts = pd.DataFrame() if samples is None else heat(samples, start=start)
        if len(counts):
            found.append((str(key), counts))
    return found


def _draw(axes: Axes, counts: pd.DataFrame) -> None:
    """Empty cells stay paper; the palest colour is one operation."""
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
    """Lower edges with the last upper one."""
    edges = lower.to_numpy(dtype=float)
    last = edges[-1] ** 2 / edges[-2] if ratio else 2 * edges[-1] - edges[-2]
    return np.append(edges, last)


def _words(trials: pd.DataFrame, found: Sequence[tuple[str, pd.DataFrame]], about: About) -> Words:
    times = "Response" if (trials["load"] == "open").any() else "Service"
    told = [
        f"{key} {words.duration(c.index[0])} to {words.duration(c.index[-1])}" for key, c in found
    ]
    return Words(
        title=f"{times} time over time",
        subtitle="each second's operations by how long they took; darker is more, logarithmic",
        caption=caption(trials, about, extra=[] if found else ["no trial kept its samples"]),
        alternative=f"{times} time over time; the range of each store: {'; '.join(told)}.",
    )

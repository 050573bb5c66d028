"""Goodput against contention by design, and how each design keeps rules that span streams."""

from __future__ import annotations

import pandas as pd

from harness.analysis import summary
from harness.render.figures.contention import Measure, by_contention, medians, words
from harness.render.figures.sheet import About, Drawing

_GOODPUT = Measure("goodput_per_s", "goodput, operations that ended well a second")
_MEASURES = (
    _GOODPUT,
    Measure("conflicts_per_op", "conflicts an operation"),
    Measure("false_conflicts_per_op", "false conflicts an operation", always=False),
    Measure("broken", "rules found broken after a trial", always=False),
)


def rules(trials: pd.DataFrame, about: About) -> Drawing:
    """The trials of one load and durability class by point; contention rises to the right.

    A line is a design: a store, and how its clients protect the rules. Rules are only drawn for
    designs that promise none, and for those that broke their promise.
    """
    rows = summary.rules(trials)
    text = words(trials, rows, about, title="Goodput by design\n", alternative=_alternative(rows))
    return by_contention(rows, _MEASURES, text, about)


def _alternative(rows: pd.DataFrame) -> str:
    """Goodput at the least and at the most contended point."""
    middle = medians(rows, _GOODPUT).sort_values("x")
    changes = [
        f"{key} from {group[_GOODPUT.column].iloc[0]:,.0f} to"
        f" {group[_GOODPUT.column].iloc[-1]:,.0f}"
        for key, group in middle.groupby("key")
    ]
    return "Operations a second as contention rises: " + "; ".join(changes) + "."

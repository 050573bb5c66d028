"""A comparison as a table for people, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.text import Text

from harness.analysis.comparison import Comparison, Row, Verdict, strays
from harness.domain import formatting
from harness.render.table import Cell, Column, Table, Tone, numbers, print_under_heading

PAIRS_MIN = 2
"""One pair has no spread to tell from how many more there would have to be."""
_TONES = {
    Verdict.REGRESSED: Tone.BAD,
    Verdict.IMPROVED: Tone.GOOD,
    Verdict.EQUIVALENT: Tone.PLAIN,
    Verdict.INCONCLUSIVE: Tone.DOUBTFUL,
}


def print_comparison(comparison: Comparison, warnings: Sequence[str], console: Console) -> None:
    """A table a subject and point; what an inconclusive row would need stands under it."""
    for heading, group in groupby(comparison.rows, lambda row: f"{row.subject}, {row.point}"):
        rows = list(group)
        shown = [row for row in rows if not (row.metric.kind == "share" and row.nothing)]
        print_under_heading(_table(heading, shown), console)
        for row in rows:
            if row.verdict == Verdict.INCONCLUSIVE:
                console.print(Text(f"? {row.metric.label}: {_undecided(row)}"), soft_wrap=True)
    for warning in warnings:
        console.print(Text(f"! {warning}", style="yellow"), soft_wrap=True)


def as_plain(comparison: Comparison, warnings: Sequence[str]) -> dict[str, Any]:
    """The same as plain values; what is not a number is null."""
    return {"rows": [_plain(row) for row in comparison.rows], "warnings": list(warnings)}


def _table(caption: str, rows: Sequence[Row]) -> Table:
    """At most 80 columns wide."""
    columns = (
        Column("", whole=True),
        *numbers("base", "candidate", "change", "between", "pairs"),
        Column("", whole=True, kept=True, least=1 + max(map(len, Verdict))),
    )
    return Table(columns, [_cells(row) for row in rows], caption)


def _cells(row: Row) -> tuple[str | Cell, ...]:
    return (
        row.metric.label,
        row.metric.shown_value(row.base),
        row.metric.shown_value(row.candidate),
        row.shown_change,
        _between(row),
        str(row.estimate.pairs),
        Cell(str(row.verdict), _TONES[row.verdict]),
    )


def _between(row: Row) -> str:
    estimate, shown = row.estimate, row.metric.shown_change
    low, high = shown(estimate.low), shown(estimate.high)
    if formatting.MISSING in (low, high):
        return formatting.MISSING
    unit = high.rpartition(" ")[2]
    return f"{low.removesuffix(f' {unit}') if unit in {'%', 'pp'} else low} … {high}"


def _undecided(row: Row) -> str:
    """What it would take."""
    estimate = row.estimate
    if row.metric.kind == "share":
        return "the pairs do not agree: some lie beyond the margin, and some do not"
    if row.metric.kind == "counted":
        return _disagreement(row)
    if estimate.least_effect is None:
        pairs = "1 pair is" if estimate.pairs == 1 else f"{estimate.pairs} pairs are"
        shown = f"{pairs} too few to show any change"
    else:
        shown = (
            f"these pairs would have shown a change of {formatting.percent(estimate.least_effect)}"
        )
    more = estimate.more_pairs
    if more is None and estimate.pairs < PAIRS_MIN:
        return shown
    if more is None:
        return f"{shown}; over a thousand more would not decide: it lies at the margin"
    return f"{shown}; about {more} more would decide"


def _disagreement(row: Row) -> str:
    """Why counts, which are no samples, did not decide."""
    if row.metric.grain:
        grain = formatting.size(row.metric.grain)
        return (
            f"the pairs do not agree, or differ by no more than a table grows by at once ({grain})"
        )
    reason = "the pairs do not agree: something else was counted in some of them"
    hint = "; from nine pairs on, one on each side does not decide"
    return reason if strays(row.estimate.pairs) else reason + hint


_CHANGES = {
    "ratio": ("ratio", "ratio_low", "ratio_high"),
    "difference": ("difference", "difference_low", "difference_high"),
}
"""The names in JSON of a change and its ends: of a share of operations it is a difference."""


def _plain(row: Row) -> dict[str, Any]:
    estimate, metric = row.estimate, row.metric
    changes = _CHANGES["difference" if metric.kind == "share" else "ratio"]
    plain = {
        "subject": row.subject,
        "point": row.point,
        "metric": metric.name,
        "unit": metric.unit,
        "kind": metric.kind,
        "better": metric.better,
        "margin": metric.margin,
        "gated": metric.gated,
        "verdict": str(row.verdict),
        "base": row.base,
        "candidate": row.candidate,
        **dict.fromkeys(_CHANGES["ratio"] + _CHANGES["difference"]),
        **dict(zip(changes, (estimate.ratio, estimate.low, estimate.high), strict=True)),
        "confidence": estimate.confidence,
        "p_value": estimate.p_value,
        "pairs": estimate.pairs,
        "least_effect": estimate.least_effect,
        "more_pairs": estimate.more_pairs,
    }
    return {name: _number(value) for name, value in plain.items()}


def _number(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""A comparison as a table for people, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import words
from harness.compare import Comparison, Row, Verdict, strays

PAIRS_MIN = 2
"""One pair has no spread to tell from how many more there would have to be."""
_STYLES = {
    Verdict.REGRESSED: "red",
    Verdict.IMPROVED: "green",
    Verdict.EQUIVALENT: "",
    Verdict.INCONCLUSIVE: "yellow",
}


def print_comparison(found: Comparison, warnings: Sequence[str], console: Console) -> None:
    """A table a subject and point; what an inconclusive row would need stands under it."""
    for (subject, point), rows in groupby(found.rows, key=lambda row: (row.subject, row.point)):
        told = list(rows)
        console.print()
        console.print(Text(f"{subject}, {point}", style="bold"), soft_wrap=True)
        console.print(_table(told))
        for row in told:
            if row.verdict == Verdict.INCONCLUSIVE:
                console.print(Text(f"? {row.metric.label}: {_undecided(row)}"), soft_wrap=True)
    for warning in warnings:
        console.print(Text(f"! {warning}", style="yellow"), soft_wrap=True)


def told(found: Comparison, warnings: Sequence[str]) -> dict[str, Any]:
    """The same as plain values; what is not a number is null."""
    return {"rows": [_plain(row) for row in found.rows], "warnings": list(warnings)}


def _table(rows: Sequence[Row]) -> Table:
    """At most 80 columns wide."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for name in ("base", "candidate", "change", "between", "pairs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, min_width=1 + max(map(len, Verdict)))
    for row in rows:
        finding = row.finding
        table.add_row(
            row.metric.label,
            _value(row, row.base),
            _value(row, row.candidate),
            words.change(finding.ratio),
            _between(row),
            str(finding.pairs),
            Text(str(row.verdict), style=_STYLES[row.verdict]),
        )
    return table


def _between(row: Row) -> str:
    low, high = words.change(row.finding.low), words.change(row.finding.high)
    if words.MISSING in (low, high):
        return words.MISSING
    return f"{low.removesuffix(' %') if high.endswith('%') else low} … {high}"


def _value(row: Row, value: float) -> str:
    return words.duration(value) if row.metric.unit == "ns" else words.number(value)


def _undecided(row: Row) -> str:
    """What it would take."""
    finding = row.finding
    if row.metric.kind == "counted":
        return _disagreement(row)
    if finding.least_effect is None:
        pairs = "1 pair is" if finding.pairs == 1 else f"{finding.pairs} pairs are"
        shown = f"{pairs} too few to show any change"
    else:
        shown = f"these pairs would have shown a change of {words.percent(finding.least_effect)}"
    more = finding.more_pairs
    if more is None and finding.pairs < PAIRS_MIN:
        return shown
    if more is None:
        return f"{shown}; over a thousand more would not decide: it lies at the margin"
    return f"{shown}; about {more} more would decide"


def _disagreement(row: Row) -> str:
    """Why counts, which are no samples, did not decide."""
    if row.metric.grain:
        grain = f"{row.metric.grain / 1024:,.0f} KiB"
        return (
            f"the pairs do not agree, or differ by no more than a table grows by at once ({grain})"
        )
    told = "the pairs do not agree: something else was counted in some of them"
    hint = "; from nine pairs on, one on each side does not decide"
    return told if strays(row.finding.pairs) else told + hint


def _plain(row: Row) -> dict[str, Any]:
    finding, metric = row.finding, row.metric
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
        "ratio": finding.ratio,
        "ratio_low": finding.low,
        "ratio_high": finding.high,
        "confidence": finding.confidence,
        "p_value": finding.p_value,
        "pairs": finding.pairs,
        "least_effect": finding.least_effect,
        "more_pairs": finding.more_pairs,
    }
    return {name: _number(value) for name, value in plain.items()}


def _number(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value

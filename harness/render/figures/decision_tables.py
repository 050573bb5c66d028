"""The tables for a decision: the answer, the requirements, the declarations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from harness.analysis import summary
from harness.analysis.summary import Asked
from harness.domain import formatting
from harness.render.figures.paragraphs import Lines
from harness.render.table import Table, numbers, texts

_MARKS = {"pass": "✓ pass", "fail": "✗ fail", "unknown": "? unknown"}
_DECLARED = {
    "occ": "expected versions", "atomic_append": "whole appends", "append_only": "append-only",
    "idempotency": "retries", "global_order": "global order", "gap_free_read": "gap-free reading",
    "stream_read": "stream read", "subscription": "subscriptions", "payload": "payload",
    "writers": "writers",
}  # fmt: skip
_FACTS = {
    "multi_stream_appends": "several streams at once",
    "transactional_projections": "projections in the transaction",
    "erasure": "erasure", "backup": "backup", "licence": "licence", "source": "source",
}  # fmt: skip


def answer(trials: pd.DataFrame, asked: Asked) -> Lines:
    """The stores that meet the requirements, and the leaders among them."""
    return Lines(summary.answer(trials, asked), empty="No trial of this run has a result.")


def changes(trials: pd.DataFrame, asked: Asked) -> Lines:
    """What would change the answer."""
    return Lines(summary.changes(trials, asked), empty="Nothing that this run shows.")


def answer_tables(trials: pd.DataFrame, asked: Asked) -> Iterator[Table]:
    """One table for each durability class: stores that fail nothing, best first, with intervals.

    With several points a row has the number of points at which the store leads, and its mean ratio
    to the best of each point, with the interval over the repetitions.
    """
    chosen = summary.candidates(trials, asked)
    if chosen["point"].nunique() > 1:
        yield from _over_points(chosen)
        return
    for _, group in summary.ranking(chosen).groupby(summary.GROUP, sort=False):
        yield _answer(group)


def requirements(trials: pd.DataFrame, asked: Asked) -> Table:
    """Stores down, requirements across, a verdict in each cell."""
    judged = asked.judged(trials)
    verdicts = judged.pivot_table(
        index="key", columns="requirement", values="status", aggfunc="first", sort=False
    )
    columns = texts("store", *map(str, verdicts.columns))
    rows = [(str(key), *(_MARKS[status] for status in row)) for key, row in verdicts.iterrows()]
    return Table(columns, rows)


def reasons(trials: pd.DataFrame, asked: Asked) -> Table:
    """One row for each store and requirement: the verdict and its reason."""
    judged = asked.judged(trials)
    rows = [
        (key, requirement, _MARKS[status], reason)
        for key, requirement, status, reason in zip(*(judged[n] for n in judged), strict=True)
    ]
    return Table(texts("store", "requirement", "verdict", "why"), rows)


def declared(trials: pd.DataFrame) -> Table:
    """The guarantees that each variant declares, from the record of its trials."""
    rows = [
        (key, *(_word(declaration.get(name)) for name in _DECLARED))
        for key, declaration in _guarantees(trials)
    ]
    return Table(texts("store", *_DECLARED.values()), rows)


def facts(trials: pd.DataFrame) -> Table:
    """The facts that each variant declares with a source; they are not measured."""
    rows = [
        (key, *(str(declaration.get("facts", {}).get(name, "")) for name in _FACTS))
        for key, declaration in _guarantees(trials)
    ]
    return Table(texts("store", *_FACTS.values()), rows)


def _answer(group: pd.DataFrame) -> Table:
    first = group.iloc[0]
    times = str(first["times"])
    columns = (
        *texts("rank", minor=True), *texts("store"),
        *numbers("ops a second"), *numbers("least – most", minor=True),
        *numbers("of the best (95\u00a0%)", f"{times} p50", f"{times} p99"),
    )  # fmt: skip
    rows = [_row(row) for _, row in group.iterrows()]
    parts = (first["durability"] or "unknown durability", first["load_label"], first["point_label"])
    title = " · ".join(str(part) for part in parts if part)
    return Table(columns, rows, title)


def _row(row: pd.Series) -> tuple[str, ...]:
    key = str(row["key"])
    reason = f"not ranked: {row['reason']}" if row["reason"] else ""
    remarks = [*filter(None, (reason, "an emulator" if row["emulator"] else ""))]
    return (
        formatting.MISSING if row["reason"] else str(row["rank"]),
        f"{key} ({'; '.join(remarks)})" if remarks else key,
        formatting.number(row["throughput_per_s"]),
        formatting.numbers(row["throughput_min_per_s"], row["throughput_max_per_s"]),
        formatting.ratio_between(row["relative_to_best"], row["low"], row["high"]),
        formatting.duration(row["p50_ns"]),
        formatting.duration(row["p99_ns"]),
    )


def _over_points(trials: pd.DataFrame) -> Iterator[Table]:
    ranked = summary.ranking(trials)
    means = summary.over_points(trials)
    columns = (
        *texts("store"), *numbers("led at"), *numbers("ranked at", minor=True),
        *numbers("of the best, mean (95\u00a0%)"), *numbers("lowest", "highest", minor=True),
    )  # fmt: skip
    for names, group in means.groupby(["durability", "ranked_by"], sort=False):
        mine = ranked[(ranked["durability"] == names[0]) & (ranked["ranked_by"] == names[1])]
        rows = [_over(row, mine[mine["key"] == row["key"]]) for _, row in _ordered(group)]
        title = f"{names[0] or 'unknown durability'} · over all points, by {names[1]}"
        yield Table(columns, rows, title)


def answer_points(trials: pd.DataFrame, asked: Asked) -> Iterator[Table]:
    """One table for each durability class: stores down, points across, ratios with intervals.

    Nothing for a single point, which the answer shows, and nothing for a single store.
    """
    chosen = summary.candidates(trials, asked)
    if chosen["point"].nunique() < 2:  # noqa: PLR2004 — one point is the answer itself
        return
    means, ranked = summary.over_points(chosen), summary.ranking(chosen)
    for names, group in means.groupby(["durability", "ranked_by"], sort=False):
        mine = ranked[(ranked["durability"] == names[0]) & (ranked["ranked_by"] == names[1])]
        if len(group) == 1:
            continue
        points = {_point(at): rows for _, rows in mine.groupby(summary.GROUP, sort=False)
                  for at in [rows.iloc[0]]}  # fmt: skip
        rows = [
            (str(row["key"]), *(_at_point(rows, row["key"]) for rows in points.values()))
            for _, row in _ordered(group)
        ]
        title = f"{names[0] or 'unknown durability'} · of the best at each point (95\u00a0%)"
        yield Table(texts("store", *points), rows, f"{title}, by {names[1]}")


def _ordered(means: pd.DataFrame) -> Iterator[tuple[Any, pd.Series]]:
    """The rows, best first; stores that are not ranked at every point come last."""
    by_throughput = means["ranked_by"].iloc[0] == "throughput"
    ordered = means.sort_values("relative", ascending=not by_throughput, na_position="last")
    yield from ordered.iterrows()


def _point(row: pd.Series) -> str:
    return str(row["point_label"] or row["load_label"])


def _at_point(ranked: pd.DataFrame, key: str) -> str:
    """The store's ratio at the point: `best` for the first, a dash if it is not ranked."""
    mine = ranked[(ranked["key"] == key) & ranked["rank"].notna()]
    if mine.empty:
        return formatting.MISSING
    row = mine.iloc[0]
    if row["rank"] == 1:
        return "best"
    return formatting.ratio_between(row["relative_to_best"], row["low"], row["high"])


def _over(mean: pd.Series, ranked: pd.DataFrame) -> tuple[str, ...]:
    by_throughput = mean["ranked_by"] == "throughput"
    formatted = formatting.rate if by_throughput else formatting.duration
    values = ranked["throughput_per_s" if by_throughput else "p50_ns"]
    return (
        str(mean["key"]),
        str(int((ranked["rank"] == 1).sum())),
        f"{mean['ranked_points']} of {mean['points']}",
        formatting.ratio_between(mean["relative"], mean["low"], mean["high"]),
        formatted(values.min()),
        formatted(values.max()),
    )


def _guarantees(trials: pd.DataFrame) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each store's declaration, from its first trial that recorded one."""
    for key, cells in trials.groupby("key", sort=False)["guarantees"]:
        recorded = [json.loads(text) for text in cells if text]
        yield str(key), next(filter(None, recorded), {})


def _word(declared: object) -> str:
    if isinstance(declared, bool):
        return "yes" if declared else "no"
    return formatting.MISSING if declared is None else str(declared)

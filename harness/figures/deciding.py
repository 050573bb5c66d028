"""The tables of a decision: the answer, what is required, what is declared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from harness import summary, words
from harness.figures.tables import Lines, Table
from harness.summary import Asked

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
    """Who keeps what is required, and who leads among them."""
    return Lines(summary.answer(trials, asked), empty="No trial of this run has a result.")


def changes(trials: pd.DataFrame, asked: Asked) -> Lines:
    """What would change the answer."""
    return Lines(summary.changes(trials, asked), empty="Nothing that this run knows of.")


def answer_tables(trials: pd.DataFrame, asked: Asked) -> Iterator[Table]:
    """A table a durability class: the stores that fail nothing, best first, with intervals.

    With several points it is who led at how many of them, and the mean ratio to the best of each,
    with its interval over the repetitions.
    """
    chosen = summary.candidates(trials, asked)
    if chosen["point"].nunique() > 1:
        yield from _over_points(chosen)
        return
    behind = summary.leads(chosen)
    for _, group in summary.ranking(chosen).groupby(summary.GROUP, sort=False):
        yield _answer(group, behind)


def requirements(trials: pd.DataFrame, asked: Asked) -> Table:
    """Stores down, requirements across, a verdict each."""
    judged = asked.judged(trials)
    verdicts = judged.pivot_table(
        index="key", columns="requirement", values="status", aggfunc="first", sort=False
    )
    heads = ("store", *map(str, verdicts.columns))
    rows = [(str(key), *(_MARKS[status] for status in row)) for key, row in verdicts.iterrows()]
    return Table(heads, rows)


def reasons(trials: pd.DataFrame, asked: Asked) -> Table:
    """A row a store and requirement: why the verdict is what it is."""
    judged = asked.judged(trials)
    rows = [
        (key, requirement, _MARKS[status], reason)
        for key, requirement, status, reason in zip(*(judged[n] for n in judged), strict=True)
    ]
    return Table(("store", "requirement", "verdict", "why"), rows)


def declared(trials: pd.DataFrame) -> Table:
    """What each variant declares of itself, as its own trials recorded it."""
    rows = [
        (key, *(_word(found.get(name)) for name in _DECLARED)) for key, found in _guarantees(trials)
    ]
    return Table(("store", *_DECLARED.values()), rows)


def facts(trials: pd.DataFrame) -> Table:
    """What is declared with a source and not measured."""
    rows = [
        (key, *(str(found.get("facts", {}).get(name, "")) for name in _FACTS))
        for key, found in _guarantees(trials)
    ]
    return Table(("store", *_FACTS.values()), rows)


def _answer(group: pd.DataFrame, behind: pd.DataFrame) -> Table:
    first = group.iloc[0]
    times = str(first["times"])
    same = (behind[summary.GROUP] == first[summary.GROUP]).all(axis=1)
    ratios = {
        str(row["key"]): words.ratio_between(row["ratio"], row["low"], row["high"])
        for _, row in behind[same].iterrows()
    }
    heads = ("rank", "store", "ops a second", "least – most", "of the best (95\u00a0%)",
             f"{times} p50", f"{times} p99")  # fmt: skip
    minor = frozenset({"rank", "least – most"})
    rows = [_row(row, ratios) for _, row in group.iterrows()]
    parts = (first["durability"] or "unknown durability", first["load_label"], first["point_label"])
    title = " · ".join(str(part) for part in parts if part)
    return Table(heads, rows, title=title, numbers=frozenset(heads[2:]), minor=minor)


def _row(row: pd.Series, ratios: Mapping[str, str]) -> tuple[str, ...]:
    key = str(row["key"])
    reason = f"not ranked: {row['reason']}" if row["reason"] else ""
    remarks = [*filter(None, (reason, "an emulator" if row["emulator"] else ""))]
    return (
        words.MISSING if row["reason"] else str(row["rank"]),
        f"{key} ({'; '.join(remarks)})" if remarks else key,
        words.number(row["throughput_per_s"]),
        words.numbers(row["throughput_min_per_s"], row["throughput_max_per_s"]),
        ratios.get(key) or words.ratio(row["relative_to_best"]),
        words.duration(row["p50_ns"]),
        words.duration(row["p99_ns"]),
    )


def _over_points(trials: pd.DataFrame) -> Iterator[Table]:
    ranked = summary.ranking(trials)
    means = summary.over_points(trials)
    heads = ("store", "led at", "ranked at", "of the best, mean (95\u00a0%)", "lowest", "highest")
    for names, group in means.groupby(["durability", "ranked_by"], sort=False):
        mine = ranked[(ranked["durability"] == names[0]) & (ranked["ranked_by"] == names[1])]
        rows = [_over(row, mine[mine["key"] == row["key"]]) for _, row in _ordered(group)]
        title = f"{names[0] or 'unknown durability'} · over all points, by {names[1]}"
        yield Table(heads, rows, title=title, numbers=frozenset(heads[1:]),
                    minor=frozenset({"ranked at", "lowest", "highest"}))  # fmt: skip


def answer_points(trials: pd.DataFrame, asked: Asked) -> Iterator[Table]:
    """A table a durability class: stores down, points across, each ratio with its interval.

    Nothing where there is one point, since the answer itself has them then, or one store.
    """
    chosen = summary.candidates(trials, asked)
    if chosen["point"].nunique() < 2:  # noqa: PLR2004 — one point is the answer itself
        return
    means, ranked = summary.over_points(chosen), summary.ranking_by_pairs(chosen)
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
        yield Table(("store", *points), rows, title=f"{title}, by {names[1]}")


def _ordered(means: pd.DataFrame) -> Iterator[tuple[Any, pd.Series]]:
    """Best first; those that were not ranked everywhere last."""
    by_throughput = means["ranked_by"].iloc[0] == "throughput"
    ordered = means.sort_values("relative", ascending=not by_throughput, na_position="last")
    yield from ordered.iterrows()


def _point(row: pd.Series) -> str:
    return str(row["point_label"] or row["load_label"])


def _at_point(ranked: pd.DataFrame, key: str) -> str:
    """The store's ratio there, `best` for the first, a dash where it was not ranked."""
    mine = ranked[(ranked["key"] == key) & ranked["rank"].notna()]
    if mine.empty:
        return words.MISSING
    row = mine.iloc[0]
    if row["rank"] == 1:
        return "best"
    return words.ratio_between(row["relative_to_best"], row["low"], row["high"])


def _over(mean: pd.Series, ranked: pd.DataFrame) -> tuple[str, ...]:
    by_throughput = mean["ranked_by"] == "throughput"
    told = words.rate if by_throughput else words.duration
    values = ranked["throughput_per_s" if by_throughput else "p50_ns"]
    return (
        str(mean["key"]),
        str(int((ranked["rank"] == 1).sum())),
        f"{mean['ranked_points']} of {mean['points']}",
        words.ratio_between(mean["relative"], mean["low"], mean["high"]),
        told(values.min()),
        told(values.max()),
    )


def _guarantees(trials: pd.DataFrame) -> Iterator[tuple[str, dict[str, Any]]]:
    """By store, of its first trial that recorded any."""
    for key, texts in trials.groupby("key", sort=False)["guarantees"]:
        found = [json.loads(text) for text in texts if text]
        yield str(key), next(filter(None, found), {})


def _word(declared: object) -> str:
    if isinstance(declared, bool):
        return "yes" if declared else "no"
    return words.MISSING if declared is None else str(declared)

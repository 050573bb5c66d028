"""A run on a terminal: the ranking of its stores, and what an event costs in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from harness.analysis import summary
from harness.domain import formatting
from harness.domain.flags import parsed, sentence
from harness.render.table import Column, Table, numbers, print_under_heading, texts

_NUMBERS = ("ops/s", "spread", "of best", "p50", "p99")
_STORE_WIDTH = 28
_TITLE = ["durability", "load_label", "point_label"]


def print_heading(manifest: Mapping[str, Any], console: Console) -> None:
    """Which run it is. Pairs of commits that were cut off have no commit of their own yet."""
    scenario, commit = manifest["scenario"], manifest.get("commit", {})
    cpu = manifest.get("environment", {}).get("cpu", {})
    status = manifest.get("status", "unknown")
    console.print(Text(f"{manifest['run']} ({status})", style="bold"))
    console.print(Text(scenario.get("description", "").strip()), soft_wrap=True)
    console.print(
        Text(
            f"{cpu.get('model')}, {cpu.get('cores')} cores, commit"
            f" {commit.get('commit', 'none')[:12]}, seed {scenario.get('seed', 'unknown')}"
        )
    )
    print_flags(manifest, console)


def print_flags(manifest: Mapping[str, Any], console: Console) -> None:
    """What a reader must know of every number of the run, a line each."""
    for stored in manifest.get("flags", []):
        console.print(Text(f"! {sentence([parsed(stored)])}", style="yellow"), soft_wrap=True)


def print_ranking(trials: pd.DataFrame, console: Console) -> None:
    """A table a scenario point and durability class, best first, flags in plain words."""
    ranked = summary.ranking(trials)
    for names, group in ranked.groupby(_TITLE, sort=False):
        durability, load, point = map(str, names)
        times = f"{group['times'].iloc[0]} times"
        caption = ", ".join(filter(None, (durability, load, point, times)))
        print_under_heading(_ranking_table(caption, group), console, gap=2)
        for _, row in group.iterrows():
            _print_remarks(row, console)
    _print_rules(trials, console)
    _print_costs(trials, console)
    _print_client_cpu(trials, console)


_RULES = (
    "conflicts\nan op", "false\nan op", "read a\ndecision", "undone\nan op", "rules\nbroken",
)  # fmt: skip


def _print_rules(trials: pd.DataFrame, console: Console) -> None:
    """What it took to keep the rules of a workload that has any, a table a point and class."""
    rows = summary.rules_by_point(summary.under_rules(trials))
    for names, group in rows.groupby(_TITLE, sort=False):
        width = min(_STORE_WIDTH, max(map(len, group["key"])))
        columns = (Column("store", least=width, most=width), *numbers(*_RULES, whole=False))
        cells = [(str(row["key"]), *_rules_cells(row)) for _, row in group.iterrows()]
        caption = ", ".join(filter(None, ("rules across streams", *map(str, names))))
        print_under_heading(Table(columns, cells, caption), console)


def _rules_cells(row: pd.Series) -> Iterator[str]:
    yield formatting.hundredths(row["conflicts_per_op"])
    yield formatting.hundredths(row["false_conflicts_per_op"])
    yield formatting.number(row["read_per_decision"])
    yield formatting.hundredths(row["compensations_per_op"])
    yield str(row["broken"])


def _print_costs(trials: pd.DataFrame, console: Console) -> None:
    """What an event costs, a table a point and durability class."""
    for names, group in summary.costs(trials).groupby(_TITLE, sort=False):
        had = [name for name in summary.COSTS if name in group and group[name].notna().any()]
        width = min(_STORE_WIDTH, max(map(len, group["key"])))
        columns = (
            Column("store", least=width, most=width),
            *numbers(*(summary.COSTS[name] for name in had), whole=False),
        )
        rows = [
            (str(row["key"]), *(formatting.number(row[name]) for name in had))
            for _, row in group.iterrows()
        ]
        caption = ", ".join(filter(None, ("costs an event", *map(str, names))))
        print_under_heading(Table(columns, rows, caption), console)


def _print_client_cpu(trials: pd.DataFrame, console: Console) -> None:
    """Where a client's CPU time goes, for the stores whose driver is known by itself."""
    parts = summary.client_cpu(trials)
    for names, group in parts[parts["driver_share"].notna()].groupby(_TITLE, sort=False):
        width = min(_STORE_WIDTH, max(map(len, group["key"])))
        heads = (*summary.CLIENT_PARTS.values(), "bare\nloop")
        columns = (Column("store", least=width, most=width), *numbers(*heads, whole=False))
        rows = [
            (
                str(row["key"]),
                *(formatting.number(row[name]) for name in summary.CLIENT_PARTS),
                formatting.percent(row["driver_share"]),
            )
            for _, row in group.iterrows()
        ]
        caption = ", ".join(filter(None, ("client CPU an event", *map(str, names))))
        print_under_heading(Table(columns, rows, caption), console)


def _ranking_table(caption: str, group: pd.DataFrame) -> Table:
    """At most 80 columns wide; remarks on the numbers stand under it."""
    columns = (*texts(""), Column("store", most=_STORE_WIDTH), *numbers(*_NUMBERS))
    return Table(columns, [_ranking_cells(row) for _, row in group.iterrows()], caption)


def _ranking_cells(row: pd.Series) -> list[str]:
    middle = row["throughput_per_s"]
    spread = row["throughput_max_per_s"] - row["throughput_min_per_s"]
    return [
        str(row["rank"]) if row["reason"] == "" else formatting.MISSING,
        str(row["key"]),
        formatting.number(middle),
        formatting.percent(spread / middle if middle else None),
        formatting.ratio_between(row["relative_to_best"], row["low"], row["high"]),
        formatting.duration(row["p50_ns"]),
        formatting.duration(row["p99_ns"]),
    ]


def _print_remarks(row: pd.Series, console: Console) -> None:
    remarks = "; ".join(filter(None, [row["reason"], *row["flags"], row["emulator"]]))
    if remarks:
        console.print(Text(f"! {row['key']}: {remarks}", style="yellow"), soft_wrap=True)


_FAULT_STORE_WIDTH = 22
_FAULT_NUMBERS = ("away", "back\nafter", "rate back\nafter", "errors", "lost")
_NS_A_S = 1e9


def print_trouble(trials: pd.DataFrame, faults: pd.DataFrame, console: Console) -> None:
    """What faults did to each store, the worst of its repetitions; nothing without faults."""
    if not len(faults):
        return
    console.print()
    for sentence_ in summary.trouble(trials, faults):
        console.print(Text(sentence_), soft_wrap=True)
    rows = summary.worst(faults)
    reached = rows[rows["reached"]]
    if len(reached):
        width = min(_FAULT_STORE_WIDTH, max(map(len, reached["key"])))
        columns = (
            Column("store", least=width, most=width),
            Column("fault", whole=True),
            *numbers(*_FAULT_NUMBERS, whole=False),
            *numbers("backlog"),
        )
        cells = [_fault_cells(row) for _, row in reached.iterrows()]
        print_under_heading(Table(columns, cells, "what clients saw of each fault"), console)
    for (key, why), group in rows[~rows["reached"]].groupby(["key", "why_not"], sort=False):
        kinds = ", ".join(group["fault"])
        line = f"! {key}: not reached: {kinds}: {why}"
        console.print(Text(line, style="yellow"), soft_wrap=True)


def _fault_cells(row: pd.Series) -> list[str]:
    times = (row["silent_s"], row["first_ok_s"], row["restored_s"])
    counts = (row["errors"], row["lost"], row["backlog_max"])
    return [
        str(row["key"]),
        str(row["fault"]),
        *(formatting.MISSING if pd.isna(s) else formatting.duration(s * _NS_A_S) for s in times),
        *(formatting.MISSING if pd.isna(n) else f"{int(n):,}" for n in counts),
    ]

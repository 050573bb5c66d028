"""`eslab show` and `report`: a finished run as tables on the terminal, or as its page."""

from __future__ import annotations

import importlib.util
import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import results, words
from harness.errors import MissingExtra

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = ("ops/s", "spread", "of best", "p50", "p99")
_STORE_WIDTH = 28
_TITLE = ["durability", "load_label", "point_label"]


def show(folder: Path, *, json: bool) -> None:
    """Print the ranking and the verdicts of a run."""
    require_notebooks()
    run = results.load(folder)
    if json:
        trials = json_.loads(run.trials.to_json(orient="records", date_format="iso"))
        print(json_.dumps({"manifest": run.manifest, "trials": trials}, indent=2))
        return
    console = Console(highlight=False)
    _print_heading(run.manifest, console)
    print_ranking(folder, console)


def report(folder: Path, *, notebooks: bool, json: bool) -> None:
    """Write the run's page, execute its notebooks if asked to, and say where they are."""
    require_notebooks()
    from harness.report import write_report, write_with_notebooks

    console = Console(stderr=True)
    doing = "making the page and executing the notebooks" if notebooks else "making the page"
    with console.status(doing):
        paths = write_with_notebooks(folder) if notebooks else [write_report(folder)]
    made = dict(zip(("report", "notebooks"), map(str, paths), strict=False))
    print(json_.dumps(made) if json else "\n".join(made.values()))


def print_ranking(folder: Path, console: Console) -> None:
    """A table a scenario point and durability class, best first, flags in plain words."""
    require_notebooks()
    from harness import summary

    trials = results.load(folder).trials
    ranked = summary.ranking(trials)
    for names, group in ranked.groupby(_TITLE, sort=False):
        durability, load, point = map(str, names)
        title = ", ".join(
            filter(None, (durability, load, point, f"{group['times'].iloc[0]} times"))
        )
        console.print()
        console.print(Text(title, style="bold"), soft_wrap=True)
        console.print(_ranking_table(group))
        for _, row in group.iterrows():
            _print_remarks(row, console)
    _print_costs(trials, console)


def _print_costs(trials: pd.DataFrame, console: Console) -> None:
    """What an event costs, a table a point and durability class."""
    from harness import summary

    for names, group in summary.costs(trials).groupby(_TITLE, sort=False):
        had = [name for name in summary.COSTS if name in group and group[name].notna().any()]
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
        width = min(_STORE_WIDTH, max(map(len, group["key"])))
        table.add_column("store", width=width, overflow="fold")
        for name in had:
            table.add_column(summary.COSTS[name], justify="right")
        for _, row in group.iterrows():
            table.add_row(str(row["key"]), *(words.number(row[name]) for name in had))
        console.print()
        title = ", ".join(filter(None, ("costs an event", *map(str, names))))
        console.print(Text(title, style="bold"), soft_wrap=True)
        console.print(table)


def _ranking_table(group: pd.DataFrame) -> Table:
    """At most 80 columns wide; what is to be said beside the numbers stands under it."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column("store", max_width=_STORE_WIDTH, overflow="fold")
    for name in _NUMBERS:
        table.add_column(name, justify="right", no_wrap=True)
    for _, row in group.iterrows():
        table.add_row(*_ranking_cells(row))
    return table


def _ranking_cells(row: pd.Series) -> list[str]:
    middle = row["throughput_per_s"]
    spread = row["throughput_max_per_s"] - row["throughput_min_per_s"]
    return [
        str(row["rank"]) if row["reason"] == "" else words.MISSING,
        str(row["key"]),
        words.number(middle),
        words.percent(spread / middle if middle else None),
        words.ratio(row["relative_to_best"]),
        words.duration(row["p50_ns"]),
        words.duration(row["p99_ns"]),
    ]


def _print_remarks(row: pd.Series, console: Console) -> None:
    remarks = "; ".join(filter(None, [row["reason"], *row["flags"], row["emulator"]]))
    if remarks:
        console.print(Text(f"! {row['key']}: {remarks}", style="yellow"), soft_wrap=True)


def _print_heading(manifest: dict[str, Any], console: Console) -> None:
    """Pairs of commits that were cut off have no commit of their own yet."""
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
    for flag in manifest.get("flags", []):
        console.print(Text(f"! {flag}", style="yellow"))


def require_notebooks() -> None:
    """Raises `MissingExtra` where there is no pandas."""
    if importlib.util.find_spec("pandas") is None:
        raise MissingExtra("tables need pandas; pip install 'eventstore-lab[notebooks]'")

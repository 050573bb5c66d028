"""`eslab history`: add a run, show the series, find where they changed."""

from __future__ import annotations

import json as json_
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.shared import Json, require_statistics
from harness.domain import formatting
from harness.domain.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from harness.analysis.trends import Change

File = Annotated[Path, typer.Option(help="The history.")]
_FILE = Path("results/history.csv")
_SHOWN = {"throughput": "ops/s", "p50": "p50", "cpu": "CPU µs/event", "wal": "log bytes/event"}
_COMMIT = 9


app = typer.Typer(
    help="An append-only CSV of runs: add one, show it, find where it changed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def add(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    file: File = _FILE,
    json: Json = False,
) -> None:
    """Add a run's medians, a row a store and point."""
    require_statistics()
    from harness import results
    from harness.analysis import trends

    added = results.load(run)
    rows = trends.rows(added.manifest, added.trials)
    trends.append(file, rows)
    if json:
        print(json_.dumps({"file": str(file), "rows": len(rows)}))
    else:
        print(f"{file}: {len(rows)} row{'s' if len(rows) != 1 else ''} added")


@app.command()
def show(
    file: File = _FILE,
    key: Annotated[str, typer.Option(help="Only this store.")] = "",
    json: Json = False,
) -> None:
    """Show the series, oldest first."""
    require_statistics()
    from rich.console import Console

    from harness.analysis import trends

    history = trends.read(file)
    if key and key not in set(history["key"]):
        known = ", ".join(dict.fromkeys(history["key"]))
        raise BadInput(f"--key {key}: not in {file}; it has {known or 'nothing'}")
    history = history[history["key"] == key] if key else history
    if json:
        print(history.to_json(orient="records", indent=2))
        return
    console = Console(highlight=False)
    for _, series in history.groupby(list(trends.SERIES), sort=False):
        _print_series(series, console)


@app.command()
def changes(
    file: File = _FILE,
    least: Annotated[float, typer.Option(help="Smallest change to report, in percent.")] = 5.0,
    json: Json = False,
) -> None:
    """Find where a series changed for good. An alert; it fails nothing."""
    require_statistics()
    from rich.console import Console

    from harness.analysis import trends

    if not 0 < least < 100:  # noqa: PLR2004 — percent
        raise BadInput(f"--least {least:g}: expected a percentage between 0 and 100")
    history = trends.read(file)
    with Console(stderr=True).status("looking for change points"):
        points = trends.changes(history, least=least / 100)
    if json:
        print(json_.dumps([asdict(each) | {"ratio": each.ratio} for each in points], indent=2))
        return
    for each in points:
        print(_line(each))
    if not points:
        print(f"no change of {least:g} % or more in {len(history)} rows")


def _print_series(series: pd.DataFrame, console: Console) -> None:
    from harness.analysis import trends
    from harness.render.table import Column, Table, numbers, print_under_heading

    whole = [Column(name, whole=True) for name in ("when (UTC)", "commit")]
    rows = [
        (
            str(row["time"])[:16].replace("T", " "),
            str(row["commit"])[:_COMMIT] + ("+" if row["dirty"] == "True" else ""),
            *(_value(name, row[name]) for name in _SHOWN),
        )
        for _, row in series.iterrows()
    ]
    table = Table((*whole, *numbers(*_SHOWN.values())), rows, trends.called(series.iloc[0]))
    print_under_heading(table, console)


def _value(name: str, value: float) -> str:
    return formatting.duration(value) if name == "p50" else formatting.number(value)


def _line(change: Change) -> str:
    from harness.analysis import trends
    from harness.analysis.comparison import named

    metric = named(change.metric)
    label = metric.label if metric else change.metric
    before, after = (_value(change.metric, value) for value in (change.before, change.after))
    size = formatting.change(change.ratio)
    when = f"{change.time[:16].replace('T', ' ')} {change.commit[:_COMMIT]}"
    return f"{when} {trends.called(asdict(change))}: {label} {size}: {before} to {after}"

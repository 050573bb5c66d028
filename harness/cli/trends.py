"""`eslab history`: add a run, show the series, find where they changed."""

from __future__ import annotations

import json as json_
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import results, words
from harness import trends as trends_
from harness.compare import named
from harness.errors import BadInput
from harness.trends import SERIES, Change

_SHOWN = {"throughput": "ops/s", "p50": "p50", "cpu": "CPU µs/event", "wal": "log bytes/event"}
_COMMIT = 9


def add(run: Path, file: Path, *, json: bool) -> None:
    """Add a run. Raises `BadInput` for one that is there already."""
    found = results.load(run)
    rows = trends_.rows(found.manifest, found.trials)
    trends_.append(file, rows)
    if json:
        print(json_.dumps({"file": str(file), "rows": len(rows)}))
    else:
        print(f"{file}: {len(rows)} row{'s' if len(rows) != 1 else ''} added")


def show(file: Path, key: str, *, json: bool) -> None:
    """Print the series, a table each."""
    history = trends_.read(file)
    if key and key not in set(history["key"]):
        known = ", ".join(dict.fromkeys(history["key"]))
        raise BadInput(f"--key {key}: not in {file}; it has {known or 'nothing'}")
    history = history[history["key"] == key] if key else history
    if json:
        print(history.to_json(orient="records", indent=2))
        return
    console = Console(highlight=False)
    for _, series in history.groupby(list(SERIES), sort=False):
        _print_series(series, console)


def changes(file: Path, least: float, *, json: bool) -> None:
    """Print the change points. Raises `MissingExtra` without Apache Otava."""
    if not 0 < least < 100:  # noqa: PLR2004 — percent
        raise BadInput(f"--least {least:g}: expected a percentage between 0 and 100")
    history = trends_.read(file)
    console = Console(stderr=True)
    with console.status("looking for change points"):
        found = trends_.changes(history, least=least / 100)
    if json:
        print(json_.dumps([asdict(each) | {"ratio": each.ratio} for each in found], indent=2))
        return
    for each in found:
        print(_told(each))
    if not found:
        print(f"no change of {least:g} % or more in {len(history)} rows")


def _print_series(series: pd.DataFrame, console: Console) -> None:
    first = series.iloc[0]
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    for name in ("when (UTC)", "commit"):
        table.add_column(name, no_wrap=True)
    for label in _SHOWN.values():
        table.add_column(label, justify="right", no_wrap=True)
    for _, row in series.iterrows():
        commit = str(row["commit"])[:_COMMIT] + ("+" if row["dirty"] == "True" else "")
        table.add_row(
            str(row["time"])[:16].replace("T", " "),
            commit,
            *(_value(name, row[name]) for name in _SHOWN),
        )
    console.print()
    console.print(Text(trends_.called(first), style="bold"), soft_wrap=True)
    console.print(table)


def _value(name: str, value: float) -> str:
    return words.duration(value) if name == "p50" else words.number(value)


def _told(change: Change) -> str:
    metric = named(change.metric)
    label = metric.label if metric else change.metric
    before, after = (_value(change.metric, value) for value in (change.before, change.after))
    size = words.change(change.ratio)
    when = f"{change.time[:16].replace('T', ' ')} {change.commit[:_COMMIT]}"
    return f"{when} {trends_.called(asdict(change))}: {label} {size}: {before} to {after}"

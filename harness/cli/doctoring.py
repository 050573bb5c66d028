"""`eslab doctor`: each store, each way to get its server, and what would make it ready."""

from __future__ import annotations

import importlib.util
import json as json_
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import environment
from harness.cli.catalogue import catalogue
from harness.servers import TECHNOLOGIES, WAYS, Availability, probe


def doctor(*, json: bool) -> None:
    """Print the table of ways, the optional tools, and the machine."""
    rows = _rows()
    facts = environment.describe(Path())
    tools = _tools()
    if json:
        print(json_.dumps({"ways": rows, "tools": tools, "environment": facts}, indent=2))
        return
    console = Console(highlight=False)
    console.print(_table(rows))
    for name, state in tools.items():
        console.print(f"{name}: {state}", markup=False)
    cpu = facts.get("cpu", {})
    console.print(
        f"machine: {cpu.get('model')}, {cpu.get('cores')} cores,"
        f" {facts['memory_bytes'] / 2**30:.1f} GiB, {facts.get('system')},"
        f" Python {facts['python']}",
        markup=False,
    )


def _rows() -> list[dict[str, Any]]:
    """A row for each technology and way; in-process stores need no server."""
    in_process = [
        {"technology": kind.name, "way": "in process", "ready": True, "detail": "", "version": ""}
        for kind in catalogue().stores.values()
        if kind.server is None
    ]
    return in_process + [
        _shown(probe(technology, way)) for technology in TECHNOLOGIES for way in WAYS
    ]


def _shown(found: Availability) -> dict[str, Any]:
    return {name: value for name, value in asdict(found).items() if name != "named"}


def _tools() -> dict[str, str]:
    """What is optional, and how to get it."""
    wanted = {
        "uvloop": "pip install uvloop (a fifth more operations a second)",
        "pandas": "pip install 'eventstore-lab[notebooks]' (tables, figures, report)",
        "nbclient": "pip install 'eventstore-lab[notebooks]' (report.html)",
    }
    return {
        name: "ready" if importlib.util.find_spec(name) else f"missing: {advice}"
        for name, advice in wanted.items()
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("technology", "way", "state", "version", "what would make it ready"):
        table.add_column(name, overflow="fold")
    for row in rows:
        state = "[green]ready[/]" if row["ready"] else "[yellow]not ready[/]"
        detail = "" if row["ready"] else row["detail"]
        table.add_row(row["technology"], row["way"], state, row["version"], detail)
    return table

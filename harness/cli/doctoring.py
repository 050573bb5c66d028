"""`eslab doctor`: each store, each way to get its server, and what would make it ready."""

from __future__ import annotations

import asyncio
import importlib.util
import json as json_
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import environment, words
from harness.calibration import lateness
from harness.cli.catalogue import catalogue
from harness.cli.machine import machine_lines
from harness.cli.running import event_loop
from harness.servers import TECHNOLOGIES, WAYS, Availability, probe

_MODULES = {"hdrhistogram": "hdrh"}
"""Where a module is not called as its package is."""


def doctor(*, json: bool) -> None:
    """Print the table of ways, the optional tools, the machine, and how late its pacers are."""
    rows = _rows()
    tools = _tools()
    facts = environment.describe(Path())
    with asyncio.Runner(loop_factory=event_loop()) as loop:
        pacers = [asdict(found) for found in loop.run(lateness.measure())]
    if json:
        told = {"ways": rows, "tools": tools, "environment": facts, "pacers": pacers}
        print(json_.dumps(told, indent=2))
        return
    console = Console(highlight=False)
    console.print(_table(rows))
    for name, state in tools.items():
        console.print(f"{name}: {state}", markup=False)
    for name, line in machine_lines(facts).items():
        console.print(f"{name}: {line}", markup=False, soft_wrap=True)
    console.print(_pacer_table(pacers))


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
        "hdrhistogram": "pip install 'eventstore-lab[hlog]' (latency.hlog)",
        "uvloop": "pip install uvloop (a fifth more operations a second)",
        "pandas": "pip install 'eventstore-lab[notebooks]' (tables, figures, report)",
        "nbclient": "pip install 'eventstore-lab[notebooks]' (report.html)",
    }
    return {
        name: "ready"
        if importlib.util.find_spec(_MODULES.get(name, name))
        else f"missing: {advice}"
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


def _pacer_table(pacers: list[dict[str, Any]]) -> Table:
    """How late operations start by each pacer, and what it takes of a core."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("pacer")
    for name in ("a second", "late p50", "p90", "most", "of a core"):
        table.add_column(name, justify="right")
    for row in pacers:
        late = (words.duration(row[name]) for name in ("p50_ns", "p90_ns", "max_ns"))
        share = words.percent(row["cpu_share"])
        table.add_row(row["pacer"], words.number(row["rate_per_s"]), *late, share)
    return table

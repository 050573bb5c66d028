"""`eslab doctor`: each store, each way to get its server, and the facts of the machine.

A server of the user's is tried: what a run makes there is made, and removed again.
"""

from __future__ import annotations

import importlib.util
import json as json_
import secrets
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.shared import RESULTS, Json, awaited, catalogue
from harness.domain import formatting
from harness.domain.flags import sentence

if TYPE_CHECKING:
    from harness.render.table import Cell, Table
    from harness.run.data_places import DataPlace, Syncs
    from harness.servers import Availability


_MODULES = {"hdrhistogram": "hdrh"}
"""Where a module is not called as its package is."""


def doctor(json: Json = False) -> None:
    """Show each store, each way to get its server, and what would make it ready."""
    from rich.console import Console

    from harness.load.pacing import measure_lateness
    from harness.render.table import as_rich
    from harness.run import data_places, environment

    rows = _rows()
    trials = tried(rows)
    tools = _tools()
    facts = environment.describe(Path())
    native = {row["technology"] for row in rows if row["way"] == "native" and row["ready"]}
    places = _places(native, data_places.syncs_of(Path(), facts))
    pacers = [asdict(each) for each in awaited(measure_lateness())]
    if json:
        plain = {
            "ways": rows,
            "tried": trials,
            "tools": tools,
            "environment": facts,
            "pacers": pacers,
            "places": {name: place.described() for name, place in places.items()},
            "lab_disk": lab_disk_line(),
        }
        print(json_.dumps(plain, indent=2))
        return
    console = Console(highlight=False)
    console.print(as_rich(_table(rows)))
    for line in _users_programs(rows):
        console.print(line, markup=False, soft_wrap=True)
    for name, line in trials.items():
        console.print(f"{name} (external): {line}", markup=False, soft_wrap=True)
    for name, state in tools.items():
        console.print(f"{name}: {state}", markup=False)
    for name, line in machine_lines(facts).items():
        console.print(f"{name}: {line}", markup=False, soft_wrap=True)
    for name, place in places.items():
        console.print(f"data of {name}: {place_line(place)}", markup=False, soft_wrap=True)
    console.print(f"disk that can lose power: {lab_disk_line()}", markup=False, soft_wrap=True)
    for flag in data_places.flags(places):
        console.print(f"! {sentence([flag])}", markup=False, soft_wrap=True)
    console.print(as_rich(_pacer_table(pacers)))


def _rows() -> list[dict[str, Any]]:
    """A row for each technology and way; in-process stores need no server."""
    from harness.servers import TECHNOLOGIES, WAYS, probe

    in_process = [
        {"technology": kind.name, "way": "in process", "ready": True, "detail": "", "version": ""}
        for kind in catalogue().stores.values()
        if kind.server is None
    ]
    return in_process + [
        _shown(probe(technology, way)) for technology in TECHNOLOGIES for way in WAYS
    ]


def lab_disk_line() -> str:
    """Whether checks and faults that hurt a disk can be had here: tried, in some milliseconds."""
    from harness.servers import lab_disk_hindrance

    return lab_disk_hindrance() or "ready"


def _users_programs(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each program of the user's that the lab would start."""
    from harness.servers.native.server import OWN_PROCESSES

    return [
        f"{row['technology']} (native): version {row['version']} of {row['detail']}"
        for row in rows
        if row["way"] == "native" and row["ready"] and row["detail"] != OWN_PROCESSES
    ]


def _places(native: Collection[str], syncs: Syncs) -> dict[str, DataPlace]:
    """Where a run's data would lie: of in-process stores with files, and of these native servers.

    By the default of `--out`; a native server's account may be unable to enter it.
    """
    from harness.run.data_places import own_folder, place_of
    from harness.servers import TECHNOLOGIES
    from harness.servers.native.server import Native

    folders = {kind.name: RESULTS for kind in catalogue().stores.values() if kind.keeps_files}
    for name in TECHNOLOGIES:
        way = TECHNOLOGIES[name].native
        if name in native and isinstance(way, Native):
            with suppress(OSError):  # a run says which folders its account cannot enter
                folders[name] = way.home_root(RESULTS)
    return {name: place_of(own_folder(folder), syncs) for name, folder in folders.items()}


_TRIAL_LIMIT_S = 20.0
_FITS = "tried: what a run makes there was made and removed, with every setting as asked"


def tried(rows: list[dict[str, Any]]) -> dict[str, str]:
    """How it went at each server of the user's; one that a run would refuse is not ready."""
    lines = {}
    for row in rows:
        if row["way"] == "external" and row["ready"]:
            reason = awaited(_refusal(row["technology"]))
            lines[row["technology"]] = reason or _FITS
            if reason:
                row |= {"ready": False, "detail": reason}
    return lines


async def _refusal(technology: str) -> str:
    """Why a run would leave this server out; empty where it would not."""
    import asyncio

    from harness.domain.errors import LabError
    from harness.run.session import introduce
    from harness.scenario.names import StoreRef
    from harness.servers import serving

    known = catalogue()
    kind = known.stores[technology]
    if missing := kind.missing_driver():
        return missing
    store = StoreRef(kind.name, options=kind.options())
    namespace = f"eslab_{secrets.token_hex(4)}_doctor"
    try:
        async with (
            asyncio.timeout(_TRIAL_LIMIT_S),
            serving(technology, way="external", scratch=Path()) as server,
        ):
            await introduce(server, store, known, namespace)
    except LabError as error:
        return str(error).removeprefix(f"{technology}: external: ")
    except TimeoutError:
        return f"no answer within {_TRIAL_LIMIT_S:g} s"
    return ""


def _shown(availability: Availability) -> dict[str, Any]:
    return {name: value for name, value in asdict(availability).items() if name != "named"}


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
    from harness.render.table import Table, texts

    columns = texts("technology", "way", "state", "version", "what would make it ready")
    return Table(columns, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> tuple[str | Cell, ...]:
    from harness.render.table import Cell, Tone

    if row["ready"]:
        state, detail = Cell("ready", Tone.GOOD), ""
    else:
        state, detail = Cell("not ready", Tone.DOUBTFUL), row["detail"]
    return row["technology"], row["way"], state, row["version"], detail


def _pacer_table(pacers: list[dict[str, Any]]) -> Table:
    """How late operations start by each pacer, and what it takes of a core."""
    from harness.render.table import Table, numbers, texts

    rows = [
        (
            row["pacer"],
            formatting.number(row["rate_per_s"]),
            *(formatting.duration(row[name]) for name in ("p50_ns", "p90_ns", "max_ns")),
            formatting.percent(row["cpu_share"]),
        )
        for row in pacers
    ]
    names = ("a second", "late p50", "p90", "most", "of a core")
    return Table((*texts("pacer"), *numbers(*names, whole=False)), rows)


def machine_lines(facts: Mapping[str, Any]) -> dict[str, str]:
    """What a reader wants to know before believing a number measured here."""
    cpu = facts.get("cpu", {})
    return {
        "machine": f"{cpu.get('model')}, {cpu.get('cores')} cores,"
        f" {formatting.size(facts['memory_bytes'])}, {facts.get('system')},"
        f" Python {facts['python']}",
        "clock": f"{facts.get('clock_source', 'unknown')},"
        f" governor {cpu.get('governor', 'not to be seen')}",
        "limits": _limits(facts),
        "neighbours": _neighbours(facts),
        f"disk here ({facts.get('filesystem', 'unknown')})": _disk(facts.get("sync_latency", {})),
    }


def _limits(facts: Mapping[str, Any]) -> str:
    cores, memory = facts.get("cpu_limit_cores"), facts.get("memory_limit_bytes")
    limits = [f"{cores:g} cores"] if cores else []
    limits += [f"{formatting.size(memory)} of memory"] if memory else []
    return ", ".join(limits) or "none by control groups"


def _neighbours(facts: Mapping[str, Any]) -> str:
    shares = [f"{name} {share:g} %" for name, share in facts.get("pressure", {}).items()]
    waiting = f"waiting in the last 10 s: {', '.join(shares)}"
    pressure = waiting if shares else "pressure is unknown"
    steal = facts.get("steal_share")
    return pressure + ("" if steal is None else f"; stolen since the start: {steal:.2%}")


def place_line(place: DataPlace) -> str:
    """The file system, and the time of a sync there, whatever that is worth."""
    described = place.described()
    sync = described.get("sync_latency", {})
    p50, most = formatting.duration(sync.get("p50_ns")), formatting.duration(sync.get("max_ns"))
    taken = f"a sync of 8 KiB takes p50 {p50}, at most {most}" if sync else "cannot be written to"
    return f"{formatting.place(described)}, {taken}"


def _disk(sync: Mapping[str, Any]) -> str:
    if not sync:
        return "cannot be written to"
    p50, p90 = formatting.duration(sync.get("p50_ns")), formatting.duration(sync.get("p90_ns"))
    return (
        f"8 KiB are safe after p50 {p50}, p90 {p90}, at most {formatting.duration(sync['max_ns'])}"
    )

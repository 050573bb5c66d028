"""`eslab list`, `validate` and `schema`: what there is, and whether a file fits it."""

from __future__ import annotations

import json as json_
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from harness import scenario as scenarios
from harness.cli.catalogue import catalogue
from harness.conformance import all_checks
from harness.errors import BadInput
from harness.store import StoreKind

SHIPPED = Path("scenarios")


def list_(what: str, *, json: bool) -> None:
    """Print the lists asked for."""
    sections: Mapping[str, Callable[[], list[dict[str, Any]]]] = {
        "stores": _stores,
        "workloads": _workloads,
        "scenarios": _scenarios,
        "checks": _checks,
    }
    if what and what not in sections:
        raise BadInput(f"nothing is listed as {what!r}; allowed: {', '.join(sections)}")
    found = {name: section() for name, section in sections.items() if what in ("", name)}
    if json:
        print(json_.dumps(found[what] if what else found, indent=2))
        return
    console = Console(highlight=False)
    for name, rows in found.items():
        console.print(_table(name, rows))


def validate(files: tuple[Path, ...], *, json: bool) -> None:
    """Load each file; the first that is wrong ends it with its line and exit code 2."""
    known = catalogue()
    loaded = [(path, scenarios.load(path, known)) for path in files]
    if json:
        rows = [
            {"file": str(path), "name": each.name, "trials": len(each.trials), "hash": each.hash}
            for path, each in loaded
        ]
        print(json_.dumps(rows, indent=2))
        return
    for path, each in loaded:
        print(f"{path}: {each.name}, {len(each.trials)} trials, fits")


def schema() -> None:
    """Print the JSON Schema of scenario files."""
    print(json_.dumps(scenarios.schema(catalogue()), indent=2, ensure_ascii=False))


def _stores() -> list[dict[str, Any]]:
    return [
        {
            "store": f"{kind.name}:{variant}" if variant else kind.name,
            "summary": _summary(kind, variant),
            "options": f"as {kind.name}" if variant else _fields(kind.options),
        }
        for kind in catalogue().stores.values()
        for variant in kind.variants
    ]


def _summary(kind: StoreKind, variant: str) -> str:
    text = (kind.variants[variant].__doc__ or "").strip().splitlines()
    return text[0] if text else kind.summary


def _workloads() -> list[dict[str, Any]]:
    return [
        {
            "workload": kind.name,
            "summary": kind.summary,
            "parameters": _fields(kind.parameters),
        }
        for kind in catalogue().workloads.values()
    ]


def _scenarios() -> list[dict[str, Any]]:
    known = catalogue()
    return [
        {"scenario": str(path), "trials": len(each.trials), "description": each.description}
        for path in sorted(SHIPPED.glob("*.yaml"))
        for each in [scenarios.load(path, known)]
    ]


def _checks() -> list[dict[str, Any]]:
    return [
        {
            "check": each.number,
            "requirement": each.requirement.heading,
            "promise": each.promise,
            "declared by": each.declaration.field,
        }
        for each in all_checks().values()
    ]


def _fields(model: type[BaseModel]) -> str:
    return " ".join(f"{name}={_default(info.default)}" for name, info in model.model_fields.items())


def _default(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in rows[0] if rows else ():
        table.add_column(name, no_wrap=name in ("store", "workload", "scenario"), overflow="fold")
    for row in rows:
        table.add_row(*map(str, row.values()))
    return table

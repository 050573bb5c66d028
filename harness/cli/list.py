"""`eslab list`, `validate` and `schema`: what there is, and whether a file fits it."""

from __future__ import annotations

import json as json_
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.output import write_text
from harness.cli.shared import Files, Json, catalogue
from harness.domain.errors import BadInput

if TYPE_CHECKING:
    from pydantic import BaseModel

    from harness.domain.store import StoreKind
    from harness.render.table import Table

SHIPPED = Path("scenarios")


def list_(
    what: Annotated[
        str, typer.Argument(help="stores, workloads, scenarios or checks; all if empty.")
    ] = "",
    json: Json = False,
) -> None:
    """List the stores with their variants and options, workloads, scenarios, checks."""
    sections: Mapping[str, Callable[[], list[dict[str, Any]]]] = {
        "stores": _stores,
        "workloads": _workloads,
        "scenarios": _scenarios,
        "checks": _checks,
    }
    if what and what not in sections:
        raise BadInput(f"nothing is listed as {what!r}; allowed: {', '.join(sections)}")
    lists = {name: section() for name, section in sections.items() if what in ("", name)}
    if json:
        print(json_.dumps(lists[what] if what else lists, indent=2))
        return

    from rich.console import Console

    from harness.render.table import as_rich

    console = Console(highlight=False)
    for name, rows in lists.items():
        console.print(as_rich(_table(name, rows)))


def validate(files: Files, json: Json = False) -> None:
    """Check scenario files without running them."""
    from harness import scenario as scenarios

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
    from harness import scenario as scenarios

    write_text(json_.dumps(scenarios.schema(catalogue()), indent=2, ensure_ascii=False) + "\n")


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
    from harness import scenario as scenarios

    known = catalogue()
    return [
        {"scenario": str(path), "trials": len(each.trials), "description": each.description}
        for path in sorted(SHIPPED.glob("*.yaml"))
        for each in [scenarios.load(path, known)]
    ]


def _checks() -> list[dict[str, Any]]:
    from harness.conformance import all_checks

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
    from harness.render.table import Column, Table

    names = rows[0] if rows else ()
    columns = [Column(name, whole=name in ("store", "workload", "scenario")) for name in names]
    return Table(columns, [tuple(map(str, row.values())) for row in rows], title)

"""`eslab conformance`: what stores promise, check by check, and what a check is about."""

from __future__ import annotations

import json as json_
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.output import is_live, measures
from harness.cli.shared import (
    RESULTS,
    Json,
    Out,
    Servers,
    awaited,
    catalogue,
    command_line,
)
from harness.domain.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from harness.conformance import Check, Profile
    from harness.run.conformance import Request, Result

DEFAULT_STORES = "memory,sqlite,postgres,postgres:row,postgres:template,umadb"


def conformance(
    stores: Annotated[
        str,
        typer.Option(
            help="Stores to check; memory, sqlite, three of PostgreSQL and umadb if empty."
        ),
    ] = "",
    checks: Annotated[str, typer.Option(help="Only these checks, e.g. 9,16,51-56.")] = "",
    seconds: Annotated[
        float | None, typer.Option(min=0.1, max=3600, help="For each check that repeats a race.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of ids and choices.")] = 1,
    profile: Annotated[str, typer.Option(help="fast or full.")] = "fast",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A server's setting: servers.dynamodb.storage=file (repeatable)."
        ),
    ] = None,
    explain: Annotated[
        str, typer.Option(help="Say what these checks promise and provoke; run none.")
    ] = "",
    out: Out = RESULTS,
    servers: Servers = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the checks, run none.")] = False,
    json: Json = False,
) -> None:
    """Check what stores promise: each guarantee declared against measured, with evidence."""
    from harness.conformance import numbered
    from harness.run.conformance import Request
    from harness.scenario.names import chosen
    from harness.scenario.overrides import server_settings

    if explain:
        _explain(numbered(explain, flag="--explain"), out, json=json)
        return
    known = catalogue()
    refs = chosen(stores or DEFAULT_STORES, known)
    request = Request(
        stores=tuple({ref.key: ref for ref in refs}.values()),
        checks=numbered(checks),
        profile=_profile(profile, seconds),
        seed=seed,
        catalogue=known,
        out=out,
        way=servers,
        command=command_line(),
        server_settings=server_settings(settings or (), known.settings),
    )
    if dry_run:
        _print_plan(request, json=json)
    else:
        raise typer.Exit(_check(request, json=json))


def _profile(name: str, seconds: float | None) -> Profile:
    from harness.conformance import PROFILES

    profile = PROFILES.get(name)
    if profile is None:
        raise BadInput(f"--profile: no profile {name!r}; allowed: {', '.join(PROFILES)}")
    if seconds is None:
        return profile
    return replace(profile, seconds=seconds, limit_s=max(profile.limit_s, 10 * seconds))


def _check(request: Request, *, json: bool) -> int:
    """Check every store, print the matrix with its evidence; 1 if a declaration is not so."""
    from rich.console import Console
    from rich.text import Text

    from harness.cli import conformance_matrix as matrix
    from harness.run import conformance as runner

    measures()
    console = Console(stderr=json, highlight=False)
    lines = matrix.FillingMatrix if is_live(console) else matrix.LogMatrix
    with lines(console, request) as observer:
        result = awaited(runner.conform(request, observer))
    if not is_live(console):
        console.width = matrix.LOG_WIDTH
        cells = {column.key: dict(column.judgements) for column in result.matrix.columns}
        console.print(matrix.table(request, cells, matrix.LOG_WIDTH))
    if any(column.durability for column in result.matrix.columns):
        console.print(matrix.durability(result.matrix), soft_wrap=True)
    console.print(matrix.evidence(result.matrix), soft_wrap=True)
    console.print(Text(f"results: {result.folder}"), soft_wrap=True)
    if json:
        print(json_.dumps(_plain(result), indent=2))
    return result.exit_code


def _plain(result: Result) -> dict[str, Any]:
    return {
        "run": result.folder.name,
        "folder": str(result.folder),
        "exit_code": result.exit_code,
        "left_out": dict(result.left_out),
        **result.matrix.as_json(),
    }


def _print_plan(request: Request, *, json: bool) -> None:
    """What would be checked; nothing is started."""
    stores = [ref.key for ref in request.stores]
    hindrances = _hindrances(request.checks)
    if json:
        plan = {"stores": stores, "checks": [each.number for each in request.checks]}
        print(
            json_.dumps(
                {
                    **plan,
                    "hindrances": hindrances,
                    "profile": request.profile.name,
                    "seed": request.seed,
                }
            )
        )
        return
    print(f"{len(request.checks)} checks on each of {', '.join(stores)}")
    for each in request.checks:
        print(f"{each.number:>4}  {each.requirement.heading:<14} {each.name}")
    for number, reason in hindrances.items():
        print(f"{number} will not be reached: {reason}")


def _hindrances(checks: Sequence[Check]) -> dict[int, str]:
    """By the number of a check that this machine cannot reach, why."""
    from harness.servers import lab_disk_hindrance

    of_the_disk = [each.number for each in checks if each.hurts_the_disk]
    hindrance = lab_disk_hindrance() if of_the_disk else ""
    return dict.fromkeys(of_the_disk, hindrance) if hindrance else {}


def _explain(checks: Sequence[Check], out: Path, *, json: bool) -> None:
    """What checks promise, how they provoke a failure, and what they counted in the newest run."""
    from harness.conformance import check_as_json
    from harness.results import newest_matrix

    run, matrix = newest_matrix(out) or (None, {})
    try:
        counted = {each.number: dict(_counted(matrix, each.number)) for each in checks}
    except (LookupError, TypeError, ValueError, AttributeError):
        raise BadInput(f"{run}: conformance.json: not a guarantee matrix") from None
    if json:
        plain = [check_as_json(each) | {"counted": counted[each.number]} for each in checks]
        print(json_.dumps(plain, indent=2))
    else:
        texts = (_explained(each, counted[each.number], run) for each in checks)
        print("\n\n".join(texts))


def _counted(matrix: Mapping[str, Any], number: int) -> Iterator[tuple[str, list[str]]]:
    """By store: how often the check met what it is about, and the least that it needs."""
    from harness.conformance.framework.check_result import Provocation

    for store in matrix.get("stores", []):
        for result in store["results"]:
            if result["check"] == number and result.get("provoked"):
                yield store["store"], [str(Provocation(**each)) for each in result["provoked"]]


def _explained(check: Check, counted: Mapping[str, Sequence[str]], run: Path | None) -> str:
    counts = [f"            {store}: {'; '.join(counts)}" for store, counts in counted.items()]
    return "\n".join(
        (
            f"{check.number}  {check.name} ({check.requirement.heading})",
            f"  promise   {check.promise}",
            f"  provokes  {check.provokes}",
            f"  evidence  {check.leaves}",
            f"  declared  {check.declaration.field}",
            *([f"  counted   in {run}", *counts] if counts else []),
        )
    )

"""`eslab conformance`: the matrix as it fills, its evidence, and what a check is about."""

from __future__ import annotations

import asyncio
import json as json_
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.cli.catalogue import catalogue
from harness.cli.filling import FillingMatrix, LogMatrix, evidence, table
from harness.cli.running import event_loop
from harness.conformance import Check, Profile, numbered
from harness.conformance.profiles import PROFILES
from harness.errors import BadInput
from harness.runner import conforming as runner
from harness.scenario.names import chosen

LOG_WIDTH = 132
"""Where there is no terminal to fit into."""
DEFAULT_STORES = "memory,sqlite,postgres,postgres:row,postgres:template"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of `eslab conformance`."""

    stores: str
    checks: str
    seconds: float | None
    seed: int
    profile: str
    out: Path
    way: str
    json: bool


def run(wanted: Wanted) -> int:
    """Check every store, print the matrix with its evidence; 1 if a declaration is not so."""
    request = _request(wanted)
    console = Console(stderr=wanted.json, highlight=False)
    lines = FillingMatrix if console.is_terminal else LogMatrix
    with (
        lines(console, request) as observer,
        asyncio.Runner(loop_factory=event_loop()) as loop,
    ):
        result = loop.run(runner.conform(request, observer))
    if not console.is_terminal:
        console.width = LOG_WIDTH
        cells = {column.key: dict(column.judgements) for column in result.matrix.columns}
        console.print(table(request, cells, LOG_WIDTH))
    console.print(evidence(result.matrix), soft_wrap=True)
    console.print(Text(f"results: {result.folder}"), soft_wrap=True)
    if wanted.json:
        print(json_.dumps(_told(result), indent=2))
    return result.exit_code


def dry_run(wanted: Wanted) -> int:
    """Print what would be checked; start nothing."""
    request = _request(wanted)
    stores = [ref.key for ref in request.stores]
    if wanted.json:
        plan = {"stores": stores, "checks": [each.number for each in request.checks]}
        print(json_.dumps({**plan, "profile": request.profile.name, "seed": request.seed}))
        return 0
    print(f"{len(request.checks)} checks on each of {', '.join(stores)}")
    for each in request.checks:
        print(f"{each.number:>4}  {each.requirement.heading:<14} {each.name}")
    return 0


def explain(numbers: str, *, json: bool) -> int:
    """Print what checks promise, how they provoke a failure and what evidence it leaves."""
    from harness.conformance.matrix import described

    checks = numbered(numbers, flag="--explain")
    if json:
        print(json_.dumps([described(each) for each in checks], indent=2))
        return 0
    print("\n\n".join(map(_explained, checks)))
    return 0


def _explained(check: Check) -> str:
    return "\n".join(
        (
            f"{check.number}  {check.name} ({check.requirement.heading})",
            f"  promise   {check.promise}",
            f"  provokes  {check.provokes}",
            f"  evidence  {check.leaves}",
            f"  declared  {check.declaration.field}",
        )
    )


def _request(wanted: Wanted) -> runner.Request:
    known = catalogue()
    stores = chosen(wanted.stores or DEFAULT_STORES, known)
    return runner.Request(
        stores=tuple({ref.key: ref for ref in stores}.values()),
        checks=numbered(wanted.checks),
        profile=_profile(wanted),
        seed=wanted.seed,
        catalogue=known,
        out=wanted.out,
        way=wanted.way,
        command=shlex.join(["eslab", *sys.argv[1:]]),
    )


def _profile(wanted: Wanted) -> Profile:
    profile = PROFILES.get(wanted.profile)
    if profile is None:
        raise BadInput(f"--profile: no profile {wanted.profile!r}; allowed: {', '.join(PROFILES)}")
    if wanted.seconds is None:
        return profile
    limit_s = max(profile.limit_s, 10 * wanted.seconds)
    return replace(profile, seconds=wanted.seconds, limit_s=limit_s)


def _told(result: runner.Result) -> dict[str, object]:
    return {
        "run": result.folder.name,
        "folder": str(result.folder),
        "exit_code": result.exit_code,
        "left_out": dict(result.left_out),
        **result.matrix.as_json(),
    }

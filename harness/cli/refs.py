"""Pairs of two checkouts: each half in a process of its own, with that checkout's code."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness import words
from harness.cli.capacities import offers_a_fraction
from harness.cli.display import finished_line
from harness.cli.enough import tell_too_few
from harness.cli.pairs import Wanted
from harness.cli.running import command_line
from harness.compare import parse_margins
from harness.runner.checkouts import Checkout, as_it_stands, checkout, commit_of
from harness.runner.elsewhere import Order, run_there
from harness.runner.gathering import Gathering
from harness.runner.provided import same_on_both
from harness.scenario.types import Scenario


@dataclass(frozen=True, slots=True)
class Refs:
    """Two commits of a project; an empty candidate is the project as it stands."""

    base: str
    candidate: str
    project: Path


def run_refs(wanted: Wanted, refs: Refs) -> Path | None:
    """Run the pairs; the folder that has them all, or none for a dry run. Raises `LabError`."""
    scenario = wanted.loaded(wanted.stores)
    _check(refs)
    with tempfile.TemporaryDirectory(prefix="eslab-") as scratch:
        sides = _checked_out(refs, Path(scratch))
        _tell_same(wanted, sides, scenario)
        if wanted.dry_run:
            _show_plan(wanted, refs, scenario)
        tell_too_few(scenario, parse_margins(wanted.margins), wanted.pairs, wanted.console)
        if wanted.dry_run:
            return None
        found = Gathering(wanted.out, scenario.name, command=command_line(), sides=sides)
        status = "aborted"
        try:
            _run_pairs(wanted, scenario, sides, found, Path(scratch))
            status = "done"
        finally:
            folder = found.finish(status, wanted.pairs)
    return folder


def _check(refs: Refs) -> None:
    commit_of(refs.project, refs.base, "--base-ref")
    commit_of(refs.project, refs.candidate or "HEAD", "--candidate-ref")


def _checked_out(refs: Refs, scratch: Path) -> dict[str, Checkout]:
    base = checkout(refs.project, refs.base, scratch / "base", flag="--base-ref")
    if not refs.candidate:
        return {"base": base, "candidate": as_it_stands(refs.project)}
    place = scratch / "candidate"
    candidate = checkout(refs.project, refs.candidate, place, flag="--candidate-ref")
    return {"base": base, "candidate": candidate}


def _tell_same(wanted: Wanted, sides: Mapping[str, Checkout], scenario: Scenario) -> None:
    """Raises `Refused` where all would be."""
    stores = list(dict.fromkeys(trial.store.technology for trial in scenario.trials))
    for store in same_on_both(sides, stores):
        told = f"! {store}: not of this project, so the same code on both sides"
        wanted.console.print(Text(told, style="yellow"), soft_wrap=True)


def _run_pairs(
    wanted: Wanted,
    scenario: Scenario,
    sides: Mapping[str, Checkout],
    found: Gathering,
    scratch: Path,
) -> None:
    """The base's first half says what the others are offered, where that is a fraction."""
    console = wanted.console
    order = Order(wanted.scenario, wanted.stores, wanted.settings, wanted.way)
    for pair in range(1, wanted.pairs + 1):
        for side in ("base", "candidate") if pair % 2 else ("candidate", "base"):
            code = sides[side]
            told = f"pair {pair}/{wanted.pairs} {side:<9} {code.name} {code.commit[:9]}"
            with console.status(told):
                half = run_there(code, order, scratch / f"{pair}-{side}")
            if order.capacities is None and offers_a_fraction(scenario):
                order = replace(order, capacities=half)
            _tell(console, told, found.add(half, side, pair))


def _tell(console: Console, told: str, rows: list[dict[str, object]]) -> None:
    for row in rows:
        line = finished_line(f"{told}  {row['key']} ", row)
        console.print(Text.assemble(line), soft_wrap=True)


def _show_plan(wanted: Wanted, refs: Refs, scenario: Scenario) -> None:
    keys = list(dict.fromkeys(trial.store.key for trial in scenario.trials))
    expected_s = 2 * sum(trial.expected_s for trial in scenario.trials)
    candidate = refs.candidate or "working tree"
    if wanted.json:
        plan = {
            "scenario": scenario.name, "hash": scenario.hash, "base": refs.base,
            "candidate": candidate, "pairs": wanted.pairs, "keys": keys, "expected_s": expected_s,
        }  # fmt: skip
        print(json.dumps(plan, indent=2))
        return
    print(f"{scenario.name}: {wanted.pairs} pairs of {refs.base} and {candidate}, interleaved")
    print(f"each half a process of its own, with {', '.join(keys)}")
    print(f"expected to take about {words.clock(expected_s)} and {2 * wanted.pairs} server starts")

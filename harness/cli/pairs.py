"""Pairs of trials, interleaved: of two stores in one run, or of two checkouts, a process a half."""

from __future__ import annotations

import json as json_
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from rich.console import Console
from rich.text import Text

from harness.analysis.comparison import (
    Comparison,
    Known,
    Metric,
    fingerprint,
    pairs_for,
    parse_margins,
    recall,
)
from harness.analysis.comparison.statistics import ALPHA
from harness.cli.compare import compared, subjects_of_pairs
from harness.cli.display import finished_line
from harness.cli.output import measures
from harness.cli.run import carry_out, planned, print_plan
from harness.cli.shared import catalogue, command_line
from harness.domain import formatting
from harness.domain.errors import BadInput, Refused
from harness.domain.temporary import temporary_folder
from harness.render.comparison_table import as_plain, print_comparison
from harness.run import benchmark, environment
from harness.run.capacities import offers_a_fraction
from harness.run.changed_stores import same_on_both
from harness.run.checkout_runner import (
    Checkout,
    Order,
    as_it_stands,
    checkout,
    commit_of,
    run_there,
)
from harness.run.merge_runs import Gathering
from harness.scenario import Overrides, load
from harness.scenario.model import Scenario
from harness.servers.native.guard import guarded

PAIRS_MIN, PAIRS_MAX = 2, 1_000


@dataclass(frozen=True, slots=True)
class PairsOptions:
    """The options that `ab`, `gate` and `aa` share."""

    scenario: Path
    pairs: int
    settings: tuple[str, ...] = ()
    margins: tuple[str, ...] = ()
    stores: str = ""
    out: Path = Path("results")
    way: str = "auto"
    mixed: bool = False
    dry_run: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if not PAIRS_MIN <= self.pairs <= PAIRS_MAX:
            expected = f"expected {PAIRS_MIN} to {PAIRS_MAX:,}"
            raise BadInput(f"--pairs {self.pairs}: {expected}")

    @property
    def console(self) -> Console:
        """Where progress goes: beside JSON, not into it."""
        return Console(stderr=self.json, highlight=False)

    def loaded(self, stores: str, flag: str = "--stores") -> Scenario:
        """The scenario with the stores that `flag` names, or its own, and a repetition a pair."""
        overrides = Overrides(
            stores=stores or None, stores_flag=flag, settings=self.settings, repeat=self.pairs
        )
        return load(self.scenario, catalogue(), overrides=overrides)


@dataclass(frozen=True, slots=True)
class Refs:
    """Two commits of a project; an empty candidate is the project as it stands."""

    base: str
    candidate: str
    project: Path


def refs_of(base_ref: str, candidate_ref: str, project: Path) -> Refs | None:
    """The two commits, if any was asked for. Raises `BadInput`."""
    if base_ref:
        return Refs(base_ref, candidate_ref, project)
    if candidate_ref:
        raise BadInput(f"--candidate-ref {candidate_ref}: expected a --base-ref beside it")
    return None


@dataclass(frozen=True, slots=True)
class ComparedSides:
    """A run of pairs and what it says."""

    folder: Path
    comparison: Comparison
    warnings: tuple[str, ...]
    left_open: tuple[str, ...] = ()
    """What was asked and not measured: a gate does not pass with any of it."""


def compared_pairs(
    options: PairsOptions, folder: Path, metrics: Sequence[Metric], *, whole: bool = False
) -> ComparedSides:
    """What the pairs of a run say; `whole` as in `compared`."""
    subjects = subjects_of_pairs(folder)
    comparison, warnings = compared(subjects, metrics, mixed=options.mixed, whole=whole)
    return ComparedSides(folder, comparison, tuple(warnings))


def print_compared(options: PairsOptions, sides: ComparedSides, **more: object) -> None:
    """The verdicts, and all of it as JSON with `more` in it where that was asked for."""
    if options.json:
        plain = as_plain(sides.comparison, sides.warnings)
        print(json_.dumps({"folder": str(sides.folder), **more, **plain}, indent=2))
    console = options.console
    print_comparison(sides.comparison, sides.warnings, console)
    console.print(Text(f"results: {sides.folder}"), soft_wrap=True)


def known_noise(options: PairsOptions, scenario: Scenario) -> list[Known]:
    """The noise of this scenario's stores on this machine, of those where it was measured."""
    machine = fingerprint(environment.describe(options.out if options.out.is_dir() else Path()))
    keys = list(dict.fromkeys(trial.store.key for trial in scenario.trials))
    return recall(options.out, scenario.hash, machine, keys)


def rows_of_time(scenario: Scenario, metrics: Sequence[Metric]) -> int:
    """The most rows that share the level: each timed metric at each point of each store."""
    timed = sum(metric.kind == "timed" for metric in metrics)
    points = len({str(trial.point) for trial in scenario.trials})
    stores = len({trial.store.key for trial in scenario.trials if trial.side != "candidate"})
    return timed * points * stores


def warn_of_too_few(options: PairsOptions, scenario: Scenario, metrics: Sequence[Metric]) -> None:
    """A line where even pairs that all agree would leave every time inconclusive."""
    rows = rows_of_time(scenario, metrics)
    needed = pairs_for(ALPHA / rows)
    if options.pairs < needed:
        problem = f"{options.pairs} pairs cannot show a change of time in up to {rows} rows at once"
        hint = f"--pairs {needed} could; for counts two will do"
        options.console.print(Text(f"! {problem}: {hint}", style="yellow"), soft_wrap=True)


def print_pairs(scenario: Scenario, *, json: bool) -> None:
    """The pairs in the order in which they would run."""
    if json:
        print(json_.dumps(planned(scenario), indent=2))
    else:
        print_plan(scenario)


def run_pairs(options: PairsOptions, scenario: Scenario) -> Path:
    """Run them; the folder. Raises `Refused` where a side has no trial."""
    result = _run(options, scenario)
    sides = {each.side for each in result.results}
    if sides != {"base", "candidate"}:
        ran = " and ".join(sorted(sides)) or "nothing"
        raise Refused(f"{result.folder}: only {ran} could be run")
    return result.folder


def run_one_side(
    options: PairsOptions, scenario: Scenario, capacities: Mapping[tuple[str, str], float]
) -> Path:
    """Run the candidate's half alone, offered fractions of these capacities; the folder."""
    return _run(options, scenario, capacities).folder


def _run(
    options: PairsOptions,
    scenario: Scenario,
    capacities: Mapping[tuple[str, str], float] = MappingProxyType({}),
) -> benchmark.Result:
    request = benchmark.Request(
        scenario=scenario,
        catalogue=catalogue(),
        out=options.out,
        way=options.way,
        keep_samples=False,
        command=command_line(),
        capacities=capacities,
    )
    return carry_out(request, options.console)


def run_refs(options: PairsOptions, refs: Refs) -> Path | None:
    """Run pairs of two checkouts; the folder that has them all, or none for a dry run.

    Raises `LabError`.
    """
    scenario = options.loaded(options.stores)
    commit_of(refs.project, refs.base, "--base-ref")
    commit_of(refs.project, refs.candidate or "HEAD", "--candidate-ref")
    with temporary_folder() as scratch, guarded(scratch):
        sides = _checked_out(refs, scratch)
        _warn_of_same_code(options, sides, scenario)
        if options.dry_run:
            _print_plan(options, refs, scenario)
        warn_of_too_few(options, scenario, parse_margins(options.margins))
        if options.dry_run:
            return None
        measures()
        gathering = Gathering(options.out, scenario.name, command=command_line(), sides=sides)
        status = "aborted"
        try:
            _run_halves(options, scenario, sides, gathering, scratch)
            status = "done"
        finally:
            folder = gathering.finish(status, options.pairs)
    return folder


def _checked_out(refs: Refs, scratch: Path) -> dict[str, Checkout]:
    base = checkout(refs.project, refs.base, scratch / "base", flag="--base-ref")
    if not refs.candidate:
        return {"base": base, "candidate": as_it_stands(refs.project)}
    place = scratch / "candidate"
    candidate = checkout(refs.project, refs.candidate, place, flag="--candidate-ref")
    return {"base": base, "candidate": candidate}


def _warn_of_same_code(
    options: PairsOptions, sides: Mapping[str, Checkout], scenario: Scenario
) -> None:
    """Raises `Refused` where no store differs."""
    stores = list(dict.fromkeys(trial.store.technology for trial in scenario.trials))
    for store in same_on_both(sides, stores):
        warning = f"! {store}: not of this project, so the same code on both sides"
        options.console.print(Text(warning, style="yellow"), soft_wrap=True)


def _run_halves(
    options: PairsOptions,
    scenario: Scenario,
    sides: Mapping[str, Checkout],
    gathering: Gathering,
    scratch: Path,
) -> None:
    """The base's first half says what the others are offered, where that is a fraction."""
    console = options.console
    order = Order(options.scenario, options.stores, options.settings, options.way)
    for pair in range(1, options.pairs + 1):
        for side in ("base", "candidate") if pair % 2 else ("candidate", "base"):
            code = sides[side]
            head = f"pair {pair}/{options.pairs} {side:<9} {code.name} {code.commit[:9]}"
            with console.status(head):
                half = run_there(code, order, scratch / f"{pair}-{side}")
            if order.capacities is None and offers_a_fraction(scenario):
                order = replace(order, capacities=half)
            order = order.placed_like(half)
            for row in gathering.add(half, side, pair):
                line = finished_line(f"{head}  {row['key']} ", row)
                console.print(Text.assemble(line), soft_wrap=True)


def _print_plan(options: PairsOptions, refs: Refs, scenario: Scenario) -> None:
    keys = list(dict.fromkeys(trial.store.key for trial in scenario.trials))
    expected_s = 2 * sum(trial.expected_s for trial in scenario.trials)
    candidate = refs.candidate or "working tree"
    if options.json:
        plan = {
            "scenario": scenario.name, "hash": scenario.hash, "base": refs.base,
            "candidate": candidate, "pairs": options.pairs, "keys": keys, "expected_s": expected_s,
        }  # fmt: skip
        print(json_.dumps(plan, indent=2))
        return
    print(f"{scenario.name}: {options.pairs} pairs of {refs.base} and {candidate}, interleaved")
    print(f"each half a process of its own, with {', '.join(keys)}")
    print(
        f"expected to take about {formatting.clock(expected_s)}"
        f" and {2 * options.pairs} server starts"
    )

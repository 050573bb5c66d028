"""Pairs of trials, interleaved in one run: what `ab`, `gate` and `aa` share, and `ab` itself."""

from __future__ import annotations

import json as json_
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rich.console import Console
from rich.text import Text

from harness.cli.capacities import capacities_of
from harness.cli.catalogue import catalogue
from harness.cli.comparing import held
from harness.cli.enough import tell_too_few
from harness.cli.running import carry_out, command_line, planned, print_plan
from harness.cli.sides import of_pairs
from harness.cli.verdict_table import print_comparison, told
from harness.compare import Comparison, parse_margins
from harness.errors import BadInput, Refused
from harness.runner import run as runner
from harness.scenario import Overrides, load
from harness.scenario.pairs import paired
from harness.scenario.types import Scenario

PAIRS_MIN, PAIRS_MAX = 2, 1_000


@dataclass(frozen=True, slots=True)
class Wanted:
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
        """The scenario with these stores, or its own, and a repetition a pair."""
        overrides = Overrides(stores=stores or None, settings=self.settings, repeat=self.pairs)
        try:
            return load(self.scenario, catalogue(), overrides=overrides)
        except BadInput as error:
            if not str(error).startswith("--stores"):
                raise
            raise BadInput(str(error).replace("--stores", flag, 1)) from None


@dataclass(frozen=True, slots=True)
class Held:
    """A run of pairs and what it says."""

    folder: Path
    comparison: Comparison
    warnings: tuple[str, ...]
    left_open: tuple[str, ...] = ()
    """What was asked and not measured: a gate does not pass with any of it."""


def ab(wanted: Wanted, *, base: str, candidate: str) -> None:
    """Run pairs of two stores and print the verdicts."""
    metrics = parse_margins(wanted.margins)
    scenario = scenario_of(wanted, base, candidate)
    if wanted.dry_run:
        show_plan(scenario, json=wanted.json)
    tell_too_few(scenario, metrics, wanted.pairs, wanted.console)
    if not wanted.dry_run:
        tell(wanted, decided(wanted, run_pairs(wanted, scenario)))


def scenario_of(wanted: Wanted, base: str, candidate: str) -> Scenario:
    """The pairs of two stores, which must be of one durability class as far as can be known."""
    sides = wanted.loaded(base, "--base"), wanted.loaded(candidate, "--candidate")
    for flag, side in zip(("--base", "--candidate"), sides, strict=True):
        keys = {trial.store.key for trial in side.trials}
        if len(keys) != 1:
            raise BadInput(f"{flag}: expected one store; got {', '.join(sorted(keys))}")
    scenario = paired(*sides)
    if not wanted.mixed:
        _refuse_other_durability(scenario)
    return scenario


def run_pairs(wanted: Wanted, scenario: Scenario) -> Path:
    """Run them; the folder. Raises `Refused` where a side has no trial."""
    result = _run(wanted, scenario)
    sides = {str(row["side"]) for row in result.rows}
    if sides != {"base", "candidate"}:
        told_ = " and ".join(sorted(sides)) or "nothing"
        raise Refused(f"{result.folder}: only {told_} could be run")
    return result.folder


def run_pairs_of_one(wanted: Wanted, scenario: Scenario, baseline: str) -> Path:
    """Run the candidate's half alone, offered what `baseline` was; the folder."""
    return _run(wanted, scenario, capacities_of(baseline)).folder


def _run(
    wanted: Wanted,
    scenario: Scenario,
    capacities: Mapping[tuple[str, str], float] = MappingProxyType({}),
) -> runner.Result:
    request = runner.Request(
        scenario=scenario,
        catalogue=catalogue(),
        out=wanted.out,
        way=wanted.way,
        keep_samples=False,
        command=command_line(),
        capacities=capacities,
    )
    return carry_out(request, wanted.console)


def decided(wanted: Wanted, folder: Path) -> Held:
    """What the pairs of a run say."""
    found, said = held(of_pairs(folder), parse_margins(wanted.margins), mixed=wanted.mixed)
    return Held(folder, found, tuple(said))


def tell(wanted: Wanted, found: Held, **more: object) -> None:
    """Print the verdicts, or all of it as JSON with `more` in it."""
    if wanted.json:
        plain = {"folder": str(found.folder), **more, **told(found.comparison, found.warnings)}
        print(json_.dumps(plain, indent=2))
        return
    console = wanted.console
    print_comparison(found.comparison, found.warnings, console)
    console.print(Text(f"results: {found.folder}"), soft_wrap=True)


def show_plan(scenario: Scenario, *, json: bool) -> None:
    """The pairs in the order in which they would run."""
    if json:
        print(json_.dumps(planned(scenario), indent=2))
    else:
        print_plan(scenario)


def _refuse_other_durability(scenario: Scenario) -> None:
    """What the stores declare; what their servers say is held against it after the run."""
    stores = catalogue().stores
    found: dict[str, str] = {}
    for trial in scenario.trials:
        kind = stores[trial.store.technology]
        declared = kind.variants[trial.store.variant].declares(trial.store.options)
        found[trial.side] = str(declared.durability)
    if found["base"] != found["candidate"]:
        told_ = f"{found['base']} against {found['candidate']}"
        hint = "--allow-mixed-durability compares them, labelled"
        raise Refused(f"not the same durability class: {told_}; {hint}")

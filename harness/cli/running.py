"""`eslab run`: load, show what would run, or run it and print the ranking."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness import words
from harness.cli.capacities import capacities_of
from harness.cli.catalogue import catalogue
from harness.cli.display import LiveLines, LogLines
from harness.runner import run as runner
from harness.scenario import Overrides, load
from harness.scenario.types import Scenario, Trial, point_label


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of `eslab run`."""

    files: tuple[Path, ...]
    stores: str
    settings: tuple[str, ...]
    repeat: int | None
    out: Path
    way: str
    keep_samples: bool
    pin: bool
    report: bool
    json: bool
    capacities: str = ""


def dry_run(wanted: Wanted) -> int:
    """Print the trials in the order in which they would run; start nothing."""
    scenarios = _load(wanted)
    if wanted.json:
        print(json.dumps([planned(scenario) for scenario in scenarios], indent=2))
        return 0
    for scenario in scenarios:
        print_plan(scenario)
    return 0


def print_plan(scenario: Scenario) -> None:
    """The trials in their order, and how long they will take."""
    print(f"{scenario.name}: {len(scenario.trials)} trials")
    for trial in scenario.trials:
        print(f"{trial.number:>5}  {_planned_line(trial)}")
    expected_s = sum(trial.expected_s for trial in scenario.trials)
    print(f"expected to take about {words.clock(expected_s)} and the start of the servers")


def run(wanted: Wanted) -> int:
    """Run every scenario; the highest exit code of them."""
    scenarios = _load(wanted)
    results = [_run_one(scenario, wanted) for scenario in scenarios]
    if wanted.json:
        print(json.dumps([_told(result) for result in results], indent=2))
    return max(result.exit_code for result in results)


def _load(wanted: Wanted) -> list[Scenario]:
    overrides = Overrides(
        stores=wanted.stores or None, settings=wanted.settings, repeat=wanted.repeat
    )
    known = catalogue()
    return [load(path, known, overrides=overrides) for path in wanted.files]


def _run_one(scenario: Scenario, wanted: Wanted) -> runner.Result:
    console = Console(stderr=wanted.json, highlight=False)
    request = runner.Request(
        scenario=scenario,
        catalogue=catalogue(),
        out=wanted.out,
        way=wanted.way,
        keep_samples=wanted.keep_samples,
        pin=wanted.pin,
        command=command_line(),
        capacities=capacities_of(wanted.capacities) if wanted.capacities else {},
    )
    result = carry_out(request, console)
    _conclude(result, wanted, console)
    return result


def carry_out(request: runner.Request, console: Console) -> runner.Result:
    """Run a scenario and tell the console of it, trial by trial."""
    trials = request.scenario.trials
    lines = LiveLines if console.is_terminal else LogLines
    console.print(Text(f"{request.scenario.name}: {len(trials)} trials", style="bold"))
    with (
        lines(console, trials) as observer,
        asyncio.Runner(loop_factory=event_loop()) as loop,
    ):
        return loop.run(runner.run(request, observer))


def command_line() -> str:
    """What was typed, for the manifest."""
    return shlex.join(["eslab", *sys.argv[1:]])


def event_loop() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


def _conclude(result: runner.Result, wanted: Wanted, console: Console) -> None:
    from harness.cli.showing import print_ranking

    print_ranking(result.folder, console)
    console.print(Text(f"results: {result.folder}"), soft_wrap=True)
    if wanted.report:
        from harness.report import write_report

        with console.status("writing the report"):
            page = write_report(result.folder)
        console.print(Text(f"report:  {page}"), soft_wrap=True)


def _told(result: runner.Result) -> dict[str, object]:
    return {
        "run": result.folder.name,
        "folder": str(result.folder),
        "exit_code": result.exit_code,
        "trials": list(result.rows),
    }


def planned(scenario: Scenario) -> dict[str, object]:
    """The same as plain values."""
    return {
        "scenario": scenario.name,
        "hash": scenario.hash,
        "expected_s": sum(trial.expected_s for trial in scenario.trials),
        "trials": [
            {
                "trial": trial.number,
                "key": trial.store.key,
                "workload": trial.workload,
                "load": str(trial.load),
                "point": dict(trial.point),
                "repetition": trial.repetition,
                "side": trial.side,
                "seed": trial.seed,
                "expected_s": trial.expected_s,
            }
            for trial in scenario.trials
        ],
    }


def _planned_line(trial: Trial) -> str:
    point = f"  {point_label(trial.point)}" if trial.point else ""
    point += f"  {trial.side}" if trial.side else ""
    length = f"{trial.duration_s:g} s" if trial.duration_s else f"{trial.operations} operations"
    return (
        f"{trial.store.key:<28} {trial.workload}, {trial.load}, {length}"
        f" after {trial.warm_up_s:g} s, repetition {trial.repetition}{point}"
    )

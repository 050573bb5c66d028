"""`eslab run`: the trials of scenarios, as a plan or carried out."""

from __future__ import annotations

import json as json_
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from harness.cli.output import is_live, measures
from harness.cli.shared import (
    RESULTS,
    Files,
    Json,
    Out,
    Servers,
    awaited,
    catalogue,
    command_line,
    require_tables,
)
from harness.domain import formatting

if TYPE_CHECKING:
    from rich.console import Console

    from harness.run import benchmark
    from harness.run.foreseen import Hindrance
    from harness.run.worker_allocation import Decision
    from harness.scenario.model import Scenario, Trial


class RunCommand(TyperCommand):
    """`--pin` alone means `--pin on`; the word after it may be a scenario's file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words, with that one spelt out."""
        spelt = [
            "--pin=on" if word == "--pin" and after not in ("auto", "on", "off") else word
            for word, after in pairwise([*args, ""])
        ]
        return super().parse_args(ctx, spelt)


def run(
    files: Files,
    stores: Annotated[
        str, typer.Option(help="Only these stores, e.g. postgres,postgres:row{notify=true},sqlite.")
    ] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a value: load.closed.workers=8 (repeatable)."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            help="Add a fault (repeatable): 'kill server at 3s, back after 1s', 'lose power at 6s,"
            " back after 1s', 'pause server | cut network | lose answers | fill disk at 4s, for"
            " 2s', 'slow network by 50ms at 4s, for 2s', 'reset network at 4s'; each with ', every"
            " 10s' if it is to repeat. A shorter trial is made longer.",
        ),
    ] = None,
    repeat: Annotated[int | None, typer.Option(help="Repetitions of every trial.")] = None,
    out: Out = RESULTS,
    servers: Servers = "auto",
    samples: Annotated[
        bool, typer.Option("--samples/--no-samples", help="Keep or drop the raw columns.")
    ] = True,
    pin: Annotated[
        str,
        typer.Option(
            help="Generator and servers on separate cores: auto (where that can be), on, off;"
            " alone it means on.",
        ),
    ] = "auto",
    capacities: Annotated[
        str, typer.Option(help="A run: offer fractions of its capacities, not of new ones.")
    ] = "",
    report: Annotated[bool, typer.Option("--report", help="Write report.html too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the trials, run none.")] = False,
    json: Json = False,
) -> None:
    """Run scenarios: each trial on a real server, verified, written to a run folder."""
    from harness.run.worker_allocation import parsed as asked_pin
    from harness.scenario import Overrides, load

    known, pinned = catalogue(), asked_pin(pin)
    overrides = Overrides(
        stores=stores or None,
        settings=tuple(set_ or ()),
        repeat=repeat,
        faults=tuple(fault or ()),
    )
    scenarios = [load(path, known, overrides=overrides) for path in files]
    if dry_run:
        from harness.run.foreseen import foreseen_placement, hindrances

        plans = [
            (
                each,
                hindrances(each, known, servers),
                foreseen_placement(each, known, servers, pinned),
            )
            for each in scenarios
        ]
        _print_plans(plans, json=json)
        return

    from rich.console import Console

    from harness.run import benchmark
    from harness.run.capacities import capacities_of

    console = Console(stderr=json, highlight=False)
    request = partial(
        benchmark.Request,
        catalogue=known,
        out=out,
        way=servers,
        keep_samples=samples,
        pin=pinned,
        command=command_line(),
        capacities=capacities_of(capacities) if capacities else {},
    )
    results = []
    for scenario in scenarios:
        results.append(carry_out(request(scenario=scenario), console))
        _conclude(results[-1], console, report=report)
    if json:
        print(json_.dumps([_plain(result) for result in results], indent=2))
    raise typer.Exit(max(result.exit_code for result in results))


def carry_out(request: benchmark.Request, console: Console) -> benchmark.Result:
    """Run a scenario and show on the console how it goes, trial by trial."""
    from rich.text import Text

    from harness.cli.display import LiveLines, LogLines
    from harness.run import benchmark

    measures()
    trials = request.scenario.trials
    lines = LiveLines if is_live(console) else LogLines
    console.print(Text(f"{request.scenario.name}: {len(trials)} trials", style="bold"))
    with lines(console, trials) as observer:
        return awaited(benchmark.run(request, observer))


def _conclude(result: benchmark.Result, console: Console, *, report: bool) -> None:
    require_tables()
    from rich.text import Text

    from harness import results
    from harness.render.ranking import print_flags, print_ranking, print_trouble

    run = results.load(result.folder)
    print_flags(run.manifest, console)
    print_ranking(run.trials, console)
    print_trouble(run.trials, run.faults, console)
    console.print(Text(f"results: {result.folder}"), soft_wrap=True)
    if report:
        from harness.render.report import write_report

        with console.status("writing the report"):
            page = write_report(result.folder)
        console.print(Text(f"report:  {page}"), soft_wrap=True)


def _plain(result: benchmark.Result) -> dict[str, Any]:
    return {
        "run": result.folder.name,
        "folder": str(result.folder),
        "exit_code": result.exit_code,
        "trials": [each.as_row() for each in result.results],
        "faults": result.faults,
    }


def _print_plans(plans: list[tuple[Scenario, list[Hindrance], Decision]], *, json: bool) -> None:
    if json:
        content = [
            planned(scenario)
            | {
                "placement": placed.described(),
                "not_reached": [each._asdict() for each in hindered],
            }
            for scenario, hindered, placed in plans
        ]
        print(json_.dumps(content, indent=2))
        return
    for scenario, hindered, placed in plans:
        print_plan(scenario)
        print(placed)
        _print_faults(scenario, hindered)


def _print_faults(scenario: Scenario, hindered: list[Hindrance]) -> None:
    """The faults of a trial, and what will not be reached; trials differ only in their length."""
    longest = max((trial.faults for trial in scenario.trials), key=len, default=())
    if longest:
        print("faults of each trial:")
    for fault in longest:
        print(f"       {fault}")
    for each in hindered:
        print(f"not reached on {each.key}: {', '.join(each.kinds)}: {each.why_not}")


def print_plan(scenario: Scenario) -> None:
    """The trials in their order, and how long they will take."""
    print(f"{scenario.name}: {len(scenario.trials)} trials")
    for trial in scenario.trials:
        print(f"{trial.number:>5}  {_planned_line(trial)}")
    expected_s = sum(trial.expected_s for trial in scenario.trials)
    print(f"expected to take about {formatting.clock(expected_s)} and the start of the servers")


def _planned_line(trial: Trial) -> str:
    point = f"  {formatting.point(trial.point)}" if trial.point else ""
    point += f"  {trial.side}" if trial.side else ""
    length = f"{trial.duration_s:g} s" if trial.duration_s else f"{trial.operations} operations"
    return (
        f"{trial.store.key:<28} {trial.workload}, {trial.load}, {length}"
        f" after {trial.warm_up_s:g} s, repetition {trial.repetition}{point}"
    )


def planned(scenario: Scenario) -> dict[str, Any]:
    """The plan as plain values."""
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
                "faults": [str(fault) for fault in trial.faults],
                "seed": trial.seed,
                "expected_s": trial.expected_s,
            }
            for trial in scenario.trials
        ],
    }

"""`eslab aa`: the same thing twice, added to the file of noise floors."""

from __future__ import annotations

import json as json_
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.shared import (
    RESULTS,
    Json,
    Margins,
    Out,
    PairsPlan,
    PairsServers,
    Scenario,
    Settings,
    Stores,
    require_statistics,
)
from harness.domain import formatting

if TYPE_CHECKING:
    from rich.console import Console

    from harness.analysis.comparison import Floor, Noise
    from harness.cli.compare import Subject
    from harness.cli.pairs import PairsOptions

GATE_PAIRS = 10


def aa(
    scenario: Scenario,
    stores: Stores = "",
    pairs: Annotated[int, typer.Option(help="Of trials, interleaved.")] = 20,
    margin: Margins = None,
    set_: Settings = None,
    out: Out = RESULTS,
    servers: PairsServers = "auto",
    dry_run: PairsPlan = False,
    json: Json = False,
) -> None:
    """Run the same thing twice, to measure which changes this machine can show."""
    require_statistics()
    from harness.cli.pairs import PairsOptions

    options = PairsOptions(
        scenario=scenario,
        pairs=pairs,
        settings=tuple(set_ or ()),
        margins=tuple(margin or ()),
        stores=stores,
        out=out,
        way=servers,
        dry_run=dry_run,
        json=json,
    )
    run_aa(options)


def run_aa(options: PairsOptions) -> None:
    """Run pairs of identical code; print spreads, floors and the rate of false alarms."""
    from rich.text import Text

    from harness.analysis.comparison import noise, parse_margins, refuse
    from harness.cli.compare import subjects_of_pairs
    from harness.cli.pairs import print_pairs, run_pairs
    from harness.scenario.expansion import paired

    metrics = parse_margins(options.margins)
    scenario = paired(options.loaded(options.stores), options.loaded(options.stores))
    if options.dry_run:
        print_pairs(scenario, json=options.json)
        return
    folder = run_pairs(options, scenario)
    measured: dict[str, Noise] = {}
    for subject in subjects_of_pairs(folder):
        refuse(subject.base, subject.candidate)
        sides = subject.base.trials, subject.candidate.trials
        gate_pairs = min(GATE_PAIRS, options.pairs)
        measured[subject.name] = noise(*sides, gate_pairs=gate_pairs, metrics=metrics)
        _remember(options, subject, measured[subject.name])
    if options.json:
        print(json_.dumps({"folder": str(folder)} | _plain(measured), indent=2))
        return
    for key, each in measured.items():
        _print(key, each, options.console)
    options.console.print(Text(f"results: {folder}"), soft_wrap=True)


def _remember(options: PairsOptions, subject: Subject, noise: Noise) -> None:
    from harness.analysis.comparison import fingerprint, remember
    from harness.analysis.comparison.noise_floor_file import FILE
    from harness.results.tables import writing

    manifest = subject.base.manifest
    machine = fingerprint(manifest["environment"])
    with writing(options.out / FILE):
        remember(options.out, manifest["scenario"]["hash"], machine, subject.name, noise)


def _print(key: str, noise: Noise, console: Console) -> None:
    from rich.text import Text

    from harness.render.table import Table, numbers, print_under_heading, texts

    names = ("margin", "spread", "furthest", "least margin", "pairs for margin")
    pairs = max((floor.pairs for floor in noise.floors), default=0)
    caption = f"{key}, {pairs} pairs of identical code"
    quiet = [each for each in noise.floors if each.metric.kind == "share" and not each.furthest]
    rows = [_cells(floor) for floor in noise.floors if floor not in quiet]
    print_under_heading(Table((*texts(""), *numbers(*names)), rows, caption), console, gap=2)
    low, high = noise.alarm_interval
    console.print(
        Text(
            f"false alarms: {noise.alarms} of {noise.gates:,} simulated gates of"
            f" {noise.gate_pairs} pairs ({_percent(low)} to {_percent(high)})"
        ),
        soft_wrap=True,
    )


def _cells(floor: Floor) -> tuple[str, ...]:
    needed = "over 1,000" if floor.pairs_for_margin is None else f"{floor.pairs_for_margin}"
    shares = (floor.metric.margin, floor.spread, floor.furthest, floor.floor)
    pairs = needed if floor.metric.kind == "timed" else formatting.MISSING
    return (floor.metric.label, *map(_percent, shares), pairs)


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _plain(measured: Mapping[str, Noise]) -> dict[str, Any]:
    return {
        "stores": {
            key: {
                "gates": each.gates,
                "gate_pairs": each.gate_pairs,
                "alarms": each.alarms,
                "alarm_interval": list(each.alarm_interval),
                "metrics": {
                    floor.metric.name: {
                        "margin": floor.metric.margin,
                        "pairs": floor.pairs,
                        "spread": floor.spread,
                        "furthest": floor.furthest,
                        "usual": floor.usual,
                        "floor": floor.floor,
                        "pairs_for_margin": floor.pairs_for_margin,
                    }
                    for floor in each.floors
                },
            }
            for key, each in measured.items()
        }
    }

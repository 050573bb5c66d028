"""`eslab aa`: the same thing twice, to know what this machine can tell apart."""

from __future__ import annotations

import json as json_
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import words
from harness.cli.noise_floor import remember
from harness.cli.pairs import Wanted, run_pairs, show_plan
from harness.cli.sides import Subject, of_pairs
from harness.compare import Noise, fingerprint, noise, parse_margins, refuse
from harness.scenario.pairs import paired

GATE_PAIRS = 10


def aa(wanted: Wanted) -> None:
    """Run pairs of identical code; print spreads, floors and the rate of false alarms."""
    metrics = parse_margins(wanted.margins)
    scenario = paired(wanted.loaded(wanted.stores), wanted.loaded(wanted.stores))
    if wanted.dry_run:
        show_plan(scenario, json=wanted.json)
        return
    folder = run_pairs(wanted, scenario)
    found: dict[str, Noise] = {}
    for subject in of_pairs(folder):
        refuse(subject.base, subject.candidate)
        pairs = subject.base.trials, subject.candidate.trials
        gate_pairs = min(GATE_PAIRS, wanted.pairs)
        found[subject.name] = noise(*pairs, gate_pairs=gate_pairs, metrics=metrics)
        _remember(wanted, subject, found[subject.name])
    if wanted.json:
        print(json_.dumps({"folder": str(folder)} | _plain(found), indent=2))
        return
    for key, each in found.items():
        _print(key, each, wanted.console)
    wanted.console.print(Text(f"results: {folder}"), soft_wrap=True)


def _remember(wanted: Wanted, subject: Subject, found: Noise) -> None:
    manifest = subject.base.manifest
    machine = fingerprint(manifest["environment"])
    remember(wanted.out, manifest["scenario"]["hash"], machine, subject.name, found)


def _print(key: str, found: Noise, console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("")
    for name in ("margin", "spread", "furthest", "least margin", "pairs for margin"):
        table.add_column(name, justify="right", no_wrap=True)
    for floor in found.floors:
        needed = "over 1,000" if floor.pairs_for_margin is None else f"{floor.pairs_for_margin}"
        table.add_row(
            floor.metric.label,
            *(_percent(share) for share in
              (floor.metric.margin, floor.spread, floor.furthest, floor.floor)),
            needed if floor.metric.kind == "timed" else words.MISSING,
        )  # fmt: skip
    console.print()
    pairs = max((floor.pairs for floor in found.floors), default=0)
    console.print(Text(f"{key}, {pairs} pairs of identical code", style="bold"))
    console.print(table)
    low, high = found.alarm_interval
    console.print(
        Text(
            f"false alarms: {found.alarms} of {found.gates:,} simulated gates of"
            f" {found.gate_pairs} pairs ({_percent(low)} to {_percent(high)})"
        ),
        soft_wrap=True,
    )


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _plain(found: Mapping[str, Noise]) -> dict[str, Any]:
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
            for key, each in found.items()
        }
    }

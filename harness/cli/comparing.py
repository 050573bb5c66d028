"""`eslab compare`: two runs, two stores of one run, or the pairs inside a run."""

from __future__ import annotations

import json as json_
from collections.abc import Sequence

from rich.console import Console

from harness.cli.sides import Subject, subjects
from harness.cli.verdict_table import print_comparison, told
from harness.compare import Comparison, Metric, parse_margins, refuse, warnings
from harness.compare import compare as compare_
from harness.errors import Refused


def compare(base: str, candidate: str, *, margins: Sequence[str], mixed: bool, json: bool) -> None:
    """Print the verdicts. Raises `Refused` and `BadInput`."""
    metrics = parse_margins(margins)
    wanted, left_out = subjects(base, candidate)
    found, said = held(wanted, metrics, mixed=mixed)
    said = [*said, *left_out]
    if json:
        print(json_.dumps({"base": base, "candidate": candidate, **told(found, said)}, indent=2))
        return
    print_comparison(found, said, Console(highlight=False))


def held(
    wanted: Sequence[Subject], metrics: Sequence[Metric], *, mixed: bool
) -> tuple[Comparison, list[str]]:
    """The verdicts and the warnings. Raises `Refused` where comparing would mislead."""
    said: list[str] = []
    for subject in wanted:
        refuse(subject.base, subject.candidate, allow_mixed_durability=mixed)
        said += warnings(subject.base, subject.candidate, interleaved=subject.interleaved)
    found = compare_(
        [(each.name, each.base.trials, each.candidate.trials) for each in wanted], metrics
    )
    if not found.rows:
        raise Refused("nothing to compare: no pair has a metric on both sides")
    return found, list(dict.fromkeys(said))

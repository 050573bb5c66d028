"""`eslab compare`: two runs, two stores of one run, or the pairs inside a run."""

from __future__ import annotations

import json as json_
from collections.abc import Sequence

from rich.console import Console

from harness.cli.sides import Subject, subjects
from harness.cli.verdict_table import print_comparison, told
from harness.compare import (
    Comparison,
    Metric,
    mixed_durability,
    parse_margins,
    refuse,
    unpaired,
    warnings,
)
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
    wanted: Sequence[Subject], metrics: Sequence[Metric], *, mixed: bool, whole: bool = False
) -> tuple[Comparison, list[str]]:
    """The verdicts and the warnings. Raises `Refused` where comparing would mislead.

    `whole` refuses a side that lacks a point of the other, too, instead of saying so.
    """
    said: list[str] = []
    timed = any(metric.kind == "timed" for metric in metrics)
    for subject in wanted:
        refuse(subject.base, subject.candidate, allow_mixed_durability=mixed)
        lost = [f"{subject.name}: {line}" for line in _lost(subject)]
        if lost and whole:
            raise Refused(lost[0])
        said += warnings(
            subject.base, subject.candidate, interleaved=subject.interleaved, timed=timed
        )
        said += lost
    found = compare_(
        [(_labelled(each), each.base.trials, each.candidate.trials) for each in wanted], metrics
    )
    if not found.rows:
        raise Refused("nothing to compare: no pair has a metric on both sides")
    return found, list(dict.fromkeys(said))


def _lost(subject: Subject) -> list[str]:
    return unpaired(subject.base.trials, subject.candidate.trials)


def _labelled(subject: Subject) -> str:
    """Whoever reads one row must see that its sides do not promise the same."""
    mixed = mixed_durability(subject.base, subject.candidate)
    return f"{subject.name} (MIXED DURABILITY)" if mixed else subject.name

"""Two scenarios of one file as one whose trials come in pairs, interleaved: A B, B A, A B, …"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.scenario.types import Scenario, Trial


def paired(base: Scenario, candidate: Scenario) -> Scenario:
    """The trials of both, side by side; they have the same points and repetitions.

    Each store of the base is paired with the candidate's at the same place. In every other pair
    the candidate goes first, so that a machine which slows down for a while slows both sides down.
    """
    trials = tuple(
        replace(trial, number=number)
        for number, trial in enumerate(_interleaved(base, candidate), start=1)
    )
    return replace(base, trials=trials)


def _interleaved(base: Scenario, candidate: Scenario) -> Iterator[Trial]:
    for one, other in zip(base.trials, candidate.trials, strict=True):
        pair = (replace(one, side="base"), replace(other, side="candidate"))
        yield from pair if one.repetition % 2 else reversed(pair)

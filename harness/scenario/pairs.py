"""Two scenarios of one file as one whose trials come in pairs, interleaved: A B, B A, A B, …"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.errors import BadInput
from harness.scenario.types import Scenario, Trial


def paired(base: Scenario, candidate: Scenario) -> Scenario:
    """The trials of both, side by side; each has one store and the same points and repetitions.

    In every other pair the candidate goes first, so that a machine which slows down for a while
    slows both sides down. Raises `BadInput`.
    """
    for side, scenario in (("--base", base), ("--candidate", candidate)):
        keys = {trial.store.key for trial in scenario.trials}
        if len(keys) != 1:
            raise BadInput(f"{side}: expected one store; got {', '.join(sorted(keys))}")
    trials = tuple(
        replace(trial, number=number)
        for number, trial in enumerate(_interleaved(base, candidate), start=1)
    )
    return replace(base, trials=trials)


def _interleaved(base: Scenario, candidate: Scenario) -> Iterator[Trial]:
    for one, other in zip(base.trials, candidate.trials, strict=True):
        pair = (replace(one, side="base"), replace(other, side="candidate"))
        yield from pair if one.repetition % 2 else reversed(pair)

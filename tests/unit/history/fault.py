"""What a fault is, and finding something in a history that it can break."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from hypothesis import assume

from harness.domain.outcome import Outcome
from harness.verification import Kind

from .told import Attempt, Row, Told

Place = tuple[int, int, int]
"""Stream, version and event that a violation may name."""
MAY_WRITE = {Outcome.OK, Outcome.UNKNOWN, Outcome.UNFINISHED}

Choice = TypeVar("Choice")


@dataclass(frozen=True, slots=True)
class Fault:
    """Breaks a history in one way and says what may be named.

    `kind` must be found; `companions` are what may truthfully be found with it.
    """

    apply: Callable[[Told, Random], set[Place]]
    kind: Kind
    companions: frozenset[Kind] = frozenset()

    def __str__(self) -> str:
        return self.apply.__name__


def pick(rng: Random, choices: Sequence[Choice]) -> Choice:
    """One of them; a history that has none is not an example for this fault."""
    assume(choices)
    return rng.choice(choices)


def place(row: Row) -> Place:
    """What a violation says of a row."""
    return row.stream, row.version, row.event


def writers(told: Told, row: Row) -> int:
    """How many attempts may have written a row."""
    return sum(row.event in one.events and one.outcome in MAY_WRITE for one in told.attempts)


def acknowledged(told: Told) -> list[Row]:
    """Rows of acknowledged events."""
    return [row for row in told.log if told.certain(row.event)]


def placed(told: Told) -> list[Attempt]:
    """Attempts whose acknowledgement told a version."""
    known = Outcome.OK, Outcome.FOUND
    return [one for one in told.attempts if one.outcome in known and one.version >= 0]


def told_place(told: Told, row: Row) -> bool:
    """Whether an acknowledgement told where the row is."""
    return any(row.event in one.events for one in placed(told))


def written(told: Told) -> list[Attempt]:
    """One attempt of each append that is in the log: the best one."""
    best: dict[int, Attempt] = {}
    for one in sorted(told.attempts, key=lambda one: (one.outcome is Outcome.OK, one.version)):
        if one.outcome in MAY_WRITE and told.rows_of(one):
            best[one.first] = one
    return [*best.values()]


def tried_once(told: Told, attempt: Attempt) -> bool:
    """Whether no other attempt sent any of its events."""
    return sum(bool({*one.events} & {*attempt.events}) for one in told.attempts) == 1


def alone(told: Told, row: Row) -> bool:
    """Whether the row's event is the only one of its append."""
    return all(one.count == 1 for one in told.attempts if row.event in one.events)

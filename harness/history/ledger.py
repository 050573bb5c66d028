"""What was sent, event by event: whether it must, may or must not be in the log."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from harness.history.columns import Appends, Ints
from harness.outcome import Outcome


class Standing(IntEnum):
    """What the answers to an event's append say about it."""

    REFUSED = 0
    """Certainly not written."""
    UNKNOWN = 1
    ACKNOWLEDGED = 2


_STANDINGS = np.full(len(Outcome), Standing.REFUSED, np.int8)
_STANDINGS[[Outcome.UNKNOWN, Outcome.UNFINISHED]] = Standing.UNKNOWN
_STANDINGS[Outcome.OK] = Standing.ACKNOWLEDGED


def standing_of(outcome: Ints) -> NDArray[np.int8]:
    """The standing that each attempt alone would give."""
    return np.asarray(_STANDINGS[outcome])


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """A row an event that was ever sent, sorted by `event`; retries of an event count once.

    `standing` is the best of its attempts', `append` the attempt (a row of `Appends`) that
    gave it, `writers` how many attempts may have written it.
    """

    event: Ints
    standing: NDArray[np.int8]
    append: Ints
    writers: Ints

    @classmethod
    def of(cls, appends: Appends) -> Ledger:
        """Spread attempts into events and merge those that name the same event."""
        standing = standing_of(appends.outcome)
        attempts = _by_event_then_best(appends.first, standing)
        append = np.repeat(attempts, appends.count[attempts])
        event = _consecutive(appends.first[attempts], appends.count[attempts])
        if np.any(event[1:] <= event[:-1]):
            order = _by_event_then_best(event, standing[append])
            event, append = event[order], append[order]
        return cls._merged(event, append, standing[append])

    @classmethod
    def _merged(cls, event: Ints, append: Ints, standing: NDArray[np.int8]) -> Ledger:
        if not len(event):
            return cls(event, standing, append, append)
        heads = np.flatnonzero(np.diff(event, prepend=event[0] - 1))
        may_write = (standing >= Standing.UNKNOWN).astype(np.int64)
        writers = np.add.reduceat(may_write, heads)
        return cls(event[heads], standing[heads], append[heads], writers)

    def find(self, event: Ints) -> Ints:
        """The row of each event, or -1 for one that nobody sent."""
        if not len(self.event):
            return np.full(len(event), -1)
        dense = self.event[-1] - self.event[0] == len(self.event) - 1
        row = event - self.event[0] if dense else np.searchsorted(self.event, event)
        row = np.clip(row, 0, len(self.event) - 1)
        return np.where(self.event[row] == event, row, -1)


def _by_event_then_best(event: Ints, standing: NDArray[np.int8]) -> Ints:
    best_first = np.argsort(-standing, kind="stable")
    return np.asarray(best_first[np.argsort(event[best_first], kind="stable")])


def _consecutive(first: Ints, count: Ints) -> Ints:
    """`first, first + 1, …` for each row, `count` of them, one after another."""
    starts = np.cumsum(count) - count
    return np.repeat(first - starts, count) + np.arange(int(count.sum()))

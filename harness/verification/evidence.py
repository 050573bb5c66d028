"""Sent events joined with read ones: an event must, may or must not be in the log."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from harness.domain.outcome import Outcome
from harness.verification.columns import Appends, Flags, Ints
from harness.verification.history import Attempts, Found, repeats


class Standing(IntEnum):
    """Whether an event may be in the log, by the outcome of its append."""

    REFUSED = 0
    """Certainly not written."""
    UNKNOWN = 1
    ACKNOWLEDGED = 2


_STANDINGS = np.full(len(Outcome), Standing.REFUSED, np.int8)
_STANDINGS[[Outcome.UNKNOWN, Outcome.UNFINISHED]] = Standing.UNKNOWN
_STANDINGS[[Outcome.OK, Outcome.FOUND]] = Standing.ACKNOWLEDGED


def standing_of(outcome: Ints) -> NDArray[np.int8]:
    """The standing that each attempt alone would give."""
    return np.asarray(_STANDINGS[outcome])


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """A row an event that was ever sent, sorted by `event`; retries of an event count once.

    `standing` is the best of its attempts', `append` the attempt (a row of `Appends`) that
    gave it, `writers` how many attempts may have written it; having been found is no attempt.
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
        attempted = appends.outcome[append] != Outcome.FOUND
        return cls._merged(event, append, standing[append], attempted)

    @classmethod
    def _merged(
        cls, event: Ints, append: Ints, standing: NDArray[np.int8], attempted: Flags
    ) -> Ledger:
        if not len(event):
            return cls(event, standing, append, append)
        heads = np.flatnonzero(np.diff(event, prepend=event[0] - 1))
        may_write = ((standing >= Standing.UNKNOWN) & attempted).astype(np.int64)
        writers = np.add.reduceat(may_write, heads)
        return cls(event[heads], standing[heads], append[heads], writers)

    def find(self, event: Ints) -> Ints:
        """The row of each event, or -1 for one that was never sent."""
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


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is known of a range of events. Rows of `log` are distinct places and events."""

    appends: Attempts
    ledger: Ledger
    log: Found
    sent: Ints
    """The ledger row of each row of `log`, or -1 for an event that was never sent."""
    row: Ints
    """The log row where each event of the ledger stands first, or -1."""

    @classmethod
    def of(cls, appends: Attempts, log: Found) -> Evidence:
        """Join appends with a log that is sorted by event."""
        ledger = Ledger.of(appends)
        if np.any(log.event[1:] == log.event[:-1]):
            log = log.take(~repeats(log))
        sent = ledger.find(log.event)
        row = np.full(len(ledger.event), -1)
        known = np.flatnonzero(sent >= 0)[::-1]
        row[sent[known]] = known  # the last assignment stays: the first occurrence
        return cls(appends, ledger, log, sent, row)

    @property
    def unknown(self) -> Flags:
        """Which rows of the log are of an append of unknown outcome."""
        unknown = np.zeros(len(self.log), np.bool_)
        known = self.sent >= 0
        unknown[known] = self.ledger.standing[self.sent[known]] == Standing.UNKNOWN
        return unknown

    def acknowledged_version(self, ledger_row: Ints) -> Ints:
        """The version at which each event of the ledger was acknowledged, or -1."""
        append = self.ledger.append[ledger_row]
        last = self.appends.first[append] + self.appends.count[append] - 1
        acknowledged = self.appends.version[append]
        return np.where(acknowledged >= 0, acknowledged - last + self.ledger.event[ledger_row], -1)

    def first_row(self, event: Ints) -> Ints:
        """The log row where each event stands first, or -1."""
        sent = self.ledger.find(event)
        return np.where(sent >= 0, self.row[sent], -1) if len(self.row) else sent

    def find(self, stream: Ints, version: Ints, event: Ints) -> Ints:
        """The log row of each event at that very place, or -1."""
        row = self.first_row(event)
        known = np.flatnonzero(row >= 0)
        there = row[known]
        same = (self.log.stream[there] == stream[known]) & (
            self.log.version[there] == version[known]
        )
        matches = np.full(len(event), -1)
        matches[known[same]] = there[same]
        rest = np.flatnonzero(matches < 0)
        if len(rest):
            matches[rest] = match(self.log, stream[rest], version[rest], event[rest])
        return matches


def match(log: Found, stream: Ints, version: Ints, event: Ints) -> Ints:
    """The row of each event at that very place, or -1; slower than `Evidence.find`."""
    columns = [
        np.concatenate(both)
        for both in ((log.event, event), (log.version, version), (log.stream, stream))
    ]
    order = np.lexsort(columns)  # stable: a row of the log comes before those that ask for it
    differs = np.zeros(len(order), np.bool_)
    for column in columns:
        differs[1:] |= column[order][1:] != column[order][:-1]
    heads = np.maximum.accumulate(np.where(differs, np.arange(len(order)), 0))
    found = np.empty(len(order), np.int64)
    found[order] = order[heads]
    asked = found[len(log) :]
    return np.where(asked < len(log), asked, -1)

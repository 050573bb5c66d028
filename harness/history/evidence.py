"""What was sent held against what was read: the joins that every check needs, made once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.history.columns import Appends, Flags, Ints, Log
from harness.history.ledger import Ledger

_VERSION_BITS = 32
_VERSION_MAX = (1 << _VERSION_BITS) - 2


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Rows of `log` are distinct places and events; `again` holds what was read repeatedly."""

    appends: Appends
    ledger: Ledger
    log: Log
    again: Log
    by_place: Ints
    """Rows of `log` sorted by stream, then version, then event."""
    place: Ints
    """The place (stream and version in one number) of each row of `by_place`."""
    sent: Ints
    """The ledger row of each row of `log`, or -1 for an event that nobody sent."""
    row: Ints
    """The log row where each event of the ledger stands first, or -1."""

    @classmethod
    def of(cls, appends: Appends, read: Log) -> Evidence:
        """Join appends and log."""
        ledger = Ledger.of(appends)
        log, again = _distinct(read)
        place = _place(log.stream, log.version)
        by_place = np.lexsort((log.event, place))
        sent = ledger.find(log.event)
        row = np.full(len(ledger.event), -1)
        known = np.flatnonzero(sent >= 0)[::-1]
        row[sent[known]] = known  # the last assignment stays: the first occurrence
        return cls(appends, ledger, log, again, by_place, place[by_place], sent, row)

    def told_version(self, ledger_row: Ints) -> Ints:
        """Where its acknowledgement puts each event of the ledger, or -1 where none did."""
        append = self.ledger.append[ledger_row]
        last = self.appends.first[append] + self.appends.count[append] - 1
        told = self.appends.version[append]
        return np.where(told >= 0, told - last + self.ledger.event[ledger_row], -1)

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
        found = np.full(len(event), -1)
        found[known[same]] = there[same]
        rest = np.flatnonzero(found < 0)
        found[rest] = self._search(_place(stream[rest], version[rest]), event[rest])
        return found

    def _search(self, place: Ints, event: Ints) -> Ints:
        """Like `find`, for copies and foreign events too, and eight times as slow."""
        found = np.full(len(event), -1)
        at = np.searchsorted(self.place, place)
        left = np.arange(len(event))
        while len(left):  # again only where several events claim one place
            left = left[at[left] < len(self.place)]
            left = left[self.place[at[left]] == place[left]]
            rows = self.by_place[at[left]]
            here = self.log.event[rows] == event[left]
            found[left[here]] = rows[here]
            left = left[~here]
            at[left] += 1
        return found

    def rows_of_stream(self, stream: int) -> Ints:
        """The log rows of one stream, by version."""
        ends = np.searchsorted(self.place, [stream << _VERSION_BITS, (stream + 1) << _VERSION_BITS])
        return self.by_place[ends[0] : ends[1]]


def take(log: Log, rows: Ints | Flags) -> Log:
    """Some rows of a log."""
    return Log(
        log.stream[rows],
        log.version[rows],
        log.event[rows],
        log.intact[rows],
        log.ascending[rows],
        log.names,
        log.foreign,
    )


def steps_back(stream: Ints, version: Ints) -> Ints:
    """Rows that come behind a later version of their stream which was the row before in it."""
    order = np.argsort(_narrow(stream), kind="stable")
    stream, version = stream[order], version[order]
    back = (stream[1:] == stream[:-1]) & (version[1:] < version[:-1])
    return np.asarray(order[1:][back])


def _distinct(read: Log) -> tuple[Log, Log]:
    """The log without what was read again, and what was read again."""
    place = _place(read.stream, read.version)
    order = np.lexsort((read.event, place))
    place, event = place[order], read.event[order]
    same = np.zeros(len(read), np.bool_)
    same[order[1:]] = (place[1:] == place[:-1]) & (event[1:] == event[:-1])
    return (take(read, ~same), take(read, same)) if same.any() else (read, take(read, same))


def _place(stream: Ints, version: Ints) -> Ints:
    """Stream and version as one number that sorts by both; versions beyond 32 bits share one."""
    return (stream << _VERSION_BITS) + np.clip(version, -1, _VERSION_MAX) + 1


def _narrow(stream: Ints) -> np.ndarray:
    """16 bits where they do: numpy sorts those by radix, ten times as fast."""
    fits = len(stream) and stream.min() >= 0 and stream.max() < 1 << 16
    return stream.astype(np.uint16) if fits else stream

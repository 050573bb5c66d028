"""Everything that was sent, returned and received, whatever its length, in parts to be judged.

Two orders are enough. By event: what an append did, who received it. By place: the versions of a
stream. No append and no place is divided between two parts, so a part has all that a rule needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from uuid import UUID

import numpy as np

from harness.domain.outcome import Outcome
from harness.results.sorted_rows import LOWEST, Cut, Rows, Scratch, SortedRows, even_cuts
from harness.verification.columns import Appends, Deliveries, Flags, Ints, Log, StreamReads


@dataclass(frozen=True, slots=True, eq=False)
class Attempts(Appends):
    """Some appends, with the number of each in the order in which they were given."""

    row: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Some events of the log. `row` is each one's number in the order of reading."""

    row: Ints
    stream: Ints
    version: Ints
    event: Ints
    intact: Flags
    ascending: Flags

    def __len__(self) -> int:
        return len(self.event)

    def take(self, chosen: Ints | Flags | slice) -> Found:
        """Some of them."""
        return Found(*(getattr(self, each.name)[chosen] for each in fields(self)))


NOTHING_FOUND = Found(*(np.zeros(0, np.int64),) * 4, *(np.zeros(0, np.bool_),) * 2)


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """Some deliveries. `row` is each one's number in the order of handling."""

    row: Ints
    subscriber: Ints
    event: Ints
    stream: Ints
    version: Ints


@dataclass(frozen=True, slots=True, eq=False)
class EventPart:
    """A range of events: their appends, and where they were met; `found` is sorted by event."""

    sent: Attempts
    found: Found
    received: Received
    read_alone: Rows
    """Event, key within its stream's read, stream that was read."""


@dataclass(frozen=True, slots=True, eq=False)
class PlacePart:
    """A range of places, sorted: what lies there, and foreign events delivered from there."""

    found: Found
    again: Found
    """What was read again: the same event at the same place."""
    received: Received


class History:
    """A trial's events in the making: first everything is added, then parts are taken."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.names: dict[int, str] = {}
        self.foreign: dict[tuple[int, int], UUID] = {}
        self.events_read = 0
        self.streams_read: list[int] = []
        """Those that were read one by one, in this order."""
        self._appends = scratch.rows(8, weight=4)
        self._append_count = 0
        self._may_be_written = False
        """Whether an append has an unknown outcome."""
        self._by_event, self._by_place = scratch.rows(4), scratch.rows(4)
        self._alone, self._alone_by_event = scratch.rows(5), scratch.rows(3)
        self._alone_count = 0
        self._received, self._received_foreign = scratch.rows(5), scratch.rows(4)
        self._received_count = 0
        self._subscribers: set[int] = set()
        self._in_use = np.zeros(0, np.bool_)

    def add_appends(self, appends: Appends) -> None:
        """Add what was sent."""
        row = np.arange(self._append_count, self._append_count + len(appends.op))
        self._append_count += len(row)
        self._use(appends.stream[np.isin(appends.outcome, (Outcome.OK, Outcome.FOUND))])
        unknown = np.isin(appends.outcome, (Outcome.UNKNOWN, Outcome.UNFINISHED))
        self._may_be_written |= bool(unknown.any())
        self._appends.add(
            appends.first,
            row,
            appends.op,
            appends.stream,
            appends.count,
            appends.expected,
            appends.version,
            appends.outcome,
        )

    def add_log(self, log: Log) -> None:
        """Add what the global read returned next."""
        key = _with_flags(np.arange(self.events_read, self.events_read + len(log)), log)
        self.events_read += len(log)
        self._use(log.stream)
        self._by_place.add(log.stream, log.version, log.event, key)
        own = log.event >= 0
        columns = log.event, key, log.stream, log.version
        self._by_event.add(*(columns if own.all() else [column[own] for column in columns]))

    def add_read(self, stream: int, log: Log) -> None:
        """Add what a read of a single stream returned next."""
        if stream not in self.streams_read[-1:]:
            self.streams_read.append(stream)
        key = _with_flags(np.arange(self._alone_count, self._alone_count + len(log)), log)
        self._alone_count += len(log)
        wanted = np.full(len(log), stream)
        self._alone.add(wanted, key, log.stream, log.version, log.event)
        if self._may_be_written:
            self._alone_by_event.add(log.event, key, wanted)

    def add_reads(self, reads: StreamReads) -> None:
        """Add single streams that are read already."""
        for number, stream in enumerate(reads.streams.tolist()):
            rows = slice(reads.bounds[number], reads.bounds[number + 1])
            self.add_read(stream, reads.log.take(rows))

    def add_deliveries(self, deliveries: Deliveries) -> None:
        """Add what subscribers received next."""
        row = np.arange(self._received_count, self._received_count + len(deliveries.event))
        self._received_count += len(row)
        self._subscribers.update(deliveries.numbers())
        own = deliveries.event >= 0
        event, subscriber = deliveries.event, deliveries.subscriber
        stream, version = deliveries.stream, deliveries.version
        self._received.add(*(each[own] for each in (event, row, subscriber, stream, version)))
        foreign = (stream, version, row, subscriber)
        self._received_foreign.add(*(each[~own] for each in foreign))

    @property
    def streams(self) -> list[int]:
        """The numbers of streams that hold events, or should."""
        numbers: list[int] = np.flatnonzero(self._in_use).tolist()
        return numbers

    @property
    def subscribers(self) -> list[int]:
        """Those that must have received everything."""
        return sorted(self._subscribers)

    def event_parts(self) -> Iterator[EventPart]:
        """All events of this trial's ids, in their order."""
        tables = (self._appends, self._by_event, self._received, self._alone_by_event)
        cuts = self._beside_appends(np.unique([cut[0] for cut in even_cuts(*tables)]))
        parts = zip(*(table.parts(cuts) for table in tables), strict=True)
        for sent, found, received, read_alone in parts:
            yield EventPart(_attempts(sent), _found(*found.T), _received(*received.T), read_alone)

    def place_parts(self) -> Iterator[PlacePart]:
        """The whole log by stream, then version, then event."""
        cuts = even_cuts(self._by_place, self._received_foreign)
        parts = self._by_place.parts(cuts), self._received_foreign.parts(cuts)
        for rows, received in zip(*parts, strict=True):
            stream, version, event, key = rows.T
            found = _found(event, key, stream, version)
            again = NOTHING_FOUND
            if np.any((stream[1:] == stream[:-1]) & (version[1:] == version[:-1])):
                found = found.take(np.lexsort((found.row, event, version, stream)))
                repeated = _like_the_row_before(found)
                found, again = found.take(~repeated), found.take(repeated)
            stream, version, row, subscriber = received.T
            foreign = _received(np.full(len(row), -1), row, subscriber, stream, version)
            yield PlacePart(found, again, foreign)

    def read_alone(self, landed: SortedRows) -> Iterator[Rows]:
        """What reads of single streams returned but for `landed`, by stream, in order of reading.

        Columns: the stream that was read, then stream, version, event and whether it is intact.
        """
        cuts = even_cuts(self._alone)
        for rows, left_out in zip(self._alone.parts(cuts), landed.parts(cuts), strict=True):
            wanted, key, stream, version, event = rows[~np.isin(rows[:, 1], left_out[:, 1])].T
            yield np.column_stack((wanted, stream, version, event, key >> 1 & 1))

    def _beside_appends(self, events: Ints) -> list[Cut]:
        """Cuts near these events that divide no append."""
        moved = np.unique(np.maximum(events, self._reach(events)))
        whole = moved[self._reach(moved) <= moved]
        return [(event, LOWEST) for event in whole.tolist()]

    def _reach(self, events: Ints) -> Ints:
        """For each event, the end of the appends that begin before it."""
        reach = np.full(len(events), LOWEST)
        for run in self._appends.runs() if len(events) else ():
            ends = np.maximum.accumulate(run[:, 0] + run[:, 4])
            before = np.searchsorted(run[:, 0], events)
            reach = np.maximum(reach, np.where(before > 0, ends[before - 1], LOWEST))
        return reach

    def _use(self, streams: Ints) -> None:
        if not len(streams):
            return
        missing = int(streams.max()) + 1 - len(self._in_use)
        if missing > 0:
            self._in_use = np.pad(self._in_use, (0, max(missing, len(self._in_use))))
        self._in_use[streams] = True


def repeats(found: Found) -> Flags:
    """Rows that are in the log before, at the same place with the same event."""
    order = np.lexsort((found.row, found.event, found.version, found.stream))
    again = np.zeros(len(found), np.bool_)
    again[order] = _like_the_row_before(found.take(order))
    return again


def _like_the_row_before(found: Found) -> Flags:
    like = np.zeros(len(found), np.bool_)
    like[1:] = True
    for column in (found.stream, found.version, found.event):
        like[1:] &= column[1:] == column[:-1]
    return like


def _with_flags(row: Ints, log: Log) -> Ints:
    """The row's number with two flags below it: it still sorts as the number does."""
    return row << 2 | log.intact.astype(np.int64) << 1 | log.ascending


def _attempts(rows: Rows) -> Attempts:
    rows = rows[np.argsort(rows[:, 1])]
    first, row, op, stream, count, expected, version, outcome = np.ascontiguousarray(rows.T)
    return Attempts(op, stream, first, count, expected, version, outcome, row)


def _found(event: Ints, key: Ints, stream: Ints, version: Ints) -> Found:
    stream, version, event = map(np.ascontiguousarray, (stream, version, event))
    return Found(key >> 2, stream, version, event, key & 2 > 0, key & 1 > 0)


def _received(event: Ints, row: Ints, subscriber: Ints, stream: Ints, version: Ints) -> Received:
    return Received(*map(np.ascontiguousarray, (row, subscriber, event, stream, version)))

"""What the double remembers: streams, one log of them all, and what an append may expect."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

ANY, NO_STREAM, EXISTS = "any", "no_stream", "stream_exists"
ABSENT, THERE, DELETED, TOMBSTONED = -1, -4, -5, -6
"""The states of a stream that a check may ask for beside its revision."""
TICKS_A_SECOND = 10_000_000
RECENT_IDS = 100_000
"""Idempotency under ANY reaches as far as a cache of recent event ids.

Source: EventStoreDB docs, "Appending events", section "Idempotence".
"""
LINK_TYPE = "$>"


@dataclass(frozen=True)
class Event:
    """A recorded event. `position` is its place in the log of all streams."""

    id: str
    stream: str
    version: int
    position: int
    metadata: dict[str, str]
    custom_metadata: bytes
    data: bytes


@dataclass
class Stream:
    """Events from `first` on; a deleted stream goes on counting where it ended.

    Source: EventStoreDB docs, "Deleting streams": after a soft delete, appending again makes the
    stream anew and its numbers go on.
    """

    events: list[Event] = field(default_factory=list)
    first: int = 0
    tombstoned: bool = False

    @property
    def head(self) -> int | None:
        """The version of the last event; `None` where there is no stream, or none any more."""
        return len(self.events) - 1 if len(self.events) > self.first else None

    @property
    def visible(self) -> list[Event]:
        """The events that a read gives."""
        return self.events[self.first :]


@dataclass(frozen=True)
class Conflict(Exception):
    """What was expected is not so."""

    actual: int | None


@dataclass(frozen=True)
class Violated:
    """A check that fails, by its place among the checks, with the state that was found."""

    index: int
    stream: str
    expected: int
    actual: int


class Violations(Exception):
    """All checks that fail; none of them where a batch is known in part."""

    def __init__(self, *violated: Violated) -> None:
        self.violated = violated


@dataclass(frozen=True)
class Record:
    """An event for `append_records`."""

    stream: str
    id: str
    metadata: dict[str, str]
    custom_metadata: bytes
    data: bytes


class StreamIsDeleted(Exception):
    """A tombstoned stream takes nothing any more."""


class Log:
    """The whole state of the double; it survives its own kill, as files would."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}
        self.all: list[Event] = []
        self._recent: dict[tuple[str, str], Event] = {}
        self._position = 0
        self.hides_next_after_deletion = False
        """The next append after a deletion does not bring its stream back, as where the server's
        index lags behind the deletion."""

    def append(self, name: str, expected: Any, proposed: list[Any]) -> Event:
        """The last event written, or the one that an earlier append of the same ids wrote.

        Raises `Conflict`. Source: the table "Appending" of what real servers answered.
        """
        stream = self.streams.setdefault(name, Stream())
        if stream.tombstoned:
            raise StreamIsDeleted(name)
        ids = [_id(one) for one in proposed]
        known = self._known(stream, name, expected, ids)
        if known is not None:
            return known
        if not _as_expected(stream, expected):
            raise Conflict(stream.head)
        hidden = self.hides_next_after_deletion and stream.head is None and stream.first > 0
        for one in proposed:
            self._record(name, stream, _id(one), one.metadata, one.custom_metadata, one.data)
        if hidden:
            stream.first, self.hides_next_after_deletion = len(stream.events), False
        return stream.events[-1]

    def append_records(
        self, records: list[Record], checks: list[tuple[str, int]]
    ) -> tuple[dict[str, int], int]:
        """The version of each stream's last event, and the position of the last of all.

        Raises `Violations`, `StreamIsDeleted`. Names that differ in case alone are one stream, the
        first one's. Source: "Several streams at once" in what real servers answered. Whether a
        restart makes them forget here as under ANY was not asked: the double forgets.
        """
        spelled: dict[str, str] = {}
        for one in records:
            spelled.setdefault(one.stream.casefold(), one.stream)
        placed = [(spelled[one.stream.casefold()], one) for one in records]
        written = [self._recent.get((name, one.id)) for name, one in placed]
        if None in written:
            if any(written):
                raise Violations
            self._require(checks, [name for name, _ in placed])
            written = [
                self._record(
                    name,
                    self.streams.setdefault(name, Stream()),
                    one.id,
                    one.metadata,
                    one.custom_metadata,
                    one.data,
                )
                for name, one in placed
            ]
        last = {event.stream: event.version for event in written}
        return last, max(event.position for event in written)

    def _require(self, checks: list[tuple[str, int]], written: list[str]) -> None:
        failing = [
            Violated(index, name, expected, actual)
            for index, (name, expected) in enumerate(checks)
            if not _in_state(expected, actual := self._state_of(name))
        ]
        if failing:
            raise Violations(*failing)
        for name in written:
            if self._state_of(name) == TOMBSTONED:
                raise StreamIsDeleted(name)

    def _state_of(self, name: str) -> int:
        stream = self.streams.get(name)
        if stream is None or not stream.events:
            return ABSENT
        if stream.tombstoned:
            return TOMBSTONED
        return DELETED if stream.head is None else stream.head

    def forget(self) -> None:
        """What a restart takes: the cache of recent ids is in memory alone."""
        self._recent.clear()

    def delete(self, name: str, *, tombstone: bool) -> bool:
        """Hide what is there; whether there was anything."""
        stream = self.streams.get(name)
        if stream is None or stream.head is None:
            return False
        stream.first, stream.tombstoned = len(stream.events), tombstone
        return True

    def _known(self, stream: Stream, name: str, expected: Any, ids: list[str]) -> Event | None:
        """With an exact version, the events after it are compared; else the recent ids.

        Of these the first alone decides whether they are looked up.
        """
        if isinstance(expected, int) or expected == NO_STREAM:
            start = expected + 1 if isinstance(expected, int) else 0
            there = stream.events[start : start + len(ids)]
            return there[-1] if ids and [one.id for one in there] == ids else None
        if expected == EXISTS and stream.head is None:
            return None
        known = [self._recent.get((name, one)) for one in ids]
        if known[0] is not None and None in known:
            # Source: the server's `IndexWriter`, CorruptedIdempotency.
            raise Conflict(stream.head)
        return known[-1] if known[0] is not None else None

    def _record(
        self,
        name: str,
        stream: Stream,
        id_: str,
        metadata: dict[str, str],
        custom_metadata: bytes,
        data: bytes,
    ) -> Event:
        event = Event(
            id=id_,
            stream=name,
            version=len(stream.events),
            position=self._next(),
            metadata={**metadata, "created": str(int(time.time() * TICKS_A_SECOND))},
            custom_metadata=custom_metadata,
            data=data,
        )
        stream.events.append(event)
        self.all.append(event)
        self._recent.pop((name, event.id), None)
        self._recent[name, event.id] = event
        if len(self._recent) > RECENT_IDS:
            del self._recent[next(iter(self._recent))]
        self._link(event)
        return event

    def _link(self, event: Event) -> None:
        """As the system projection `$by_category` does: a link in `$ce-<category>`.

        Source: EventStoreDB docs, "System projections".
        """
        category, dash, _ = event.stream.partition("-")
        if not dash or event.stream.startswith("$"):
            return
        name = f"$ce-{category}"
        stream = self.streams.setdefault(name, Stream())
        link = Event(
            id=f"{event.id[:-12]}{self._position:012x}",
            stream=name,
            version=len(stream.events),
            position=self._next(),
            metadata={**event.metadata, "type": LINK_TYPE},
            custom_metadata=b"",
            data=f"{event.version}@{event.stream}".encode(),
        )
        stream.events.append(link)
        self.all.append(link)

    def _next(self) -> int:
        """Positions are bytes of a log, so they are not consecutive."""
        self._position += 100
        return self._position


def _id(proposed: Any) -> str:
    return str(proposed.id.string)


def _in_state(expected: int, actual: int) -> bool:
    """A deleted stream may be written as if it had never been."""
    if expected == THERE:
        return actual >= 0
    return actual == expected or (expected == ABSENT and actual == DELETED)


def _as_expected(stream: Stream, expected: Any) -> bool:
    head = stream.head
    if expected == ANY:
        return True
    if expected == NO_STREAM:
        return head is None
    if expected == EXISTS:
        return head is not None
    # A deleted stream may be written again with the version at which it ended, too.
    return bool(expected == (len(stream.events) - 1 if stream.events else None))

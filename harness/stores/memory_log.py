"""The memory store's log: the contract's rules for appending, with no input or output."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from harness.errors import EmptyAppend, EventIdReused, WrongExpectedVersion
from harness.store import (
    AppendResult,
    ExpectedVersion,
    NewEvent,
    Position,
    RecordedEvent,
    Snapshot,
    StreamState,
)
from harness.stores.in_process import Bell


class Log:
    """Events kept once, in global order; `streams` and ids only refer to them.

    An event's index in the log is its position, its index in the stream is its version.
    """

    def __init__(self) -> None:
        self.streams: dict[str, list[RecordedEvent]] = {}
        self.checkpoints: dict[str, Position] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.appended = Bell()
        self._events: list[RecordedEvent] = []
        self._by_id: dict[int, RecordedEvent] = {}

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, index: int) -> RecordedEvent:
        return self._events[index]

    def index_behind(self, after: Position | None) -> int:
        """Where reading goes on behind a position; the end for `Position.NOW`."""
        if after is None:
            return 0
        return len(self._events) if after == Position.NOW else after[0] + 1

    def append(
        self, stream: str, events: Sequence[NewEvent], expected: ExpectedVersion
    ) -> AppendResult:
        """Write all of `events`, or raise a `NotWritten` and write none.

        Ids come before versions: an exact retry returns the first call's result whatever
        it expects and whatever was appended since.
        """
        if not events:
            raise EmptyAppend("an append needs at least one event")
        original = self._original(stream, events)
        if original is not None:
            return AppendResult(original.version, original.position)
        self._check_version(stream, expected)
        last = self._write(stream, events)
        self.appended.ring()
        return AppendResult(last.version, last.position)

    def _original(self, stream: str, events: Sequence[NewEvent]) -> RecordedEvent | None:
        """The last event of an earlier append that `events` repeat exactly, if any is known."""
        known = [self._by_id.get(event.id.int) for event in events]
        if not any(known):
            if len({event.id.int for event in events}) < len(events):
                raise EventIdReused("the same event id twice in one append")
            return None
        first = known[0]
        for offset, (old, new) in enumerate(zip(known, events, strict=True)):
            if old is None or first is None or old.stream != stream:
                raise EventIdReused(f"event {new.id} was written elsewhere, or was not")
            if old.version != first.version + offset or not _same_content(old, new):
                raise EventIdReused(f"event {new.id} was written in another order or content")
        return known[-1]

    def _check_version(self, stream: str, expected: ExpectedVersion) -> None:
        head = len(self.streams.get(stream, ())) - 1
        actual = head if head >= 0 else None
        match expected:
            case StreamState.ANY:
                holds = True
            case StreamState.NO_STREAM:
                holds = actual is None
            case StreamState.EXISTS:
                holds = actual is not None
            case version:
                holds = actual == version
        if not holds:
            raise WrongExpectedVersion(stream, expected, actual)

    def _write(self, stream: str, events: Sequence[NewEvent]) -> RecordedEvent:
        in_stream = self.streams.setdefault(stream, [])
        now = datetime.now(UTC)
        for event in events:
            recorded = RecordedEvent(
                event.id,
                stream,
                len(in_stream),
                Position((len(self._events),)),
                event.type,
                event.data,
                event.metadata,
                now,
            )
            self._events.append(recorded)
            self._by_id[event.id.int] = recorded
            in_stream.append(recorded)
        return in_stream[-1]


def _same_content(old: RecordedEvent, new: NewEvent) -> bool:
    return (old.type, old.data, old.metadata) == (new.type, new.data, new.metadata)

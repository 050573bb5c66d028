"""The memory store's log: events in lists, appended by the shared rule, with no input or output."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from harness.domain.boundaries import (
    TAGGED,
    BoundaryEvent,
    BoundaryItem,
    TaggedEvent,
    matches,
)
from harness.domain.errors import BoundaryViolated, EventIdReused
from harness.domain.store import (
    AppendResult,
    ExpectedVersion,
    NewEvent,
    Position,
    RecordedEvent,
    Snapshot,
)
from harness.stores._shared import append_rules
from harness.stores._shared.waiting import Bell


class Log:
    """Events kept once, in global order; `streams` and `by_id` only refer to them.

    An event's index in the log is its position, its index in the stream is its version. The
    adapter only appends; the other public members are for tests that build faults into a store.
    """

    def __init__(self) -> None:
        self.streams: dict[str, list[RecordedEvent]] = {}
        self.by_id: dict[int, RecordedEvent] = {}
        """Events by the integer of their id, to recognise a retry."""
        self.checkpoints: dict[str, Position] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.appended = Bell()
        self.tagged: dict[int, frozenset[str]] = {}
        """The tags of tagged events, by position."""
        self._by_type: defaultdict[str, list[int]] = defaultdict(list)
        """The positions of tagged events of each type, ascending; those of each tag below."""
        self._by_tag: defaultdict[str, list[int]] = defaultdict(list)
        self._events: list[RecordedEvent] = []

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, index: int) -> RecordedEvent:
        return self._events[index]

    def head(self, stream: str) -> int | None:
        """The version of the stream's last event; `None` where there is no stream."""
        events = self.streams.get(stream)
        return len(events) - 1 if events else None

    def known(self, events: Sequence[NewEvent]) -> list[RecordedEvent | None]:
        """For each event the recorded one with its id."""
        return [self.by_id.get(event.id.int) for event in events]

    def index_after(self, position: Position | None) -> int:
        """The index of the first event after a position; the end for `Position.NOW`."""
        if position is None:
            return 0
        return len(self._events) if position == Position.NOW else position[0] + 1

    def append(
        self, stream: str, events: Sequence[NewEvent], expected: ExpectedVersion
    ) -> AppendResult:
        """Write all of `events`, or raise a `NotWritten` and write none."""
        last = append_rules.decide(
            stream, events, expected, head=self.head(stream), known=self.known(events)
        )
        if last is None:
            last = self._write(stream, events)
            self.appended.ring()
        return AppendResult(last.version, last.position)

    def boundary(
        self, items: Sequence[BoundaryItem], after: Position | None
    ) -> Iterator[BoundaryEvent]:
        """The boundary's events after a position, oldest first."""
        for index in self._candidates(items, self.index_after(after)):
            event, tags = self._events[index], self.tagged.get(index)
            if tags is not None and matches(items, event.type, tags):
                yield BoundaryEvent(event, tags)

    def _candidates(self, items: Sequence[BoundaryItem], first: int) -> Iterable[int]:
        """Indices from `first` on, ascending, among them those of all events that items match."""
        lists = list[list[int]]()
        for item in items:
            if item.tags:
                lists.append(min((self._by_tag.get(tag, []) for tag in item.tags), key=len))
            elif item.types:
                lists += (self._by_type.get(each, []) for each in item.types)
            else:
                return range(first, len(self._events))
        if not lists:
            return range(first, len(self._events))
        if len(lists) == 1:
            (only,) = lists
            return map(only.__getitem__, range(bisect_left(only, first), len(only)))
        return sorted({index for each in lists for index in each[bisect_left(each, first) :]})

    def append_if(
        self,
        events: Sequence[TaggedEvent],
        fail_if_match: Sequence[BoundaryItem] | None,
        after: Position | None,
    ) -> Position:
        """Write all of `events`, or raise a `NotWritten` and write none."""
        append_rules.require_events(events)
        last = append_rules.original(TAGGED, events, self.known(events))
        if last is not None:
            self._require_same_tags(events, last.version)
        else:
            if fail_if_match is not None:
                for match in self.boundary(fail_if_match, after):
                    raise BoundaryViolated(f"event {match.event.id} was written in the meantime")
            first = len(self)
            last = self._write(TAGGED, events, tagged=True)
            for index, event in enumerate(events, first):
                self.tagged[index] = tags = frozenset(event.tags)
                self._by_type[event.type].append(index)
                for tag in tags:
                    self._by_tag[tag].append(index)
            self.appended.ring()
        return last.position

    def _require_same_tags(self, events: Sequence[TaggedEvent], last: int) -> None:
        """Raises `EventIdReused` if the recorded events up to `last` have other tags."""
        for index, event in enumerate(events, last + 1 - len(events)):
            if self.tagged[index] != frozenset(event.tags):
                raise EventIdReused(f"event {event.id} was written with other tags")

    def _write(
        self, stream: str, events: Sequence[NewEvent], *, tagged: bool = False
    ) -> RecordedEvent:
        """Tagged events are in no stream; their version is their index in the log."""
        in_stream = [] if tagged else self.streams.setdefault(stream, [])
        now = datetime.now(UTC)
        for event in events:
            recorded = RecordedEvent(
                event.id,
                stream,
                len(self) if tagged else len(in_stream),
                Position((len(self._events),)),
                event.type,
                event.data,
                event.metadata,
                now,
            )
            self._events.append(recorded)
            self.by_id[event.id.int] = recorded
            in_stream.append(recorded)
        return in_stream[-1]

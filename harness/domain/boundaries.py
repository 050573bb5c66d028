"""Consistency boundaries across streams: events with tags, queries over them, conditional appends.

The terms and the semantics are those of the specification of dynamic consistency boundaries at
dcb.events. A tagged event is in no stream: as a `RecordedEvent` its stream is `TAGGED`, and its
version is only a number that no other tagged event has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from harness.domain.store import NewEvent, Position, RecordedEvent

TAGGED = "$tagged"
"""In place of a stream's name."""


@dataclass(frozen=True, slots=True)
class TaggedEvent(NewEvent):
    """An event not yet written, and what it is about."""

    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BoundaryEvent:
    """A tagged event read back. Tags have no order, and none twice."""

    event: RecordedEvent
    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class BoundaryItem:
    """Matches events of any of these types that have all of these tags.

    No types are any type, no tags are any tags.
    """

    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def matches(self, event_type: str, tags: Iterable[str]) -> bool:
        """Whether an event belongs to it."""
        return (not self.types or event_type in self.types) and set(self.tags).issubset(tags)


def matches(items: Sequence[BoundaryItem], event_type: str, tags: Iterable[str]) -> bool:
    """Whether an event belongs to a boundary: to any of its items. No items are everything."""
    found = frozenset(tags)
    return not items or any(item.matches(event_type, found) for item in items)


@dataclass(frozen=True, slots=True)
class BoundaryRead:
    """What a query found, oldest first, and the state of the log that it saw.

    `head` is what a later append is conditional on; `None` where the log has no events. Where
    `limit` cut the query, it is only for reading on.
    """

    events: tuple[BoundaryEvent, ...]
    head: Position | None


@dataclass(frozen=True, slots=True)
class BoundaryAppend:
    """Where the last event of a conditional append was written."""

    position: Position | None
    tries: int = 1
    """Transactions that it took: more than one where the store found a conflict that was none."""


@runtime_checkable
class Boundaries(Protocol):
    """An event store whose appends may be conditional on a query instead of a stream's version.

    Optional, beside `EventStore`. Its events are part of `read_all` and of subscriptions, and of
    no stream; events of streams are part of no boundary.
    """

    async def query(
        self,
        items: Sequence[BoundaryItem],
        *,
        after: Position | None = None,
        limit: int | None = None,
    ) -> BoundaryRead:
        """The boundary's events that were written after `after`, a head of an earlier query.

        Raises a `ReadFailed` or `StoreUnavailable`.
        """
        ...

    async def append_if(
        self,
        events: Sequence[TaggedEvent],
        *,
        fail_if_match: Sequence[BoundaryItem] | None,
        after: Position | None = None,
    ) -> BoundaryAppend:
        """Write all of `events`, or none.

        Raises `BoundaryViolated` if an event that matches `fail_if_match` was written after
        `after`, the head of the query that was decided on; `None` for both is no condition.
        A retry with the ids and the content of an earlier append gets its result. Raises the
        other errors of `EventStore.append`.
        """
        ...

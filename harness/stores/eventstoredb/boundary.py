"""Consistency boundaries over streams: a boundary is some streams, and their versions.

A tagged event is written into the streams of its tags, into that of its type, and into that of all
tagged events, in one append. So an item is read in its first tag's stream, else in those of its
types, else in that of all. The copies come first, and the event itself last: it is the one that
readers of the log see, and whatever comes after it in the log comes after its copies.

The streams' versions are checked by the server. They say less than a boundary does: an event of
another type, or of another item's tags, moves them too. So after a refusal the client looks whether
an event that matches is there, and sends the append again if not, which counts as a try.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from hashlib import sha256
from re import escape
from typing import Any
from uuid import UUID, uuid5

from harness.domain.boundaries import (
    TAGGED,
    BoundaryAppend,
    BoundaryEvent,
    BoundaryItem,
    BoundaryRead,
    TaggedEvent,
    matches,
)
from harness.domain.errors import (
    AppendRefused,
    BoundaryViolated,
    EventIdReused,
    StoreUnavailable,
)
from harness.domain.store import Position, RecordedEvent, StreamState
from harness.stores._shared.append_rules import require_events
from harness.stores.eventstoredb.client import BUILDING, LOOKING, LOOKING_BACK, READING, appending
from harness.stores.eventstoredb.session import Session
from harness.stores.eventstoredb.several_streams import (
    NO_STREAM,
    Appender,
    Conflict,
    Written,
    metadata_of,
    record,
    strings_of,
    type_of,
)

_TAGS, _ID = "tags", "id"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.:")
_COPIES = UUID("5a0d3f3e-6f0e-4c46-9d3b-0b6f6a0f8f52")
_TRIES_MAX = 100
_KNOWN_IN_PART = "a part of the event ids is known"
_AGAIN_S = 0.005
"""A server may refuse for what its index does not show yet."""


@dataclass(frozen=True, slots=True)
class _Names:
    """The streams of tagged events in one generation of a namespace."""

    prefix: str

    @property
    def all(self) -> str:
        """Where each tagged event is once. Its name is within the prefix: the log shows it."""
        return self.prefix + TAGGED

    def of_tag(self, tag: str) -> str:
        """Raises `ValueError` for text that is no Unicode."""
        return self._named("t", tag)

    def of_type(self, type_: str) -> str:
        """The same for a type."""
        return self._named("y", type_)

    def of(self, items: Sequence[BoundaryItem]) -> tuple[str, ...]:
        """Those that have every event of the items."""
        if not items or not all(item.tags or item.types for item in items):
            return (self.all,)
        found = {
            name
            for item in items
            for name in (
                [self.of_tag(item.tags[0])] if item.tags else map(self.of_type, item.types)
            )
        }
        return tuple(sorted(found))

    def with_copies_of(self, event_type: str, tags: Iterable[str]) -> tuple[str, ...]:
        """Those that an event of this type and these tags is in, beside that of all."""
        return (self.of_type(event_type), *map(self.of_tag, sorted(set(tags))))

    def _named(self, kind: str, text: str) -> str:
        """Without capitals: the call takes names that differ in case alone for the same stream."""
        return f"{self.prefix[:-1]}{kind}.{''.join(map(_plain, text))}"


def _plain(character: str) -> str:
    if character in _PLAIN:
        return character
    return "".join(f"%{byte:02x}" for byte in character.encode())


@dataclass(frozen=True, slots=True)
class _Since:
    """From where on events are newer: a version of each stream, or a position of the log."""

    position: int | None
    versions: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, head: Position | None, streams: Sequence[str]) -> _Since:
        """The head of a query over the same streams has their versions, any other its position."""
        if head is None:
            return cls(None)
        if len(head) == 2 + len(streams) and head[1] == _mark(streams):
            return cls(head[0], dict(zip(streams, head[2:], strict=True)))
        return cls(head[0])

    def known(self, streams: Sequence[str]) -> Mapping[str, int]:
        """The versions that the streams then had; none where they must be looked up."""
        if self.position is None:
            return dict.fromkeys(streams, NO_STREAM)
        return self.versions


def _mark(streams: Sequence[str]) -> int:
    return int.from_bytes(sha256("\n".join(streams).encode()).digest()[:7])


@dataclass(frozen=True, slots=True)
class _Condition:
    """What an append excludes, and where it would be."""

    names: _Names
    items: Sequence[BoundaryItem]
    streams: Sequence[str]
    since: _Since

    @classmethod
    def of(
        cls, names: _Names, items: Sequence[BoundaryItem] | None, after: Position | None
    ) -> _Condition | None:
        """`None` for no condition."""
        if items is None:
            return None
        streams = names.of(items)
        return cls(names, items, streams, _Since.of(after, streams))


@dataclass(frozen=True, slots=True)
class _Part:
    """What one stream has since then, oldest first, and the version of its last event."""

    version: int
    events: tuple[BoundaryEvent, ...]
    versions: tuple[int, ...]
    """Of each of the events, in the stream."""

    def before(self, index: int) -> _Part:
        """Without the event at this place, and what comes after it."""
        return _Part(self.versions[index] - 1, self.events[:index], self.versions[:index])


class OverStreams:
    """Queries and conditional appends of a store whose append takes several streams."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._appender = Appender(session)
        self._seen = -1
        """The highest position that this connection knows: what is written next is beyond."""

    async def query(
        self,
        items: Sequence[BoundaryItem],
        *,
        after: Position | None = None,
        limit: int | None = None,
    ) -> BoundaryRead:
        """A read of each stream. The head of the log is read before them, so they have it all."""
        with READING:
            prefix = await self._session.prefix()
            if prefix is None or limit == 0:
                return BoundaryRead((), after)
            names = _Names(prefix)
            streams = names.of(items)
            newest = await self._session.newest(names.all)
            if newest is None:
                return BoundaryRead((), after)
            self._seen = max(self._seen, newest.commit_position)
            parts = await self._parts(names, streams, _Since.of(after, streams))
            found = _merged(parts, items)
            if limit is not None and len(found) > limit:
                found = found[:limit]
                return BoundaryRead(found, await self._end_of(names, found[-1].event))
        position = max(newest.commit_position, after[0] if after else 0)
        versions = (parts[name].version for name in streams)
        return BoundaryRead(found, Position((position, _mark(streams), *versions)))

    async def append_if(
        self,
        events: Sequence[TaggedEvent],
        *,
        fail_if_match: Sequence[BoundaryItem] | None,
        after: Position | None = None,
    ) -> BoundaryAppend:
        """One call where the head tells the versions to expect, and else a look before it."""
        require_events(events)
        if len({event.id for event in events}) < len(events):
            raise EventIdReused("the same event id twice in one append")
        if self._session.closed:
            raise StoreUnavailable("nothing was sent: the store was closed")
        with LOOKING:
            prefix = await self._session.prefix()
        if prefix is None:
            raise AppendRefused("the namespace was not set up")
        names = _Names(prefix)
        with BUILDING:
            records = [one for event in events for one in _records(names, event)]
            condition = _Condition.of(names, fail_if_match, after)
        before = self._seen
        written, tries = await self._written_if(records, condition, len(events))
        self._seen = max(self._seen, written.position)
        if written.position <= before:
            await self._require_same(names, events, written.versions[names.all])
        return BoundaryAppend(Position((written.position,)), tries)

    async def _written_if(
        self, records: Sequence[Any], condition: _Condition | None, events: int
    ) -> tuple[Written, int]:
        """What was written, now or by an earlier append that this one repeats, and the tries."""
        checks, violated = await self._first_checks(condition)
        for tries in range(1, _TRIES_MAX + 1):
            try:
                with appending(TAGGED, StreamState.ANY, events):
                    return await self._appender.append(records, checks), tries
            except Conflict as conflict:
                if condition is None:
                    raise EventIdReused(_KNOWN_IN_PART) from None
                if not violated:
                    found, violated = await self._look(condition)
                if violated:
                    raise BoundaryViolated("an event that matches is there") from None
                if found == checks:
                    if not conflict.states:
                        raise EventIdReused(_KNOWN_IN_PART) from None
                    await asyncio.sleep(_AGAIN_S)
                checks = found
        why = f"other appends to its streams came before it {_TRIES_MAX} times"
        raise AppendRefused(why, reason="StreamsMoved")

    async def _first_checks(self, condition: _Condition | None) -> tuple[Mapping[str, int], bool]:
        """What the append is sent with, and whether it is violated already.

        Then the server writes nothing, and may still know the append.
        """
        if condition is None:
            return {}, False
        known = condition.since.known(condition.streams)
        if known:
            return known, False
        found, violated = await self._look(condition)
        return ({condition.names.all: NO_STREAM} if violated else found), violated

    async def _look(self, condition: _Condition) -> tuple[Mapping[str, int], bool]:
        """The streams' versions, and whether an event that matches is newer."""
        with LOOKING:
            parts = await self._parts(condition.names, condition.streams, condition.since)
        versions = {name: part.version for name, part in parts.items()}
        return versions, bool(_merged(parts, condition.items))

    async def _parts(
        self, names: _Names, streams: Sequence[str], since: _Since
    ) -> Mapping[str, _Part]:
        """Together as they were at one time: an event is in all of its streams or in none."""
        read = await asyncio.gather(*(self._part(name, since) for name in streams))
        return _whole(names, dict(zip(streams, read, strict=True)))

    async def _part(self, name: str, since: _Since) -> _Part:
        version = since.versions.get(name, NO_STREAM)
        if name in since.versions or since.position is None:
            read = self._session.stream(name, stream_position=version + 1)
            found = [event async for event in read]
        else:
            found = []
            async with aclosing(self._newest_first(name)) as events:
                async for event in events:
                    version = max(version, event.stream_position)
                    if event.commit_position <= since.position:
                        break
                    found.append(event)
            found.reverse()
        numbers = tuple(event.stream_position for event in found)
        return _Part(max([version, *numbers]), tuple(map(_tagged, found)), numbers)

    async def _newest_first(self, name: str) -> AsyncGenerator[Any]:
        async for event in self._session.stream(name, backwards=True):
            yield event

    async def _end_of(self, names: _Names, last: RecordedEvent) -> Position:
        """The place of an event of which a copy was read."""
        how = {"commit_position": last.position[0], "limit": 1}
        found = [event async for event in self._session.all(escape(names.all), **how)]
        return Position((found[0].commit_position,))

    async def _require_same(
        self, names: _Names, events: Sequence[TaggedEvent], version: int
    ) -> None:
        """Raises `EventIdReused` unless the events up to this version are these."""
        first = max(0, version + 1 - len(events))
        how = {"stream_position": first, "limit": len(events)}
        with LOOKING_BACK:
            there = [_tagged(event) async for event in self._session.stream(names.all, **how)]
        if [_content(one.event, one.tags) for one in there] != [
            _content(event, event.tags) for event in events
        ]:
            raise EventIdReused("its ids were written with other content, tags or order")


def _records(names: _Names, event: TaggedEvent) -> Iterator[Any]:
    """Copies have ids of their own: what a server knows of an id may be one stream."""
    strings = {_TAGS: json.dumps(sorted(set(event.tags)))}
    for name in names.with_copies_of(event.type, event.tags):
        copy = uuid5(_COPIES, f"{event.id} {name}")
        yield record(event, name, id_=copy, strings={**strings, _ID: str(event.id)})
    yield record(event, names.all, strings=strings)


def _tagged(event: Any) -> BoundaryEvent:
    """An event, or a copy of it, of which position and version are the copy's."""
    strings = strings_of(event.metadata)
    recorded = RecordedEvent(
        id=UUID(strings.get(_ID, str(event.id))),
        stream=TAGGED,
        version=event.commit_position,
        position=Position((event.commit_position,)),
        type=type_of(event.type),
        data=event.data,
        metadata=metadata_of(strings),
        recorded_at=event.recorded_at,
    )
    return BoundaryEvent(recorded, frozenset(json.loads(strings[_TAGS])))


def _whole(names: _Names, parts: Mapping[str, _Part]) -> Mapping[str, _Part]:
    """Without what came while the streams were read one after another.

    An event that is in one of its streams and not yet in another is cut off, with what follows.
    """
    parts = dict(parts)
    while True:
        seen = {name: {each.event.id for each in part.events} for name, part in parts.items()}
        torn = next(_torn(names, parts, seen), None)
        if torn is None:
            return parts
        name, index = torn
        parts[name] = parts[name].before(index)


def _torn(
    names: _Names, parts: Mapping[str, _Part], seen: Mapping[str, set[UUID]]
) -> Iterator[tuple[str, int]]:
    """The first event of a stream that is missing in another of its streams."""
    for name, part in parts.items():
        for index, (event, tags) in enumerate((each.event, each.tags) for each in part.events):
            others = names.with_copies_of(event.type, tags)
            if any(event.id not in seen[other] for other in others if other in seen):
                yield name, index
                break


def _merged(parts: Mapping[str, _Part], items: Sequence[BoundaryItem]) -> tuple[BoundaryEvent, ...]:
    """The events that match, each once, in the order of the log."""
    found = {
        each.event.id: each
        for part in parts.values()
        for each in part.events
        if matches(items, each.event.type, each.tags)
    }
    return tuple(sorted(found.values(), key=lambda each: each.event.position))


def _content(event: Any, tags: Any) -> tuple[object, ...]:
    return event.id, event.type, event.data, event.metadata, frozenset(tags)

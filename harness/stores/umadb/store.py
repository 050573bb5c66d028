"""Streams on a store that has none: an append's condition is a query that nothing may match.

`ByVersion` gives each event the tag of the version that it takes, `ByPosition` expects by the
position of the stream's last event. Either way the server decides: an expectation beyond the head
needs a look first, because a condition cannot say that an event must be there; streams only grow,
so what was seen stays true.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Self
from weakref import WeakValueDictionary

from harness.domain.boundaries import TAGGED
from harness.domain.costs import DATA_BYTES, Counts
from harness.domain.durability import Durability
from harness.domain.errors import (
    AppendRefused,
    EventIdReused,
    NotSent,
    OutcomeUnknown,
    StreamNotFound,
    TamperingPrevented,
    WrongExpectedVersion,
)
from harness.domain.store import (
    AppendResult,
    Endpoint,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    Position,
    RecordedEvent,
    StreamState,
)
from harness.stores._shared.append_rules import original, require_events, require_stream
from harness.stores._shared.time_limit import TimeLimit
from harness.stores.umadb.boundary import WithBoundaries
from harness.stores.umadb.client import (
    CONFLICT_RETRIES,
    CONNECTING,
    LOOKING,
    READING,
    SETTING_UP,
    Client,
    Conflict,
    appending,
    none_after,
    query,
)
from harness.stores.umadb.declaration import (
    EVENT_LIMIT_BYTES,
    FACTS,
    UmaOptions,
    durability_of,
    file_of,
    settings_of,
    used_bytes,
)
from harness.stores.umadb.namespace import Head, Heads, Namespace
from harness.stores.umadb.protocol import Fields
from harness.stores.umadb.subscription import follow
from harness.stores.umadb.tags import Tags, numbered, tagged

_AT_THE_HEAD = (StreamState.ANY, StreamState.EXISTS)


class _Sending:
    """Whether an append is with the server."""

    under_way = False


class _Store(WithBoundaries, ABC):
    """What both designs share: all but what an event's version and a condition look like."""

    def __init__(self, client: Client, endpoint: Endpoint, options: UmaOptions) -> None:
        super().__init__(client, Namespace(client, endpoint.namespace), options)
        self._endpoint = endpoint
        self._heads = Heads({})
        self._limit = TimeLimit(options.deadline_s)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @classmethod
    def declares(cls, options: UmaOptions) -> Guarantees:
        """A retry is recognised by the server under what the append expected itself, and under
        ANY and EXISTS by the client while it is the stream's newest append."""
        del options
        return Guarantees(
            occ="native",
            atomic_append=True,
            global_order="total",
            gap_free_read=True,
            idempotency="window",
            stream_read="indexed",
            subscription="push",
            append_only="enforced",
            boundaries="native",
            durability=Durability.POWER_LOSS,
            writers="many",
            event_limit_bytes=EVENT_LIMIT_BYTES,
            facts=FACTS,
        )

    @staticmethod
    def durability_of(settings: Mapping[str, str]) -> Durability:
        return durability_of(settings)

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: UmaOptions) -> Self:
        """Raises `StoreUnavailable` if no server answers, `NoServer` if it refuses the API key."""
        client = Client(endpoint, options.deadline_s)
        try:
            with CONNECTING:
                await client.head()
        except BaseException:
            await client.aclose()
            raise
        return cls(client, endpoint, options)

    async def setup(self) -> None:
        """Append the event that begins the namespace's life."""
        with SETTING_UP:
            async with asyncio.timeout(self._options.deadline_s):
                await self._namespace.make()
        self._heads.seen.clear()

    async def teardown(self) -> None:
        """Append the event that ends it. UmaDB removes nothing: its events stay in the log."""
        with READING:
            async with asyncio.timeout(self._options.deadline_s):
                await self._namespace.remove()
        self._heads.seen.clear()

    async def namespaces(self) -> Sequence[str]:
        """Those of labs that have not ended."""
        with READING:
            return await self._namespace.names()

    async def settings(self) -> Mapping[str, str]:
        """What the server's program and command line tell: it reports nothing itself."""
        return settings_of(self._endpoint)

    async def aclose(self) -> None:
        self._limit.close()
        await self._client.aclose()

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """`Tamper`: an append that repeats the event's id, with other data."""
        return await _overwritten(self._client, await self._of(stream, version), data)

    async def delete(self, stream: str, version: int) -> bool:
        """`Tamper`: calls that would remove it, if the server had them."""
        await self._of(stream, version)
        return await _removable(self._client)

    async def _of(self, stream: str, version: int) -> Any:
        """The event as the server has it."""
        tags = await self._namespace.require()
        of_stream = query([tags.of_stream(stream)])
        position = await self._position_of(tags, stream, version)
        if position is None:
            raise TamperingPrevented(f"stream {stream!r} has no version {version}")
        return await self._client.read_one(query=of_stream, start=position)

    def costs(self) -> Counts:
        """Round trips, and tries under ANY and EXISTS that another append came before."""
        return self._client.costs

    async def settle(self) -> None:
        """Return at once: no work is put off."""
        return

    async def counts(self) -> Counts:
        """Bytes of the file's pages in use, where the server is a process of the lab's own."""
        file = file_of(self._endpoint)
        used = used_bytes(file) if file else None
        return {} if used is None else {DATA_BYTES: used}

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """One call; all of the events or none. No append of nothing is ever sent: with a condition
        that does not hold it ends the server (0.7.8)."""
        require_stream(stream)
        require_events(events)
        if len(events) > 1 and len({event.id.int for event in events}) < len(events):
            raise EventIdReused("the same event id twice in one append")
        if not _is_text(stream):
            raise AppendRefused("a stream's name must be valid Unicode")
        sending = _Sending()
        task = self._limit.begin()
        try:
            tags = await self._namespace.require()
            way = self._append_at_head if expected in _AT_THE_HEAD else self._append_at
            result = await way(tags, stream, events, expected, sending)
        except BaseException as raised:
            error = self._limit.failed(task, raised)
            if isinstance(error, TimeoutError):
                if sending.under_way:
                    raise OutcomeUnknown("UmaDB did not answer before the deadline") from None
                raise NotSent("the deadline passed before the append was sent") from None
            if meant := LOOKING.error(error):
                raise meant from error
            raise error from raised.__cause__
        self._limit.end(task)
        return result

    async def _append_at(
        self,
        tags: Tags,
        stream: str,
        events: Sequence[NewEvent],
        expected: ExpectedVersion,
        sending: _Sending,
    ) -> AppendResult:
        """At one version: a retry has the same condition, by which the server recognises it."""
        before = expected if isinstance(expected, int) else None
        if before is not None:
            head = self._heads.get(stream)
            if head is None or head.version < before:
                head = await self._look(tags, stream)
            if head is None or not 0 <= before <= head.version:
                raise WrongExpectedVersion(stream, expected, head.version if head else None)
            condition = await self._unless_passed(tags, stream, before, head, len(events))
        else:
            condition = none_after(None, [tags.of_stream(stream)])
        first = 0 if before is None else before + 1
        try:
            return await self._send(tags, stream, events, first, condition, sending)
        except Conflict:
            head = await self._look(tags, stream)
            actual = head.version if head else None
            raise WrongExpectedVersion(stream, expected, actual) from None

    async def _append_at_head(
        self,
        tags: Tags,
        stream: str,
        events: Sequence[NewEvent],
        expected: ExpectedVersion,
        sending: _Sending,
    ) -> AppendResult:
        """After the head, wherever that is; again where another append came before.

        Appends of one connection to one stream take turns: all but one would have to try again.
        """
        async with self._turns.setdefault(stream, asyncio.Lock()):
            head = self._heads.get(stream) or await self._look(tags, stream)
            if head and any(event.id.int == head.id for event in events):
                known = await self._newest(tags, stream, limit=len(events), until=head)
                if repeated := _original(stream, events, known):
                    return repeated
            while True:
                if head is None and expected is StreamState.EXISTS:
                    raise WrongExpectedVersion(stream, expected, None)
                condition = none_after(head.position if head else None, [tags.of_stream(stream)])
                first = head.version + 1 if head else 0
                try:
                    return await self._send(tags, stream, events, first, condition, sending)
                except Conflict:
                    self._client.costs[CONFLICT_RETRIES] += 1
                newer = await self._newest(tags, stream, after=head)
                if repeated := _original(stream, events, newer):
                    return repeated
                head = self._noted(stream, newer[0]) if newer else head

    async def _send(
        self,
        tags: Tags,
        stream: str,
        events: Sequence[NewEvent],
        first: int,
        condition: Fields,
        sending: _Sending,
    ) -> AppendResult:
        """Raises `Conflict`, or what became of the append."""
        with appending(len(events)):
            messages = self._messages(tags, stream, events, first)
            sending.under_way = True
            try:
                position = await self._client.append(messages, condition)
            except Conflict:
                sending.under_way = False
                raise
        version = first + len(events) - 1
        self._heads.note(stream, Head(version, position, events[-1].id.int))
        return AppendResult(version, Position((position,)))

    async def _look(self, tags: Tags, stream: str) -> Head | None:
        """The stream's head; `None` for no stream. Before an append, or after its refusal."""
        of_stream = query([tags.of_stream(stream)])
        newest = await self._client.read_one(query=of_stream, backwards=True)
        event = tags.recorded(newest) if newest else None
        return self._noted(stream, event) if event else None

    async def _newest(
        self,
        tags: Tags,
        stream: str,
        *,
        limit: int | None = None,
        after: Head | None = None,
        until: Head | None = None,
    ) -> list[RecordedEvent]:
        """The stream's newest events, newest first: `limit` of them, or those between two heads."""
        found: list[RecordedEvent] = []
        how = {
            "query": query([tags.of_stream(stream)]),
            "backwards": True,
            "limit": limit,
            "start": until.position if until else None,
        }
        async with aclosing(self._client.read(**how)) as newest:
            async for sequenced in newest:
                if after and sequenced.position <= after.position:
                    break
                if event := tags.recorded(sequenced):
                    found.append(event)
        return found

    def _noted(self, stream: str, event: RecordedEvent) -> Head:
        return self._heads.note(stream, Head(event.version, event.position[0], event.id.int))

    async def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """By the index of tags; backwards reads end at `start`."""
        with READING:
            tags = await self._namespace.tags()
            if tags is None or stream == TAGGED or not _is_text(stream):
                raise StreamNotFound(stream)
            if limit == 0:
                return
            empty = True
            events = self._from(tags, stream, start, limit, backwards=backwards)
            async with aclosing(events) as found:
                async for event in found:
                    if event.version < start:
                        break
                    empty = False
                    yield event
            if empty and not await self._look(tags, stream):
                raise StreamNotFound(stream)

    async def _from(
        self, tags: Tags, stream: str, start: int, limit: int | None, *, backwards: bool
    ) -> AsyncGenerator[RecordedEvent]:
        """At most `limit` of the stream's events, from version `start` on or from the newest."""
        how = {"query": query([tags.of_stream(stream)]), "backwards": backwards, "limit": limit}
        if start and not backwards:
            first = await self._position_of(tags, stream, start)
            if first is None:
                return
            how["start"] = first
        async with aclosing(self._client.read(**how)) as found:
            async for sequenced in found:
                if event := tags.recorded(sequenced):
                    yield event

    async def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """The log from the namespace's beginning; the client leaves out what is not its own."""
        with READING:
            tags = await self._namespace.tags()
            if tags is None or limit == 0 or after == Position.NOW:
                return
            start = (after[0] if after else tags.generation) + 1
            left = limit
            while True:
                asked, read = left, 0
                async with aclosing(self._client.read(start=start, limit=left)) as found:
                    async for sequenced in found:
                        read += 1
                        start = sequenced.position + 1
                        if event := tags.recorded(sequenced):
                            left = None if left is None else left - 1
                            yield event
                if not left or not asked or read < asked:
                    return

    async def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Pushed by the server; goes on after the last event when a connection breaks."""
        followed = follow(
            self._client,
            self._namespace,
            after=after,
            category=category,
            patience_s=self._options.deadline_s,
        )
        async with aclosing(followed) as events:
            async for event in events:
                yield event

    @abstractmethod
    def _messages(
        self, tags: Tags, stream: str, events: Sequence[NewEvent], first: int
    ) -> list[Fields]:
        """The events as they are sent, from version `first` on."""

    @abstractmethod
    async def _unless_passed(
        self, tags: Tags, stream: str, version: int, head: Head, size: int
    ) -> Fields:
        """The condition that `version` is the last one; `head` is no lower."""

    @abstractmethod
    async def _position_of(self, tags: Tags, stream: str, version: int) -> int | None:
        """The position of the event with this version; `None` where there is none."""


class ByVersion(_Store):
    """An event has the version that it takes as a tag; an append expects that no event has it."""

    def _messages(
        self, tags: Tags, stream: str, events: Sequence[NewEvent], first: int
    ) -> list[Fields]:
        return tagged(tags, stream, events, first)

    async def _unless_passed(
        self, tags: Tags, stream: str, version: int, head: Head, size: int
    ) -> Fields:
        """Names every version that the append takes: the server compares a retry's events with
        those that match."""
        del head
        taken = range(version + 1, version + 1 + size)
        return none_after(None, *([tags.of_version(stream, each)] for each in taken))

    async def _position_of(self, tags: Tags, stream: str, version: int) -> int | None:
        of_version = query([tags.of_version(stream, version)])
        found = await self._client.read_one(query=of_version)
        return found.position if found else None


class ByPosition(_Store):
    """An append expects no event of its stream after the position of the version expected."""

    def _messages(
        self, tags: Tags, stream: str, events: Sequence[NewEvent], first: int
    ) -> list[Fields]:
        return numbered(tags, stream, events, first)

    async def _unless_passed(
        self, tags: Tags, stream: str, version: int, head: Head, size: int
    ) -> Fields:
        """Reads back to the version where the stream has gone on: for a retry, or a conflict."""
        del size
        position = head.position
        if head.version > version:
            how = {"query": query([tags.of_stream(stream)]), "backwards": True}
            async with aclosing(self._client.read(**how)) as newest:
                async for sequenced in newest:
                    event = tags.recorded(sequenced)
                    if event and event.version == version:
                        position = sequenced.position
                        break
        return none_after(position, [tags.of_stream(stream)])

    async def _position_of(self, tags: Tags, stream: str, version: int) -> int | None:
        """Reads the stream from its beginning on: versions are in no index."""
        how = {"query": query([tags.of_stream(stream)]), "limit": version + 1}
        found = [each.position async for each in self._client.read(**how)]
        return found[version] if len(found) > version else None


def _is_text(stream: str) -> bool:
    """Whether a name can be a tag at all."""
    try:
        stream.encode()
    except UnicodeEncodeError:
        return False
    return True


def _original(
    stream: str, events: Sequence[NewEvent], newest: Sequence[RecordedEvent]
) -> AppendResult | None:
    """The result of the append that `events` repeat, if it is among the stream's newest.

    Raises `EventIdReused` where they repeat a part of it, or have other content.
    """
    known = {event.id: event for event in newest}
    repeated = original(stream, events, [known.get(event.id) for event in events])
    return AppendResult(repeated.version, repeated.position) if repeated else None


_REMOVALS = ("Delete", "Truncate")


async def _overwritten(client: Client, sequenced: Any, data: bytes) -> bool:
    """Append an event with the same id and tags under the condition that it recognises retries by.

    Without a condition it would be another event, with other data at another position.
    """
    event = sequenced.event
    tags = list(event.tags)
    other = {"event_type": event.event_type, "tags": tags, "data": data, "uuid": event.uuid}
    condition = none_after(sequenced.position - 1, tags)
    try:
        await client.append([other], condition)
    except Conflict:
        raise TamperingPrevented("the server did not take it for the same event") from None
    found = await client.read_one(query=query(tags), start=sequenced.position)
    return not found or found.event != event


async def _removable(client: Client) -> bool:
    """Whether the server knows any call that would remove an event or a part of the log."""
    return any([await client.known(name) for name in _REMOVALS])

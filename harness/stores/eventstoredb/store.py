"""The variants: reading, subscribing and settings are common, and each appends in its own way."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self
from uuid import UUID, uuid4

from harness.domain.boundaries import TAGGED
from harness.domain.durability import Durability
from harness.domain.errors import (
    AppendRefused,
    EmptyAppend,
    EventIdReused,
    NotWritten,
    OutcomeUnknown,
    ReadFailed,
    StoreUnavailable,
    StreamNotFound,
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
from harness.stores._shared.append_rules import no_stream, require_stream
from harness.stores.eventstoredb.batch_append import BYTES, Batcher, proposed_message, version_of
from harness.stores.eventstoredb.boundary import OverStreams
from harness.stores.eventstoredb.client import (
    BUILDING,
    LOOKING,
    LOOKING_BACK,
    READING,
    SETTING_UP,
    appending,
    library,
)
from harness.stores.eventstoredb.declaration import (
    EVENT_LIMIT_BYTES,
    FACTS,
    MULTI_FACT,
    MULTI_NOTE,
    EventStoreDBOptions,
    durability_of,
    limited,
    read_back,
)
from harness.stores.eventstoredb.session import LIMIT_MAX, Session, each, is_unicode
from harness.stores.eventstoredb.several_streams import (
    NO_STREAM,
    Conflict,
    metadata_of,
    record,
    state_of,
    strings_of,
    type_of,
)
from harness.stores.eventstoredb.subscription import follow, links

_REVISIONS = range(1 << 63)
"""Versions that the protocol can expect; no stream's head is any other number."""
_EVERYTHING = r"[\s\S]*"
_ID_BYTES = 16
_PAGE_MAX = 512
_LINK = "$>"
"""The type of an event that only points to another one."""


class _Store(ABC):
    """Streams under a prefix; the server's own log is the global order."""

    idempotency: ClassVar[Any] = "window"

    def __init__(self, session: Session) -> None:
        self._session = session

    @classmethod
    def declares(cls, options: EventStoreDBOptions) -> Guarantees:
        """Idempotent by event id with an exact version; under ANY within the server's cache."""
        del options
        return Guarantees(
            occ="native",
            atomic_append=True,
            global_order="total",
            gap_free_read=True,
            idempotency=cls.idempotency,
            refuses_known_ids=False,
            stream_read="indexed",
            subscription="push",
            append_only="by-convention",
            durability=Durability.POWER_LOSS,
            writers="many",
            event_limit_bytes=EVENT_LIMIT_BYTES,
            facts=FACTS,
        )

    @staticmethod
    def durability_of(settings: Mapping[str, str]) -> Durability:
        return durability_of(settings)

    @staticmethod
    def limited(declared: Guarantees, settings: Mapping[str, str]) -> Guarantees:
        """With the size limit that the server reports."""
        return limited(declared, settings)

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: EventStoreDBOptions) -> Self:
        """Raises `StoreUnavailable` if no server answers."""
        return cls(await Session.open(endpoint, options))

    async def setup(self) -> None:
        """Take a fresh prefix."""
        with SETTING_UP:
            await self._session.make()

    async def teardown(self) -> None:
        """Delete the namespace's streams; the server frees their space when it scavenges."""
        with READING:
            await self._session.remove()

    async def namespaces(self) -> Sequence[str]:
        """Prefixes of labs that are not deleted."""
        with READING:
            return await self._session.namespaces()

    async def settings(self) -> Mapping[str, str]:
        """The version and the options that decide durability, from the server's HTTP interface."""
        return await read_back(self._session.endpoint)

    async def aclose(self) -> None:
        await self._session.close()

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """One call; all of the events or none."""
        if not events:
            raise EmptyAppend("an append needs at least one event")
        if len({one.id for one in events}) < len(events):
            raise EventIdReused("the same event id twice in one append")
        if not all(is_unicode(one.type) for one in events):
            raise AppendRefused("an event's type must be valid Unicode")
        if self._session.closed:
            raise StoreUnavailable("nothing was sent: the store was closed")
        with LOOKING:
            name = await self._session.name(stream)
            if isinstance(expected, int) and expected not in _REVISIONS:
                raise WrongExpectedVersion(stream, expected, await self._head(name))
        with BUILDING:
            proposed = self._proposed(events)
        with appending(stream, expected, len(events)):
            version = await self._written(name, proposed, expected)
        return AppendResult(version, None)

    @abstractmethod
    async def _written(self, name: str, proposed: Sequence[Any], expected: ExpectedVersion) -> int:
        """Returns the version of the last event. Raises the client's own errors."""

    def _proposed(self, events: Sequence[NewEvent]) -> list[Any]:
        new = library().new_event
        return [
            new(type=one.type, data=one.data, metadata=one.metadata, content_type=BYTES, id=one.id)
            for one in events
        ]

    async def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """By the server's index; backwards reads end at `start`."""
        how: dict[str, Any] = {"backwards": backwards}
        if limit is not None:
            how["limit"] = min(limit, LIMIT_MAX)
        if not backwards and start > 0:
            how["stream_position"] = start
        with READING:
            prefix = await self._session.prefix()
            if prefix is None or not is_unicode(stream):
                raise StreamNotFound(stream)
            empty = True
            if limit != 0 and start in _REVISIONS:
                async for event in self._session.stream(prefix + stream, **how):
                    empty = False
                    if event.stream_position >= start:
                        yield self._recorded(event, len(prefix))
            if empty and await self._head(prefix + stream) is None:
                raise StreamNotFound(stream)

    async def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """By the server's log, filtered there; reads begin with the event at a position."""
        with READING:
            prefix = await self._session.prefix()
            if prefix is None or limit == 0 or after == Position.NOW:
                return
            how = {"commit_position": after[0]} if after else self._session.beginning()
            if limit is not None:
                how["limit"] = min(limit + (1 if after else 0), LIMIT_MAX)
            yielded = 0
            async for event in self._session.all(re.escape(prefix) + _EVERYTHING, **how):
                if after and event.commit_position <= after[0]:
                    continue
                if limit is not None and yielded == limit:
                    return
                yielded += 1
                yield self._recorded(event, len(prefix))

    async def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Pushed by the server; resumes after the last event when a connection breaks."""
        async for event in follow(self._session, after, category):
            with READING:
                prefix = await self._session.prefix()
            yield self._recorded(event, len(prefix or ""))

    def _recorded(self, event: Any, prefix_length: int) -> RecordedEvent:
        return RecordedEvent(
            id=UUID(str(event.id)),
            stream=event.stream_name[prefix_length:],
            version=event.stream_position,
            position=Position((event.commit_position,)),
            type=event.type,
            data=event.data,
            metadata=event.metadata,
            recorded_at=event.recorded_at,
        )

    async def _head(self, name: str) -> int | None:
        newest = await self._session.newest(name)
        return newest.stream_position if newest else None


class Plain(_Store):
    """The client's own append: it opens and ends a BatchAppend call every time."""

    async def _written(self, name: str, proposed: Sequence[Any], expected: ExpectedVersion) -> int:
        append = library().once("append_to_stream")
        async with self._session.turn():
            await append(
                self._session.client,
                name,
                current_version=_expectation(expected),
                events=proposed,
                timeout=self._session.options.deadline_s,
            )
            if isinstance(expected, int):
                # The server took it for the stream's last version, or for a retry of what follows.
                return expected + len(proposed)
            return await self._version_of(name, proposed[-1].id)

    async def _version_of(self, name: str, event_id: UUID) -> int:
        """Read the stream's last event for the version: the client returns a place in the log.

        A stream that was deleted goes on at its old version under NO_STREAM, too. Another append
        may have come in between, or the event is one of long ago: then more are read. If a read
        fails, the append was sent nonetheless.
        """
        count, how = 1, dict[str, Any]()
        with LOOKING_BACK:
            while True:
                read = self._session.stream(name, backwards=True, limit=count, **how)
                events = [event async for event in read]
                for event in events:
                    if event.id == event_id:
                        return int(event.stream_position)
                if not events or events[-1].stream_position == 0:
                    raise OutcomeUnknown("acknowledged, and not in the stream")
                how = {"stream_position": events[-1].stream_position - 1}
                count = min(count * 8, _PAGE_MAX)


class Template(Plain):
    """As in tutorials: each write generates new ids, so that a retry is written again.

    The events' own ids travel in front of the metadata, so that the lab recognises them.
    The tutorials' subscription cannot run at all: it is an `async for` over the blocking client's
    iterator, a TypeError at the first step. The smallest repair is the asyncio client, used here.
    A category is the stream `$ce-…` of the server's projection, read without `resolve_links`:
    its events are links, whose data is no JSON. This is not repaired.
    """

    idempotency: ClassVar[Any] = "none"

    @classmethod
    def declares(cls, options: EventStoreDBOptions) -> Guarantees:
        """A retry is a new event, and a category cannot be read."""
        return replace(
            super().declares(options),
            categories=False,
            note="the tutorials' subscription cannot run: `async for` over a blocking iterator;"
            " repaired by the asyncio client. A category is read as links, which do not decode",
        )

    async def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """All events; of a category its links, of which the first raises `ReadFailed`."""
        if category is None:
            async for event in super().subscribe(after=after):
                yield event
            return
        with READING:
            prefix = await self._session.prefix()
            response = await links(self._session, f"$ce-{prefix}{category}", resolve=False)
            async for link in each(response):
                yield self._recorded(link, 0)

    def _proposed(self, events: Sequence[NewEvent]) -> list[Any]:
        marked = [replace(one, id=uuid4(), metadata=one.id.bytes + one.metadata) for one in events]
        return super()._proposed(marked)

    def _recorded(self, event: Any, prefix_length: int) -> RecordedEvent:
        if event.type == _LINK:
            _decode(event)
        recorded = super()._recorded(event, prefix_length)
        own = UUID(bytes=recorded.metadata[:_ID_BYTES])
        return replace(recorded, id=own, metadata=recorded.metadata[_ID_BYTES:])


def _decode(event: Any) -> None:
    """As tutorials decode every event. The data of a link is `version@stream`."""
    try:
        json.loads(event.data)
    except ValueError as error:
        link = event.data.decode()
        raise ReadFailed(f"the link {link!r} in {event.stream_name!r}: {error}") from error


class Streamed(_Store):
    """Appends share one long-lived call: one round trip each, which returns the version."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._batcher = Batcher(session.client, session.options.deadline_s)

    async def aclose(self) -> None:
        """End the call, then close the channel."""
        self._session.closed = True
        try:
            await self._batcher.aclose()
        finally:
            await super().aclose()

    async def _written(self, name: str, proposed: Sequence[Any], expected: ExpectedVersion) -> int:
        response = await self._batcher.append(name, proposed, expected)
        return version_of(response, self._session.client._connection.streams, name, expected)

    def _proposed(self, events: Sequence[NewEvent]) -> list[Any]:
        return [proposed_message(one) for one in events]


class Multi(OverStreams, _Store):
    """KurrentDB's AppendRecords: an append is atomic over several streams, and so are boundaries.

    The server's refusal has the state that it met, and so the actual version.
    """

    def __init__(self, session: Session) -> None:
        _Store.__init__(self, session)
        OverStreams.__init__(self, session)

    @classmethod
    def declares(cls, options: EventStoreDBOptions) -> Guarantees:
        """Boundaries are streams and their versions; what the client finds unharmed it resends."""
        declared = super().declares(options)
        facts = replace(declared.facts, multi_stream_appends=MULTI_FACT)
        return replace(declared, boundaries="emulated", note=MULTI_NOTE, facts=facts)

    async def setup(self) -> None:
        """Raises `UnsupportedByStore` on a server without the call."""
        with SETTING_UP:
            await self._appender.require()
        await super().setup()

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """One call of its own; all of the events or none."""
        require_stream(stream)
        try:
            return await super().append(stream, events, expected=expected)
        except Conflict as conflict:
            raise _refusal(conflict, stream, expected) from None

    def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """Tagged events are in no stream of the lab's."""
        if stream == TAGGED:
            return no_stream(stream)
        return super().read_stream(stream, start=start, limit=limit, backwards=backwards)

    def _proposed(self, events: Sequence[NewEvent]) -> list[Any]:
        return [record(each) for each in events]

    async def _written(self, name: str, proposed: Sequence[Any], expected: ExpectedVersion) -> int:
        for one in proposed:
            one.stream = name
        state = state_of(expected)
        written = await self._appender.append(proposed, {} if state is None else {name: state})
        return written.versions[name]

    def _recorded(self, event: Any, prefix_length: int) -> RecordedEvent:
        recorded = super()._recorded(event, prefix_length)
        tagged = recorded.stream == TAGGED
        return replace(
            recorded,
            version=recorded.position[0] if tagged else recorded.version,  # as in a query
            type=type_of(recorded.type),
            metadata=metadata_of(strings_of(recorded.metadata)),
        )


def _refusal(conflict: Conflict, stream: str, expected: ExpectedVersion) -> NotWritten:
    """An append to one stream has one check at most."""
    if expected is StreamState.ANY:
        return EventIdReused("a part of the event ids is known")
    head = max(conflict.states.values(), default=NO_STREAM)
    return WrongExpectedVersion(stream, expected, head if head >= 0 else None)


def _expectation(expected: ExpectedVersion) -> Any:
    """The expected version in the client's types."""
    if isinstance(expected, int):
        return expected
    return getattr(library().stream_state, expected.name)

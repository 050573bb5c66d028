"""What every variant has: a namespace, reading, following, settings. How it appends is its own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar, Self
from uuid import UUID

from harness.errors import (
    EmptyAppend,
    EventIdReused,
    StoreError,
    StoreUnavailable,
    StreamNotFound,
    WrongExpectedVersion,
)
from harness.store import (
    AppendResult,
    Durability,
    Endpoint,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    Position,
    RecordedEvent,
    StreamState,
)
from harness.stores.eventstoredb.answers import append_error, read_error, told
from harness.stores.eventstoredb.durability import durability_of, read_back
from harness.stores.eventstoredb.facts import EVENT_LIMIT_BYTES, FACTS
from harness.stores.eventstoredb.following import follow
from harness.stores.eventstoredb.library import library
from harness.stores.eventstoredb.options import EventStoreDBOptions
from harness.stores.eventstoredb.session import Session

_BYTES = "application/octet-stream"
_REVISIONS = range(1 << 63)
"""What the protocol can expect of a stream; any other number is no stream's head."""
_EVERYTHING = r"[\s\S]*"


class EventStoreDBBase:
    """Streams behind a prefix; the server's own log is the global order."""

    idempotency: ClassVar[Any] = "window"
    durability_of = staticmethod(durability_of)

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
            stream_read="indexed",
            subscription="push",
            append_only="by-convention",
            durability=Durability.POWER_LOSS,
            writers="many",
            event_limit_bytes=EVENT_LIMIT_BYTES,
            facts=FACTS,
        )

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: EventStoreDBOptions) -> Self:
        """Raises `StoreUnavailable` if nobody answers."""
        return cls(await Session.open(endpoint, options))

    async def setup(self) -> None:
        """Take a fresh prefix."""
        try:
            await self._session.make()
        except library().any_error as error:
            raise StoreUnavailable(f"setup: {error}") from error

    async def teardown(self) -> None:
        """Delete the namespace's streams; the server frees their room when it scavenges."""
        await self._reading(self._session.remove())

    async def settings(self) -> Mapping[str, str]:
        """Version and what decides over durability, from the server's HTTP interface."""
        return await read_back(self._session.endpoint)

    async def aclose(self) -> None:
        """Close the channel."""
        await self._session.close()

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """One call; all of the events or none of them."""
        if not events:
            raise EmptyAppend("an append needs at least one event")
        if len({one.id for one in events}) < len(events):
            raise EventIdReused("the same event id twice in one append")
        try:
            name = await self._session.name(stream)
            if isinstance(expected, int) and expected not in _REVISIONS:
                raise WrongExpectedVersion(stream, expected, await self._head(name))
        except library().any_error as error:
            raise StoreUnavailable(f"nothing was sent: {told(error)}") from error
        try:
            version = await self._written(name, self._proposed(events), expected)
        except (library().any_error, OSError, TimeoutError) as error:
            raise append_error(
                error, stream=stream, expected=expected, events=len(events)
            ) from error
        return AppendResult(version, None)

    async def _written(self, name: str, proposed: Sequence[Any], expected: ExpectedVersion) -> int:
        """The version of the last event. Raises what the client raises."""
        raise NotImplementedError

    def _proposed(self, events: Sequence[NewEvent]) -> list[Any]:
        new = library().new_event
        return [
            new(type=one.type, data=one.data, metadata=one.metadata, content_type=_BYTES, id=one.id)
            for one in events
        ]

    async def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """By the server's index; backwards reads end at `start`."""
        how: dict[str, Any] = {"backwards": backwards}
        if limit is not None:
            how["limit"] = limit
        if not backwards and start:
            how["stream_position"] = start
        prefix = await self._reading(self._session.prefix())
        if prefix is None:
            raise StreamNotFound(stream)
        empty = True
        try:
            async for event in self._session.stream(prefix + stream, **how):
                empty = False
                if event.stream_position >= start:
                    yield self._recorded(event, len(prefix))
        except library().any_error as error:
            raise read_error(error) from error
        if empty and limit != 0 and not await self._exists(prefix + stream):
            raise StreamNotFound(stream)

    async def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """By the server's log, filtered there; reads begin with the event at a position."""
        prefix = await self._reading(self._session.prefix())
        if prefix is None or limit == 0 or after == Position.NOW:
            return
        how: dict[str, Any] = {"commit_position": after[0]} if after else {}
        if limit is not None:
            how["limit"] = limit + (1 if after else 0)
        given = 0
        try:
            async for event in self._session.all(re.escape(prefix) + _EVERYTHING, **how):
                if after and event.commit_position <= after[0]:
                    continue
                if limit is not None and given == limit:
                    return
                given += 1
                yield self._recorded(event, len(prefix))
        except library().any_error as error:
            raise read_error(error) from error

    async def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Pushed by the server; goes on behind the last event when a connection has broken."""
        async for event in follow(self._session, after, category):
            prefix = await self._reading(self._session.prefix())
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
        newest = [each async for each in self._session.stream(name, backwards=True, limit=1)]
        return newest[0].stream_position if newest else None

    async def _exists(self, name: str) -> bool:
        return await self._head(name) is not None

    async def _reading(self, work: Any) -> Any:
        try:
            return await work
        except StoreError:
            raise
        except library().any_error as error:
            raise read_error(error) from error


def head_after(expected: ExpectedVersion, events: int) -> int | None:
    """The version of an append's last event, where what was expected tells it."""
    if isinstance(expected, int):
        return expected + events
    return events - 1 if expected is StreamState.NO_STREAM else None

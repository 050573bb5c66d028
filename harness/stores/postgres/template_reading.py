"""The template's reads: by position, whatever is committed by now, once a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from uuid import uuid4

from harness.errors import ReadFailed, StoreError, StreamNotFound
from harness.store import Position, RecordedEvent, Snapshot
from harness.stores.in_process import category_of
from harness.stores.postgres.order import NO_END
from harness.stores.postgres.rows import bytes_of
from harness.stores.postgres.store import PostgresStore
from harness.stores.postgres.tampering import changed
from harness.stores.scripts import named

if TYPE_CHECKING:
    from asyncpg import Record

QUERY = named("postgres_template_queries")
POLL_S = 1.0
PAGE_EVENTS = 1000


class TemplateReading(PostgresStore):
    """Everything of the template but its append."""

    scripts = ("postgres_template_schema",)

    async def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """The whole stream in one answer."""
        query = QUERY["stream_backwards" if backwards else "stream_forwards"]
        found = await self._session.read(query, stream, start, NO_END if limit is None else limit)
        if not found and not await self._exists(stream):
            raise StreamNotFound(stream)
        for row in found:
            yield _recorded(row)

    async def _exists(self, stream: str) -> bool:
        head = await self._session.read(QUERY["head"], stream)
        return head[0][0] is not None

    async def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """In pages by position up to the newest; what commits later in between is skipped."""
        head = await self._head()
        place = head if after == Position.NOW else (after or (0,))[0]
        left = NO_END if limit is None else limit
        while left > 0 and place < head:
            found = await self._session.read(QUERY["log"], place, min(PAGE_EVENTS, left))
            for row in found:
                yield _recorded(row)
            if not found:
                return
            left -= len(found)
            place = found[-1]["global_position"]

    async def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Polls every second and saves a checkpoint after each batch."""
        subscription = f"subscription-{uuid4()}"
        place = await self._head() if after == Position.NOW else (after or (0,))[0]
        while True:
            found = await self._session.read(QUERY["log"], place, PAGE_EVENTS)
            for row in found:
                event = _recorded(row)
                if category in (None, category_of(event.stream)):
                    yield event
            if found:
                place = found[-1]["global_position"]
                await self._checkpoint(subscription, place)
            else:
                await asyncio.sleep(POLL_S)

    async def _checkpoint(self, subscription: str, place: int) -> None:
        """To a subscriber this write is a part of reading on."""
        try:
            await self.save_checkpoint(subscription, Position((place,)))
        except StoreError as error:
            raise ReadFailed(f"no checkpoint: {error}") from error

    async def _head(self) -> int:
        found = await self._session.read(QUERY["head_position"])
        head: int = found[0][0]
        return head

    async def load_checkpoint(self, subscriber: str) -> Position | None:
        """The subscriber's last saved position, if any."""
        found = await self._session.read(QUERY["load_checkpoint"], subscriber)
        return Position(found[0]) if found else None

    async def save_checkpoint(self, subscriber: str, position: Position) -> None:
        """Remember that everything up to `position` was handled."""
        await self._session.write(QUERY["save_checkpoint"], subscriber, position[0])

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """The newest snapshot of a stream, if any."""
        found = await self._session.read(QUERY["load_snapshot"], stream)
        return Snapshot(stream, found[0]["version"], found[0]["state"].encode()) if found else None

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep it unless a newer one is there."""
        state = snapshot.data.decode()
        await self._session.write(QUERY["save_snapshot"], snapshot.stream, snapshot.version, state)

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """UPDATE, which nothing forbids."""
        query = QUERY["tamper_update"]
        return await changed(self._session, query, stream, version, data.decode())

    async def delete(self, stream: str, version: int) -> bool:
        """DELETE, which nothing forbids."""
        return await changed(self._session, QUERY["tamper_delete"], stream, version)


def _recorded(row: Record) -> RecordedEvent:
    id_, stream, version, position, type_, data, metadata, created_at = row
    return RecordedEvent(
        id_,
        stream,
        version,
        Position((position,)),
        type_,
        bytes_of(data),
        bytes_of(metadata),
        created_at,
    )

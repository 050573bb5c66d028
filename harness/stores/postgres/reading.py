"""Reading streams, reading the log, and following it."""

from __future__ import annotations

import asyncio
from asyncio import timeout
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from harness.errors import ReadTimeout, StreamNotFound
from harness.store import Position, RecordedEvent
from harness.stores.in_process import category_of
from harness.stores.postgres.hints import hints
from harness.stores.postgres.order import NO_END, QUERY, Order
from harness.stores.postgres.rows import bytes_of
from harness.stores.postgres.session import Session

if TYPE_CHECKING:
    from asyncpg import Record

PAGE_EVENTS = 500
POLL_MIN_S = 0.001
POLL_MAX_S = 0.05
"""An idle subscription looks ever less often, down to this."""


class Reading:
    """The reading half of an `EventStore`."""

    def __init__(self, session: Session, order: Order) -> None:
        self._session, self._order = session, order

    async def stream(
        self, stream: str, start: int, limit: int | None, *, backwards: bool
    ) -> AsyncIterator[RecordedEvent]:
        """The stream as it is at the first step, in pages."""
        versions = await self._versions(stream, start, limit, backwards=backwards)
        query = QUERY["stream_backwards" if backwards else "stream_forwards"]
        for first in range(0, len(versions), PAGE_EVENTS):
            page = versions[first : first + PAGE_EVENTS]
            ends = sorted((page[0], page[-1]))
            for row in await self._session.read(query, stream, *ends):
                yield self._recorded(row)

    async def _versions(
        self, stream: str, start: int, limit: int | None, *, backwards: bool
    ) -> range:
        head = await self._session.read(QUERY["stream_head"], stream)
        if not head:
            raise StreamNotFound(stream)
        versions = range(start, head[0]["version"] + 1)
        return (versions[::-1] if backwards else versions)[:limit]

    async def log(self, after: Position | None, limit: int | None) -> AsyncIterator[RecordedEvent]:
        """Everything that was committed at the first step, however long it is held back."""
        if after == Position.NOW:
            return
        end = await self._order.head(self._session.read)
        left = NO_END if limit is None else limit
        while left > 0:
            size = min(PAGE_EVENTS, left)
            rows = await self._order.page(self._session.read, after, end, size)
            for row in rows:
                event = self._recorded(row)
                after = event.position
                yield event
            left -= len(rows)
            if len(rows) < size and not await self._more_to_come(end):
                return

    async def _more_to_come(self, end: int) -> bool:
        """Whether something before the end was held back; if so, wait until it no longer is."""
        idle_s, more = POLL_MIN_S, False
        try:
            async with timeout(self._session.options.deadline_s):
                while await self._order.held_back(self._session.read, end):
                    more = True
                    await asyncio.sleep(idle_s)
                    idle_s = min(2 * idle_s, POLL_MAX_S)
        except TimeoutError:
            raise ReadTimeout("an older transaction, open in the cluster, holds the log") from None
        return more

    async def follow(
        self, after: Position | None, category: str | None
    ) -> AsyncIterator[RecordedEvent]:
        """Polls, ever less often while there is nothing; a NOTIFY, if there are any, is a hint."""
        old: frozenset[Position] = frozenset()
        if after == Position.NOW:
            after, old = await self._order.now(self._session.read)
        idle_s = POLL_MIN_S
        async with hints(self._session) as hinted:
            while True:
                hinted.clear()
                rows = await self._order.page(self._session.read, after, NO_END, PAGE_EVENTS)
                for row in rows:
                    event = self._recorded(row)
                    after = event.position
                    if after not in old and category in (None, category_of(event.stream)):
                        yield event
                if not rows:
                    await _wait(hinted, idle_s)
                idle_s = POLL_MIN_S if rows else min(2 * idle_s, POLL_MAX_S)

    def _recorded(self, row: Record) -> RecordedEvent:
        id_, stream, version, tx, position, type_, data, metadata, recorded_at = row
        return RecordedEvent(
            id_,
            stream,
            version,
            self._order.position(tx, position),
            type_,
            bytes_of(data),
            bytes_of(metadata),
            recorded_at,
        )


async def _wait(hinted: asyncio.Event, at_most_s: float) -> None:
    try:
        async with timeout(at_most_s):
            await hinted.wait()
    except TimeoutError:
        return

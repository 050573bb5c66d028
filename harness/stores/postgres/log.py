"""The log's two global orders, reading streams and the log, and subscriptions."""

from __future__ import annotations

import asyncio
from asyncio import timeout
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from harness.domain.errors import ReadTimeout, StreamNotFound
from harness.domain.store import Position, RecordedEvent, category_of
from harness.stores._shared.waiting import PollInterval
from harness.stores.postgres.pool import Session, close
from harness.stores.postgres.rows import QUERY, bytes_of

if TYPE_CHECKING:
    from asyncpg import Record

NO_END = 2**63 - 1

Fetch = Callable[..., Awaitable["list[Record]"]]
"""`fetch(query, *arguments)`"""


class Order(Protocol):
    """How positions compare, and which part of the log can be read at a given time."""

    columns: str
    """The columns of the log's index."""

    def position(self, tx: int, position: int) -> Position:
        """The place of an event with these columns."""
        ...

    async def head(self, fetch: Fetch) -> int:
        """The current end of the committed log, for `page` and `delayed`."""
        ...

    async def page(
        self, fetch: Fetch, after: Position | None, end: int, limit: int
    ) -> list[Record]:
        """The next events after a position, at most `limit` and none beyond `end`."""
        ...

    async def delayed(self, fetch: Fetch, end: int) -> frozenset[Position]:
        """Events before `end` that are committed, but that `page` does not return yet."""
        ...

    async def now(self, fetch: Fetch) -> tuple[Position, frozenset[Position]]:
        """The position after which new events begin, and the old events after it."""
        ...


class ByTransaction:
    """Ordered by the writing transaction, and read below the oldest one still running."""

    columns = "tx, position"

    def position(self, tx: int, position: int) -> Position:
        return Position((tx, position))

    async def head(self, fetch: Fetch) -> int:
        """The first transaction id that is not assigned yet."""
        return _value(await fetch(QUERY["next_transaction"]))

    async def page(
        self, fetch: Fetch, after: Position | None, end: int, limit: int
    ) -> list[Record]:
        """Events below the oldest open write transaction of the cluster; the others come later."""
        return await fetch(QUERY["log_by_transaction"], *(after or (0, 0)), end, limit)

    async def delayed(self, fetch: Fetch, end: int) -> frozenset[Position]:
        """Committed while an older transaction is still running."""
        rows = await fetch(QUERY["delayed"], end)
        return frozenset(Position((row["tx"], row["position"])) for row in rows)

    async def now(self, fetch: Fetch) -> tuple[Position, frozenset[Position]]:
        """Before the oldest running transaction: its events are new, and later ones may be old."""
        rows = await fetch(QUERY["now"])
        old = (Position((row["tx"], row["position"])) for row in rows if row["tx"] is not None)
        return Position((rows[0]["oldest"] - 1, NO_END)), frozenset(old)


class ByPosition:
    """Ordered by a number. Without gaps only where appends take turns."""

    columns = "position"

    def position(self, tx: int, position: int) -> Position:
        del tx
        return Position((position,))

    async def head(self, fetch: Fetch) -> int:
        """The newest committed position."""
        return _value(await fetch(QUERY["head_position"]))

    async def page(
        self, fetch: Fetch, after: Position | None, end: int, limit: int
    ) -> list[Record]:
        """Everything that is committed."""
        return await fetch(QUERY["log_by_position"], *(after or (0,)), end, limit)

    async def delayed(self, fetch: Fetch, end: int) -> frozenset[Position]:
        """None: all committed events are readable."""
        del fetch, end
        return frozenset()

    async def now(self, fetch: Fetch) -> tuple[Position, frozenset[Position]]:
        """The newest committed position."""
        return Position((await self.head(fetch),)), frozenset()


def _value(rows: list[Any]) -> int:
    value: int = rows[0][0]
    return value


PAGE_EVENTS = 500


class Reading:
    """The reading half of an `EventStore`."""

    def __init__(self, session: Session, order: Order) -> None:
        self._session, self._order = session, order

    async def stream(
        self, stream: str, start: int, limit: int | None, *, backwards: bool
    ) -> AsyncIterator[RecordedEvent]:
        """In pages, to where the stream ends after the first: one round trip for a short one."""
        query = QUERY["stream_backwards" if backwards else "stream_forwards"]
        first, last, left = start, NO_END, NO_END if limit is None else limit
        page = await self._page(query, stream, first, last, left)
        if not page:
            await self._head(stream)
        while page:
            for event in self.recorded(page):
                yield event
            left -= len(page)
            if len(page) < PAGE_EVENTS or not left:
                return
            if backwards:
                last = page[-1]["version"] - 1
            else:
                first = page[-1]["version"] + 1
                last = await self._head(stream) if last == NO_END else last
            page = await self._page(query, stream, first, last, left)

    async def _page(
        self, query: str, stream: str, first: int, last: int, left: int
    ) -> list[Record]:
        return await self._session.read(query, stream, first, last, min(PAGE_EVENTS, left))

    async def _head(self, stream: str) -> int:
        """The version of the stream's last event. Raises `StreamNotFound`."""
        head = await self._session.read(QUERY["stream_head"], stream)
        if not head:
            raise StreamNotFound(stream)
        version: int = head[0]["version"]
        return version

    async def log(self, after: Position | None, limit: int | None) -> AsyncIterator[RecordedEvent]:
        """Everything that was committed at the first step, however long an order delays it."""
        if after == Position.NOW:
            return
        end = await self._order.head(self._session.read)
        left = NO_END if limit is None else limit
        while left > 0:
            size = min(PAGE_EVENTS, left)
            rows = await self._order.page(self._session.read, after, end, size)
            for event in self.recorded(rows):
                after = event.position
                yield event
            left -= len(rows)
            if len(rows) < size and not await self._await_delayed(end):
                return

    async def _await_delayed(self, end: int) -> bool:
        """Wait until no event before the end is delayed; returns whether any was."""
        interval, more = PollInterval(), False
        try:
            async with timeout(self._session.options.deadline_s):
                while await self._order.delayed(self._session.read, end):
                    more = True
                    await interval.wait()
        except TimeoutError:
            raise ReadTimeout("an older transaction, open in the cluster, holds the log") from None
        return more

    async def follow(
        self, after: Position | None, category: str | None
    ) -> AsyncIterator[RecordedEvent]:
        """Polls, less often while there is nothing new; a NOTIFY wakes it earlier."""
        old: frozenset[Position] = frozenset()
        if after == Position.NOW:
            after, old = await self._order.now(self._session.read)
        interval = PollInterval()
        async with hints(self._session) as hinted:
            while True:
                hinted.clear()
                rows = await self._order.page(self._session.read, after, NO_END, PAGE_EVENTS)
                for event in self.recorded(rows):
                    after = event.position
                    if after not in old and category in (None, category_of(event.stream)):
                        yield event
                if rows:
                    interval.reset()
                else:
                    await interval.wait(hinted)

    def recorded(self, rows: Iterable[Any]) -> list[RecordedEvent]:
        """Rows of the columns that every query of events begins with: hot, so in one go."""
        position_of = self._order.position
        return [
            RecordedEvent(
                id_,
                stream,
                version,
                position_of(tx, position),
                type_,
                data if type(data) is bytes else bytes_of(data),
                metadata if type(metadata) is bytes else bytes_of(metadata),
                recorded_at,
            )
            for id_, stream, version, tx, position, type_, data, metadata, recorded_at in rows
        ]


@asynccontextmanager
async def hints(session: Session) -> AsyncIterator[asyncio.Event]:
    """An event that each append sets, where the option `notify` is on.

    It is a hint: where LISTEN fails, polling goes on.
    """
    hinted = asyncio.Event()
    if not session.options.notify:
        yield hinted
        return
    connection = await session.pool.connect()
    try:
        await connection.add_listener(session.endpoint.namespace, lambda *_: hinted.set())
        yield hinted
    finally:
        await close(connection)

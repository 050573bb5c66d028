"""`postgres:template`: the design that tutorials teach, measured with its faults.

Only what the protocol needs is repaired: versions count from 0, an empty append is refused, a
missing stream differs from an empty read, EXISTS is checked as versions are, a subscriber may
start from now, driver errors are mapped. Tutorials have a table of snapshots and no code for it:
snapshots are saved as they save checkpoints.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from harness.domain.errors import ReadFailed, StoreError, StreamNotFound, UnsupportedByStore
from harness.domain.expected_version import code_of
from harness.domain.store import (
    AppendResult,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    Position,
    RecordedEvent,
    Snapshot,
    StreamState,
    category_of,
)
from harness.stores._shared.append_rules import require_expected
from harness.stores.postgres import rows
from harness.stores.postgres.driver import APPENDING
from harness.stores.postgres.log import NO_END
from harness.stores.postgres.open_transactions import changed
from harness.stores.postgres.options import PostgresOptions
from harness.stores.postgres.pool import Session
from harness.stores.postgres.rows import SQL, bytes_of
from harness.stores.postgres.store import PostgresStore

if TYPE_CHECKING:
    from asyncpg import Connection, Record

QUERY = SQL.statements("template_queries")
POLL_S = 1.0
PAGE_EVENTS = 1000
"""A page of the log, and where a read of a stream without a limit ends."""
BATCH_EVENTS = 100
"""The events of a subscription between two checkpoints."""
_BEGIN_AND_COMMIT = 2
"""Round trips, as are BEGIN and ROLLBACK."""


class Template(PostgresStore):
    """SELECT the expected version, SELECT it again, INSERT each event; poll once a second."""

    scripts = ("template_schema",)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._subscribed: set[str] = set()

    @classmethod
    def declares(cls, options: PostgresOptions) -> Guarantees:
        """The guarantees of the design, which are fewer than it seems to give."""
        return replace(
            super().declares(options),
            occ="none",
            occ_note="checks before it writes: two writers may both pass the check",
            gap_free_read=False,
            idempotency="none",
            append_only="by-convention",
            payload="json",
            times_in_utc=False,
            whole_streams=False,
            starts_where_asked=False,
            categories=False,
            newest_snapshot=False,
            note=f"a read of a stream ends after {PAGE_EVENTS:,} events unless it has a limit;"
            " times are the client's naive UTC, which the driver takes for local time",
        )

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """One transaction of two SELECTs, or one under ANY, and an INSERT an event."""
        rows.columns(events, rows.as_json)
        code_of(expected)
        with APPENDING:
            self._session.round_trips += _BEGIN_AND_COMMIT
            async with self._session.pool.transaction() as connection:
                return await self._append_on(connection, stream, events, expected)

    async def _append_on(
        self,
        connection: Connection,
        stream: str,
        events: Sequence[NewEvent],
        expected: ExpectedVersion,
    ) -> AppendResult:
        if expected is not StreamState.ANY:
            await self._check(connection, stream, expected)
        return await self._insert(connection, stream, rows.columns(events, rows.as_json))

    async def _check(self, connection: Connection, stream: str, expected: ExpectedVersion) -> None:
        head = await self._value(connection, "head", stream)
        require_expected(stream, expected, head)

    async def _insert(
        self, connection: Connection, stream: str, columns: rows.Columns
    ) -> AppendResult:
        head = await self._value(connection, "head", stream)
        version = -1 if head is None else head
        position, type_of_stream, created_at = 0, category_of(stream), _utcnow()
        for id_, type_, data, metadata in zip(*columns, strict=True):
            version += 1
            event = (id_, stream, type_of_stream, type_, data, metadata, version, created_at)
            position = await self._value(connection, "insert", *event)
        return AppendResult(version, Position((position,)))

    async def _value(self, connection: Connection, name: str, *arguments: Any) -> Any:
        limit_s = self._session.options.deadline_s
        self._session.round_trips += 1
        return await connection.fetchval(QUERY[name], *arguments, timeout=limit_s)

    async def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """In one answer, which ends after 1,000 events unless there is a limit."""
        query = QUERY["stream_backwards" if backwards else "stream_forwards"]
        most = PAGE_EVENTS if limit is None else limit
        answer = await self._session.read(query, stream, start, most)
        if not answer and not await self._exists(stream):
            raise StreamNotFound(stream)
        for row in answer:
            yield _recorded(row)

    async def _exists(self, stream: str) -> bool:
        head = await self._session.read(QUERY["head"], stream)
        return head[0][0] is not None

    async def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """In pages by position up to the newest; skips events that commit late below that."""
        head = await self._head()
        place = head if after == Position.NOW else (after or (0,))[0]
        left = NO_END if limit is None else limit
        while left > 0 and place < head:
            answer = await self._session.read(QUERY["log"], place, min(PAGE_EVENTS, left))
            for row in answer:
                yield _recorded(row)
            if not answer:
                return
            left -= len(answer)
            place = answer[-1]["global_position"]

    def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Polls every second and saves a checkpoint after each batch; an older one beats `after`.

        Raises `UnsupportedByStore` for a category.
        """
        if category is not None:
            raise UnsupportedByStore("the tutorials' subscription has no categories")
        return self._subscription(after)

    async def _subscription(self, after: Position | None) -> AsyncIterator[RecordedEvent]:
        with self._name() as subscription:
            saved = await self.load_checkpoint(subscription)
            asked = await self._head() if after == Position.NOW else (after or (0,))[0]
            place = (saved or (0,))[0] or asked
            while True:
                answer = await self._session.read(QUERY["log"], place, BATCH_EVENTS)
                for row in answer:
                    yield _recorded(row)
                if answer:
                    place = answer[-1]["global_position"]
                    await self._checkpoint(subscription, place)
                else:
                    await asyncio.sleep(POLL_S)

    @contextmanager
    def _name(self) -> Iterator[str]:
        """The first name that no subscriber of this connection has.

        Names outlive subscribers, as a service's do: whoever subscribes next continues where the
        last one of that name stopped. Two connections have the same names, as two instances of one
        service.
        """
        names = (f"subscription-{number}" for number in count(1))
        name = next(name for name in names if name not in self._subscribed)
        self._subscribed.add(name)
        try:
            yield name
        finally:
            self._subscribed.discard(name)

    async def _checkpoint(self, subscription: str, place: int) -> None:
        """Save the checkpoint; a failure is a failed read, since subscriptions save and read."""
        try:
            await self.save_checkpoint(subscription, Position((place,)))
        except StoreError as error:
            raise ReadFailed(f"no checkpoint: {error}") from error

    async def _head(self) -> int:
        answer = await self._session.read(QUERY["head_position"])
        head: int = answer[0][0]
        return head

    async def load_checkpoint(self, subscriber: str) -> Position | None:
        answer = await self._session.read(QUERY["load_checkpoint"], subscriber)
        return Position(answer[0]) if answer else None

    async def save_checkpoint(self, subscriber: str, position: Position) -> None:
        await self._session.write(QUERY["save_checkpoint"], subscriber, position[0])

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        answer = await self._session.read(QUERY["load_snapshot"], stream)
        if not answer:
            return None
        return Snapshot(stream, answer[0]["version"], answer[0]["snapshot_data"].encode())

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Replaces whatever snapshot there is, a newer one as well."""
        stream, data = snapshot.stream, snapshot.data.decode()
        await self._session.write(
            QUERY["save_snapshot"], stream, category_of(stream), snapshot.version, data
        )

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """UPDATE, which nothing forbids."""
        query = QUERY["tamper_update"]
        return await changed(self._session, query, stream, version, data.decode())

    async def delete(self, stream: str, version: int) -> bool:
        """DELETE, which nothing forbids."""
        return await changed(self._session, QUERY["tamper_delete"], stream, version)


def _utcnow() -> datetime:
    """As `datetime.utcnow()`: UTC without saying so, which asyncpg takes for local time."""
    return datetime.now(UTC).replace(tzinfo=None)


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

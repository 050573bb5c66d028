"""The design that all variants but the template share; they differ in how appends take turns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from harness.costs import ROUND_TRIPS, Counts
from harness.store import (
    AppendResult,
    Endpoint,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    OpenTransaction,
    Position,
    RecordedEvent,
    Snapshot,
)
from harness.stores.postgres import rows
from harness.stores.postgres.counting import Counting
from harness.stores.postgres.durability import as_configured, durability_of
from harness.stores.postgres.facts import FACTS
from harness.stores.postgres.held import HeldTransaction
from harness.stores.postgres.options import PostgresOptions
from harness.stores.postgres.order import QUERY, ByPosition, Order
from harness.stores.postgres.reading import Reading
from harness.stores.postgres.session import Session
from harness.stores.postgres.tampering import changed, emptied
from harness.stores.scripts import script

if TYPE_CHECKING:
    from harness.stores.postgres.pool import Link


class PostgresStore:
    """A table of events in a schema of its own; each append is one call of one function."""

    order: ClassVar[Order] = ByPosition()
    lock: ClassVar[str] = "NULL"
    """The statement with which an append takes its turn."""
    scripts: ClassVar[Sequence[str]] = ("postgres_events", "postgres_write", "postgres_append")
    gap_free_read: ClassVar[bool] = True

    durability_of = staticmethod(durability_of)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reading = Reading(session, self.order)
        self._counting = Counting(session)
        self._columns = rows.as_json if session.options.payload == "jsonb" else rows.as_bytes
        self._append_one = QUERY["append_one"].replace(":payload", session.options.payload)

    @classmethod
    def declares(cls, options: PostgresOptions) -> Guarantees:
        """Everything but gap-free reading, which depends on the variant."""
        return Guarantees(
            occ="native",
            atomic_append=True,
            global_order="total",
            gap_free_read=cls.gap_free_read,
            idempotency="durable",
            stream_read="indexed",
            subscription="poll",
            append_only="enforced",
            payload="json" if options.payload == "jsonb" else "exact",
            durability=as_configured(options),
            writers="many",
            facts=FACTS,
        )

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: PostgresOptions) -> Self:
        """Open one connection; more are opened as they are needed."""
        session = Session(endpoint, options)
        await session.open()
        return cls(session)

    async def setup(self) -> None:
        """Make the schema and everything in it."""
        names = (*self.scripts, *(["postgres_notify"] if self._session.options.notify else []))
        schema = self._session.endpoint.namespace
        variables = {
            "payload": self._session.options.payload,
            "persistence": "UNLOGGED" if self._session.options.unlogged else "",
            "log_order": self.order.columns,
            "lock": self.lock,
        }
        parts = [f'CREATE SCHEMA "{schema}"', *(script(name, variables) for name in names)]
        await self._session.run(";\n".join(parts))

    async def teardown(self) -> None:
        """Drop the schema; prepared statements go with their connections."""
        await self._session.run(
            f'DROP SCHEMA IF EXISTS "{self._session.endpoint.namespace}" CASCADE'
        )
        await self._session.pool.clear()

    async def settings(self) -> Mapping[str, str]:
        """What decides on durability, as this connection sees it, and the server's version."""
        found = await self._session.read(QUERY["settings"])
        return {row["name"]: row["setting"] for row in found}

    def costs(self) -> Counts:
        """Round trips of this adapter so far."""
        return {ROUND_TRIPS: self._session.round_trips}

    async def settle(self) -> None:
        """CHECKPOINT, where the role may."""
        await self._counting.settle()

    async def counts(self) -> Counts:
        """The cluster's WAL, the database's commits, this schema's tables and indexes."""
        return await self._counting.counts()

    async def tell(self) -> Counts:
        """Let the server's statistics know what the pool's idle connections did."""
        return await self._counting.tell()

    async def compact(self) -> None:
        """VACUUM FULL: the table and its indexes, written anew."""
        await self._counting.compact()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.pool.clear()

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Write all of `events` in one round trip, or none of them."""
        found = await self._session.write(*self._call_for(stream, events, expected))
        return self._result(found[0], stream, expected)

    def _call_for(
        self, stream: str, events: Sequence[NewEvent], expected: ExpectedVersion
    ) -> tuple[Any, ...]:
        """The statement that appends, and its arguments."""
        number = rows.expected_number(expected)
        columns = self._columns(events)
        if len(events) == 1:
            return self._append_one, stream, number, *(column[0] for column in columns)
        return QUERY["append"], stream, number, *columns

    async def open_transaction(self, *, early: bool = False) -> OpenTransaction:
        """For checks: BEGIN, and with `early` a transaction id."""
        return await HeldTransaction.begun(self._session, self._append_on, early=early)

    async def _append_on(
        self, link: Link, stream: str, events: Sequence[NewEvent], expected: ExpectedVersion
    ) -> AppendResult:
        query, *arguments = self._call_for(stream, events, expected)
        limit_s = self._session.options.deadline_s
        statement = await link.prepared(query, limit_s)
        found = await statement.fetch(*arguments, timeout=limit_s)
        return self._result(found[0], stream, expected)

    def _result(self, row: rows.Row, stream: str, expected: ExpectedVersion) -> AppendResult:
        rows.refuse(row, stream, expected)
        return AppendResult(row["version"], self.order.position(row["tx"], row["position"]))

    def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """In pages, by the index on (stream, version)."""
        return self._reading.stream(stream, start, limit, backwards=backwards)

    def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Whatever was committed at the first step."""
        return self._reading.log(after, limit)

    def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Polled at a short interval that grows while there is nothing new."""
        return self._reading.follow(after, category)

    async def load_checkpoint(self, subscriber: str) -> Position | None:
        """The subscriber's last saved position, if any."""
        found = await self._session.read(QUERY["load_checkpoint"], subscriber)
        return Position.parse(found[0]["position"]) if found else None

    async def save_checkpoint(self, subscriber: str, position: Position) -> None:
        """Remember that everything up to `position` was handled."""
        await self._session.write(QUERY["save_checkpoint"], subscriber, str(position))

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """The newest snapshot of a stream, if any."""
        found = await self._session.read(QUERY["load_snapshot"], stream)
        return Snapshot(*found[0]) if found else None

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep it unless a newer one is there."""
        await self._session.write(
            QUERY["save_snapshot"], snapshot.stream, snapshot.version, snapshot.data
        )

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """Try UPDATE past the append function."""
        payload = data.decode() if self._session.options.payload == "jsonb" else data
        return await changed(self._session, QUERY["tamper_update"], stream, version, payload)

    async def delete(self, stream: str, version: int) -> bool:
        """Try DELETE past the append function, then TRUNCATE."""
        deleted = await changed(self._session, QUERY["tamper_delete"], stream, version)
        return deleted or await emptied(self._session)

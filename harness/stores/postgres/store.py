"""The design of all variants except the template; they differ in how appends take turns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from harness.domain import marks
from harness.domain.costs import ROUND_TRIPS, Counts
from harness.domain.durability import Durability
from harness.domain.errors import Unsuitable
from harness.domain.expected_version import CODES, code_of
from harness.domain.store import (
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
from harness.stores.postgres.log import ByPosition, ByTransaction, Order, Reading
from harness.stores.postgres.open_transactions import PostgresTransaction, changed, emptied
from harness.stores.postgres.options import (
    FACTS,
    PostgresOptions,
    durability_of,
    loss_bound_s,
    requested_settings,
)
from harness.stores.postgres.pool import Session
from harness.stores.postgres.rows import QUERY, SQL

if TYPE_CHECKING:
    from asyncpg import Connection


def _keeps_positions(options: PostgresOptions) -> bool:
    """Whether a position that a reader saw is never handed out again.

    After a crash, transaction ids and sequences go on from what reached the disk: a reader that
    had read further resumes beyond events that are appended later.
    """
    return options.synchronous_commit == "on" and not options.unlogged


class PostgresStore:
    """A table of events in a schema of its own; each append is one call of one function."""

    order: ClassVar[Order] = ByPosition()
    lock: ClassVar[str] = "NULL"
    """The statement with which an append takes its turn."""
    scripts: ClassVar[Sequence[str]] = ("events", "write", "append")
    gap_free_read: ClassVar[bool] = True

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reading = Reading(session, self.order)
        self._counting = Counting(session)
        self._cells = rows.as_json if session.options.payload == "jsonb" else rows.as_bytes
        self._append_one = QUERY["append_one"].replace(":payload", session.options.payload)

    @classmethod
    def declares(cls, options: PostgresOptions) -> Guarantees:
        """Everything but gap-free reading, which depends on the variant."""
        return Guarantees(
            occ="native",
            atomic_append=True,
            global_order="total",
            gap_free_read=cls.gap_free_read and _keeps_positions(options),
            idempotency="durable",
            stream_read="indexed",
            subscription="poll",
            append_only="enforced",
            payload="json" if options.payload == "jsonb" else "exact",
            durability=durability_of(requested_settings(options)),
            writers="many",
            facts=FACTS,
        )

    @staticmethod
    def durability_of(settings: Mapping[str, str]) -> Durability:
        return durability_of(settings)

    @staticmethod
    def loss_bound_s(settings: Mapping[str, str]) -> float | None:
        return loss_bound_s(settings)

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: PostgresOptions) -> Self:
        """Open one connection; more are opened as they are needed."""
        session = Session(endpoint, options)
        await session.open()
        return cls(session)

    async def setup(self) -> None:
        """Make the schema and everything in it.

        Raises `Unsuitable` where others would receive it, or it would be in another schema.
        """
        await _require_undisturbed(self._session)
        names = (*self.scripts, *(["notify"] if self._session.options.notify else []))
        schema = self._session.endpoint.namespace
        variables = {
            "payload": self._session.options.payload,
            "persistence": "UNLOGGED" if self._session.options.unlogged else "",
            "log_order": self.order.columns,
            "lock": self.lock,
            **{state.name.lower(): str(code) for state, code in CODES.items()},
        }
        # A pooler may give this transaction a connection that is not the one that was confirmed.
        first = [f'CREATE SCHEMA "{schema}"', self._session.pool.confirmation("search_path")]
        parts = [*first, *(SQL.script(name, variables) for name in names)]
        await self._session.run(";\n".join(parts))

    async def teardown(self) -> None:
        """Drop the schema; prepared statements go with their connections."""
        await self._session.run(
            f'DROP SCHEMA IF EXISTS "{self._session.endpoint.namespace}" CASCADE'
        )
        await self._session.pool.clear()

    async def namespaces(self) -> Sequence[str]:
        """Schemas of labs in this database."""
        answer = await self._session.read(QUERY["namespaces"], marks.PREFIX)
        return [row["name"] for row in answer]

    async def settings(self) -> Mapping[str, str]:
        """This connection's durability settings, and the server's version."""
        answer = await self._session.read(QUERY["settings"])
        return {row["name"]: row["setting"] for row in answer}

    def costs(self) -> Counts:
        """Round trips of this adapter so far."""
        return {ROUND_TRIPS: self._session.round_trips}

    async def settle(self) -> None:
        """CHECKPOINT, if the role has the right."""
        await self._counting.settle()

    async def counts(self) -> Counts:
        """The cluster's WAL, the database's commits, this schema's tables and indexes."""
        return await self._counting.counts()

    async def report_counts(self) -> Counts:
        """Flush the idle connections' pending statistics to the server."""
        return await self._counting.report_counts()

    async def compact(self) -> None:
        """VACUUM FULL."""
        await self._counting.compact()

    async def aclose(self) -> None:
        await self._session.pool.clear()

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Write all of `events` in one round trip, or none of them."""
        answer = await self._session.write(*self._call_for(stream, events, expected))
        return self._result(answer[0], stream, expected)

    def _call_for(
        self, stream: str, events: Sequence[NewEvent], expected: ExpectedVersion
    ) -> tuple[Any, ...]:
        """The statement that appends, and its arguments."""
        number = code_of(expected)
        if len(events) == 1:
            return self._append_one, stream, number, *self._cells(events[0])
        return QUERY["append"], stream, number, *self._columns(events)

    def _columns(self, events: Sequence[NewEvent]) -> rows.Columns:
        return rows.columns(events, self._cells)

    async def open_transaction(self, *, early: bool = False) -> OpenTransaction:
        """For checks: BEGIN, and with `early` a transaction id."""
        return await PostgresTransaction.begun(self._session, self._append_on, early=early)

    async def _append_on(
        self,
        connection: Connection,
        stream: str,
        events: Sequence[NewEvent],
        expected: ExpectedVersion,
    ) -> AppendResult:
        query, *arguments = self._call_for(stream, events, expected)
        limit_s = self._session.options.deadline_s
        answer = await connection.fetch(query, *arguments, timeout=limit_s)
        return self._result(answer[0], stream, expected)

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
        """Everything that was committed at the first step."""
        return self._reading.log(after, limit)

    def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Polled at a short interval that grows while there is nothing new."""
        return self._reading.follow(after, category)

    async def load_checkpoint(self, subscriber: str) -> Position | None:
        answer = await self._session.read(QUERY["load_checkpoint"], subscriber)
        return Position.parse(answer[0]["position"]) if answer else None

    async def save_checkpoint(self, subscriber: str, position: Position) -> None:
        await self._session.write(QUERY["save_checkpoint"], subscriber, str(position))

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        answer = await self._session.read(QUERY["load_snapshot"], stream)
        return Snapshot(*answer[0]) if answer else None

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        await self._session.write(
            QUERY["save_snapshot"], snapshot.stream, snapshot.version, snapshot.data
        )

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """Try UPDATE without the append function."""
        payload = data.decode() if self._session.options.payload == "jsonb" else data
        return await changed(self._session, QUERY["tamper_update"], stream, version, payload)

    async def delete(self, stream: str, version: int) -> bool:
        """Try DELETE without the append function, then TRUNCATE."""
        deleted = await changed(self._session, QUERY["tamper_delete"], stream, version)
        return deleted or await emptied(self._session)


LOCK_LOG = "PERFORM pg_advisory_xact_lock('events'::regclass::oid::bigint)"


class StreamLock(PostgresStore):
    """An advisory lock on the stream; the log is read in the order of transactions."""

    order = ByTransaction()
    # Advisory locks are the database's: the table's own number keeps schemas apart.
    lock = (
        "PERFORM pg_advisory_xact_lock(hashtextextended(p_stream, 'events'::regclass::oid::bigint))"
    )


class StreamRow(PostgresStore):
    """A compare-and-set of the stream's row; positions may commit out of their order."""

    scripts = ("events", "write_row", "append")
    gap_free_read = False


class GlobalLock(PostgresStore):
    """One advisory lock for all appends, so that positions commit in their order."""

    lock = LOCK_LOG


class TableLock(PostgresStore):
    """LOCK TABLE in each append, so that positions commit in their order."""

    lock = "LOCK TABLE events IN EXCLUSIVE MODE"


class Counter(PostgresStore):
    """One row that every append updates, so that positions are dense."""

    scripts = ("events", "write_counter", "append")


_HARM: Mapping[str, str] = {
    # Its subscribers have no such tables, and stop at the first event.
    "publication": "the publication {} is FOR ALL TABLES: subscribers would stop at the lab's own",
    # Publications do not limit the other output plugins.
    "slot": "the logical replication slot {} would decode the lab's tables for its consumer",
    "trigger": "the event trigger {} would fire for everything that the lab makes",
}
_ADVICE = "name a database of the lab's own (CREATE DATABASE eslab)"


async def _require_undisturbed(session: Session) -> None:
    """Raises `Unsuitable` where someone receives everything that is made in this database.

    A publication of single tables or schemas cannot name the lab's, which are new. Publications,
    logical slots and event triggers belong to one database.
    """
    harm = [
        _HARM[row["kind"]].format(row["name"]) for row in await session.read(QUERY["bystanders"])
    ]
    if harm:
        raise Unsuitable(f"{'; '.join(harm)}; {_ADVICE}")

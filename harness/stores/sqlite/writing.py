"""SQLite's writes: appends, one transaction each, and transactions that a check keeps open."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from harness.domain.errors import (
    AppendRefused,
    OutcomeUnknown,
    StoreUnavailable,
)
from harness.domain.store import (
    AppendResult,
    ExpectedVersion,
    NewEvent,
    Position,
    Snapshot,
)
from harness.stores._shared import append_rules
from harness.stores._shared.driver_errors import Mapped
from harness.stores.sqlite.connection import ConnectionThread
from harness.stores.sqlite.reading import QUERY


class Known(NamedTuple):
    """A recorded event, looked up by its id."""

    stream: str
    version: int
    position: int
    type: str
    data: bytes
    metadata: bytes


def append(
    connection: sqlite3.Connection,
    stream: str,
    events: Sequence[NewEvent],
    expected: ExpectedVersion,
) -> AppendResult:
    """Write all of `events`, or raise and write none."""
    append_rules.require_events(events)
    require_utf8(stream, *(event.type for event in events))
    with transaction(connection):
        return append_inside(connection, stream, events, expected)


def append_inside(
    connection: sqlite3.Connection,
    stream: str,
    events: Sequence[NewEvent],
    expected: ExpectedVersion,
) -> AppendResult:
    """`append`, in a transaction that the caller has begun and ends."""
    (head,) = connection.execute(QUERY["head_version"], (stream,)).fetchone()
    found = [known(connection, event) for event in events]
    original = append_rules.decide(stream, events, expected, head=head, known=found)
    if original is not None:
        return _result(original.version, original.position)
    return write(connection, stream, events, head)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the file's write lock. Raises `OutcomeUnknown` if COMMIT fails, unless by BUSY."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        with _COMMITTING:
            connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


def _uncertain(error: sqlite3.Error) -> StoreUnavailable | OutcomeUnknown:
    if error.sqlite_errorname == "SQLITE_BUSY":
        return StoreUnavailable(f"SQLite: {error}")
    return OutcomeUnknown(f"SQLite could not finish COMMIT: {error}")


_COMMITTING = Mapped(lambda: {sqlite3.Error: _uncertain})


def _roll_back(connection: sqlite3.Connection) -> None:
    """Roll back, unless SQLite already has after an error such as a full disk."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def require_utf8(*texts: str) -> None:
    """Raises `AppendRefused` for what cannot be text of a database."""
    try:
        for text in texts:
            text.encode()
    except UnicodeEncodeError as error:
        raise AppendRefused(str(error), reason="UnicodeEncodeError") from error


def known(connection: sqlite3.Connection, event: NewEvent) -> Known | None:
    """The recorded event with the id of an event to append."""
    row = connection.execute(QUERY["by_id"], (event.id.bytes,)).fetchone()
    return None if row is None else Known(*row)


def write(
    connection: sqlite3.Connection, stream: str, events: Sequence[NewEvent], head: int | None
) -> AppendResult:
    """Insert events after the version `head`, in a transaction that the caller ends."""
    (position,) = connection.execute(QUERY["head_position"]).fetchone()
    version = -1 if head is None else head
    now_us = time.time_ns() // 1000
    rows = (
        (
            position + number,
            stream,
            version + number,
            event.id.bytes,
            event.type,
            event.data,
            event.metadata,
            now_us,
        )
        for number, event in enumerate(events, start=1)
    )
    connection.executemany(QUERY["insert"], rows)
    return _result(version + len(events), position + len(events))


def _result(version: int, position: int) -> AppendResult:
    return AppendResult(version, Position((position,)))


def save_checkpoint(connection: sqlite3.Connection, subscriber: str, position: Position) -> None:
    """Remember a position, in a transaction of its own."""
    connection.execute(QUERY["save_checkpoint"], (subscriber, str(position)))


def save_snapshot(connection: sqlite3.Connection, snapshot: Snapshot) -> None:
    """Keep a snapshot unless a newer one is there, in a transaction of its own."""
    row = (snapshot.stream, snapshot.version, snapshot.data)
    connection.execute(QUERY["save_snapshot"], row)


class SqliteTransaction:
    """A connection of its own inside BEGIN, until `commit` or `roll_back`."""

    def __init__(self, thread: ConnectionThread) -> None:
        self._thread = thread

    async def begin(self, *, early: bool) -> None:
        """`early` reads, which fixes what the transaction sees; else it takes the write lock."""
        await self._thread.call(_begin_reading if early else _begin_writing)

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """The adapter's append; other writers wait until this transaction has ended."""
        return await self._thread.call(append_inside, stream, events, expected)

    async def commit(self) -> None:
        """COMMIT, and close the connection."""
        await self._thread.call(_commit)
        await self._thread.aclose()

    async def roll_back(self) -> None:
        """Close the connection, which rolls back what was not committed."""
        await self._thread.aclose()


def _begin_reading(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("SELECT max(position) FROM events").fetchone()


def _begin_writing(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")


def _commit(connection: sqlite3.Connection) -> None:
    connection.execute("COMMIT")

"""SQLite's statements by name, and its reads: streams, the log, checkpoints, snapshots."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from harness.domain.errors import StreamNotFound
from harness.domain.store import Position, RecordedEvent, Snapshot
from harness.stores._shared.sql import SqlFolder

PAGE_EVENTS = 500
"""Events that one call reads; no read transaction outlives a call."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


SQL = SqlFolder(__file__)
QUERY = SQL.statements("queries")


def begin_stream(
    connection: sqlite3.Connection, stream: str, start: int, limit: int | None, *, backwards: bool
) -> tuple[range, list[RecordedEvent]]:
    """The versions to be read, in order, and the first page of their events."""
    (head,) = connection.execute(QUERY["head_version"], (stream,)).fetchone()
    if head is None:
        raise StreamNotFound(stream)
    versions = range(start, head + 1)
    versions = (versions[::-1] if backwards else versions)[:limit]
    return versions, stream_page(connection, stream, versions)


def stream_page(
    connection: sqlite3.Connection, stream: str, versions: range
) -> list[RecordedEvent]:
    """The first page of `versions`, in their order."""
    page = versions[:PAGE_EVENTS]
    if not page:
        return []
    query = QUERY["stream_backwards" if page.step < 0 else "stream_forwards"]
    rows = connection.execute(query, (stream, min(page[0], page[-1]), max(page[0], page[-1])))
    return [recorded(row) for row in rows]


def head_position(connection: sqlite3.Connection) -> int:
    """The position of the newest event, 0 before the first."""
    position: int
    (position,) = connection.execute(QUERY["head_position"]).fetchone()
    return position


def begin_log(
    connection: sqlite3.Connection, after: Position | None, limit: int | None
) -> tuple[range, list[RecordedEvent]]:
    """The positions to be read up to the current head, and the first page of their events."""
    head = head_position(connection)
    positions = range(index_of(after, head) + 1, head + 1)[:limit]
    return positions, log_page(connection, positions)


def log_page(connection: sqlite3.Connection, positions: range) -> list[RecordedEvent]:
    """The first page of `positions`."""
    page = positions[:PAGE_EVENTS]
    rows = connection.execute(QUERY["log"], (page.start, page.stop - 1))
    return [recorded(row) for row in rows]


def index_of(after: Position | None, head: int) -> int:
    """A position as SQLite's own number."""
    if after is None:
        return 0
    return head if after == Position.NOW else after[0]


def load_checkpoint(connection: sqlite3.Connection, subscriber: str) -> Position | None:
    row = connection.execute(QUERY["load_checkpoint"], (subscriber,)).fetchone()
    return Position.parse(row[0]) if row else None


def load_snapshot(connection: sqlite3.Connection, stream: str) -> Snapshot | None:
    row = connection.execute(QUERY["load_snapshot"], (stream,)).fetchone()
    return Snapshot(*row) if row else None


def recorded(row: tuple[Any, ...]) -> RecordedEvent:
    """A row of the columns that every query of events has."""
    event_id, stream, version, position, type_, data, metadata, recorded_us = row
    return RecordedEvent(
        UUID(bytes=event_id),
        stream,
        version,
        Position((position,)),
        type_,
        data,
        metadata,
        _EPOCH + timedelta(microseconds=recorded_us),
    )

"""SQLite's appends: one transaction each, every rule checked under the write lock."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from harness.errors import (
    AppendRefused,
    EmptyAppend,
    EventIdReused,
    OutcomeUnknown,
    StoreUnavailable,
    WrongExpectedVersion,
)
from harness.store import AppendResult, ExpectedVersion, NewEvent, Position, StreamState
from harness.stores.sqlite.reading import QUERY


class Known(NamedTuple):
    """A recorded event, found by its id."""

    stream: str
    version: int
    position: int
    content: tuple[str | bytes, ...]
    """Type, data and metadata."""


def append(
    connection: sqlite3.Connection,
    stream: str,
    events: Sequence[NewEvent],
    expected: ExpectedVersion,
) -> AppendResult:
    """Write all of `events`, or raise and write none.

    Ids come before versions: an exact retry returns the first call's result whatever it
    expects and whatever was appended since.
    """
    if not events:
        raise EmptyAppend("an append needs at least one event")
    _refuse_what_utf8_cannot_hold(stream, events)
    with _transaction(connection):
        return append_inside(connection, stream, events, expected)


def append_inside(
    connection: sqlite3.Connection,
    stream: str,
    events: Sequence[NewEvent],
    expected: ExpectedVersion,
) -> AppendResult:
    """`append`, in a transaction that the caller has begun and ends."""
    original = _original(connection, stream, events)
    if original is not None:
        return _result(original.version, original.position)
    head = _check_version(connection, stream, expected)
    return _write(connection, stream, events, head)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the file's write lock. Raises `OutcomeUnknown` if nobody can tell what COMMIT did."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        _roll_back(connection)
        raise
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        if error.sqlite_errorname == "SQLITE_BUSY":
            raise StoreUnavailable(f"SQLite: {error}") from error
        raise OutcomeUnknown(f"SQLite could not finish COMMIT: {error}") from error


def _roll_back(connection: sqlite3.Connection) -> None:
    """SQLite has already rolled back by itself after some errors (disk full, I/O)."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _refuse_what_utf8_cannot_hold(stream: str, events: Sequence[NewEvent]) -> None:
    try:
        for text in (stream, *(event.type for event in events)):
            text.encode()
    except UnicodeEncodeError as error:
        raise AppendRefused(str(error), reason="UnicodeEncodeError") from error


def _original(
    connection: sqlite3.Connection, stream: str, events: Sequence[NewEvent]
) -> Known | None:
    """The last event of an earlier append that `events` repeat exactly, if any is known."""
    known = [_known(connection, event) for event in events]
    if not any(known):
        if len({event.id for event in events}) < len(events):
            raise EventIdReused("the same event id twice in one append")
        return None
    first = known[0]
    for offset, (old, new) in enumerate(zip(known, events, strict=True)):
        if first is None or old is None or old.stream != stream:
            raise EventIdReused(f"event {new.id}: the append repeats only part of an earlier one")
        content = (new.type, new.data, new.metadata)
        if old.version != first.version + offset or old.content != content:
            raise EventIdReused(f"event {new.id} was written with other content or order")
    return known[-1]


def _known(connection: sqlite3.Connection, event: NewEvent) -> Known | None:
    row = connection.execute(QUERY["by_id"], (event.id.bytes,)).fetchone()
    if row is None:
        return None
    stream, version, position, *content = row
    return Known(stream, version, position, tuple(content))


def _check_version(
    connection: sqlite3.Connection, stream: str, expected: ExpectedVersion
) -> int | None:
    """The version of the stream's last event, `None` for no stream."""
    head: int | None
    (head,) = connection.execute(QUERY["head_version"], (stream,)).fetchone()
    match expected:
        case StreamState.ANY:
            holds = True
        case StreamState.NO_STREAM:
            holds = head is None
        case StreamState.EXISTS:
            holds = head is not None
        case version:
            holds = head == version
    if not holds:
        raise WrongExpectedVersion(stream, expected, head)
    return head


def _write(
    connection: sqlite3.Connection, stream: str, events: Sequence[NewEvent], head: int | None
) -> AppendResult:
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

"""The SQL files, and events as PostgreSQL's columns and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.domain.errors import AppendRefused, EventIdReused, WrongExpectedVersion
from harness.domain.store import ExpectedVersion, NewEvent
from harness.stores._shared.append_rules import require_events
from harness.stores._shared.sql import SqlFolder

if TYPE_CHECKING:
    from asyncpg import Record

SQL = SqlFolder(__file__)
QUERY = SQL.statements("queries")

Row: TypeAlias = "Record"
"""A row as asyncpg gives it."""

Cells = tuple[Any, str, Any, Any]
"""An event's id, type, data and metadata."""

Columns = tuple[list[Any], list[str], list[Any], list[Any]]
"""The same of several events, one entry an event."""


def as_bytes(event: NewEvent) -> Cells:
    """For bytea: the payloads unchanged."""
    return event.id, event.type, event.data, event.metadata


def as_json(event: NewEvent) -> Cells:
    """For jsonb: text, and NULL where there is no metadata."""
    try:
        metadata = event.metadata.decode() if event.metadata else None
        return event.id, event.type, event.data.decode(), metadata
    except UnicodeDecodeError as error:
        raise AppendRefused(f"not JSON: {error}", reason="UnicodeDecodeError") from error


def columns(events: Sequence[NewEvent], cells: Callable[[NewEvent], Cells]) -> Columns:
    """Raises `EmptyAppend` if there are none."""
    require_events(events)
    ids, types, data, metadata = map(list, zip(*map(cells, events), strict=True))
    return ids, types, data, metadata


def refuse(row: Record, stream: str, expected: ExpectedVersion) -> None:
    """Raises the error that an append function's row reports, if any."""
    match row["outcome"]:
        case "conflict":
            raise WrongExpectedVersion(stream, expected, row["version"])
        case "reused":
            raise EventIdReused(f"stream {stream!r}: an event id is already used by another append")


def bytes_of(value: bytes | str | None) -> bytes:
    """A payload that was read, as bytes."""
    if isinstance(value, str):
        return value.encode()
    return value or b""

"""The SQL files, and events as PostgreSQL's columns and back."""

from __future__ import annotations

from collections.abc import Sequence
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

Columns = tuple[list[Any], list[str], list[Any], list[Any]]
"""Ids, types, data and metadata, one entry an event."""


def as_bytes(events: Sequence[NewEvent]) -> Columns:
    """For bytea: the payloads unchanged."""
    require_events(events)
    return (
        [event.id for event in events],
        [event.type for event in events],
        [event.data for event in events],
        [event.metadata for event in events],
    )


def as_json(events: Sequence[NewEvent]) -> Columns:
    """For jsonb: text, and NULL where there is no metadata."""
    ids, types, data, metadata = as_bytes(events)
    try:
        return ids, types, [*map(_text, data)], [_text(one) if one else None for one in metadata]
    except UnicodeDecodeError as error:
        raise AppendRefused(f"not JSON: {error}", reason="UnicodeDecodeError") from error


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


def _text(payload: bytes) -> str:
    return payload.decode()

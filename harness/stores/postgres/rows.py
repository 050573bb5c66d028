"""Events as PostgreSQL's columns, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.errors import AppendRefused, EmptyAppend, EventIdReused, WrongExpectedVersion
from harness.store import ExpectedVersion, NewEvent, StreamState

if TYPE_CHECKING:
    from asyncpg import Record

_STATES: Mapping[ExpectedVersion, int] = {
    StreamState.ANY: -1,
    StreamState.NO_STREAM: -2,
    StreamState.EXISTS: -3,
}

Row: TypeAlias = "Record"
"""A row as asyncpg gives it."""

Columns = tuple[list[Any], list[str], list[Any], list[Any]]
"""Ids, types, data and metadata, one entry an event."""


def expected_number(expected: ExpectedVersion) -> int:
    """An expectation as the number that the SQL functions take."""
    if isinstance(expected, StreamState):
        return _STATES[expected]
    if expected < 0:
        raise ValueError(f"expected version {expected}: versions count from 0")
    return expected


def as_bytes(events: Sequence[NewEvent]) -> Columns:
    """For bytea: what was given."""
    if not events:
        raise EmptyAppend("an append needs at least one event")
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
    """Raise what an append function says went wrong, if it does."""
    match row["outcome"]:
        case "conflict":
            raise WrongExpectedVersion(stream, expected, row["version"])
        case "reused":
            raise EventIdReused(f"stream {stream!r}: an event id was written before, differently")


def bytes_of(value: bytes | str | None) -> bytes:
    """A payload as it came back."""
    if isinstance(value, str):
        return value.encode()
    return value or b""


def _text(payload: bytes) -> str:
    return payload.decode()

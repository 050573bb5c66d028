"""Events as DynamoDB's items, and back; the sizes that DynamoDB counts."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from harness.domain.errors import (
    AppendRefused,
    BatchTooLarge,
    EmptyAppend,
    EventIdReused,
    EventTooLarge,
)
from harness.domain.store import ExpectedVersion, NewEvent, Position, RecordedEvent, StreamState
from harness.stores.dynamodb.driver import Item

ITEM_BYTES_MAX = 400 * 1024
TRANSACTION_BYTES_MAX = 4 * 1024 * 1024
TRANSACTION_ITEMS_MAX = 100
STREAM = "S#"
"""The prefix of a stream's name in `PK`; other items of the table have other prefixes."""
LOG_PARTITION_EVENTS = 10_000
"""Positions in one partition of the log: the service splits its load by partition."""
KEY_BYTES_MAX = 2048
_KEYS_BYTES = 120
"""An upper bound for names and numbers of an event's attributes, also in a log's copy."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHUNK = 8


def s(value: str) -> Item:
    return {"S": value}


def n(value: int) -> Item:
    return {"N": str(value)}


def b(value: bytes) -> Item:
    """A binary value, which each driver encodes in its own way."""
    return {"B": value}


def bytes_of(value: Item) -> bytes:
    """The bytes of a binary value that either driver returned."""
    raw = value["B"]
    return raw if isinstance(raw, bytes) else base64.b64decode(raw)


def int_of(value: Item) -> int:
    return int(value["N"])


def partition(stream: str) -> str:
    """The partition key of a stream. Raises `AppendRefused` for an impossible name."""
    key = STREAM + stream
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise AppendRefused(f"stream name: {error}", reason="UnicodeEncodeError") from error
    if size > KEY_BYTES_MAX:
        raise AppendRefused(f"a stream name of {size} bytes", reason="KeyTooLong")
    return key


def key(pk: str, sk: int) -> Item:
    return {"PK": s(pk), "SK": n(sk)}


LOG_HEAD = key("L#head", 0)
"""The item that has the log's next position."""


def log_partition(position: int) -> str:
    """The partition key of the log's copy of an event."""
    return f"L#{position // LOG_PARTITION_EVENTS}"


def log_key(position: int) -> Item:
    """The primary key of the log's copy of an event."""
    return key(log_partition(position), position)


def payload(event: NewEvent) -> dict[str, Item]:
    """The event's own attributes, in any item."""
    attributes = {"id": b(event.id.bytes), "type": s(event.type), "data": b(event.data)}
    if event.metadata:
        attributes["metadata"] = b(event.metadata)
    return attributes


def put_new(table: str, item: Item) -> Item:
    """A transaction's put that never replaces an item."""
    condition = "attribute_not_exists(PK)"
    return {"Put": {"TableName": table, "Item": item, "ConditionExpression": condition}}


def recorded(item: Item, stream: str, version: int, position: Position, at: int) -> RecordedEvent:
    """An event from the attributes that `payload` made."""
    return RecordedEvent(
        UUID(bytes=bytes_of(item["id"])),
        stream,
        version,
        position,
        item["type"]["S"],
        bytes_of(item["data"]),
        bytes_of(item["metadata"]) if "metadata" in item else b"",
        _EPOCH + timedelta(microseconds=at),
    )


def now_us() -> int:
    """Microseconds since 1970 by this machine's clock: DynamoDB offers none."""
    return time.time_ns() // 1000


def same(event: NewEvent, written: RecordedEvent) -> bool:
    """Whether an event equals a recorded one, to the byte."""
    return (event.id, event.type, event.data, event.metadata) == (
        written.id,
        written.type,
        written.data,
        written.metadata,
    )


def check(
    stream: str, events: Sequence[NewEvent], *, events_max: int | None, bytes_max: int
) -> None:
    """Raises `AppendRefused` for an append that breaks a limit, before it is sent."""
    key_bytes = len(partition(stream).encode())
    if not events:
        raise EmptyAppend("an append needs at least one event")
    if events_max is not None and len(events) > events_max:
        raise BatchTooLarge(f"{len(events)} events; at most {events_max} fit into one append")
    sizes = [key_bytes + size_of(event) for event in events]
    if max(sizes) > ITEM_BYTES_MAX:
        raise EventTooLarge(f"an item of {max(sizes)} bytes; at most {ITEM_BYTES_MAX} are kept")
    if sum(sizes) > bytes_max:
        raise BatchTooLarge(f"{sum(sizes)} bytes; at most {bytes_max} fit into one append")
    if len(events) > 1 and len({event.id for event in events}) < len(events):
        raise EventIdReused("the same event id twice in one append")


def check_expected(expected: ExpectedVersion) -> None:
    """Raises `ValueError` for a number that is no version."""
    if not isinstance(expected, StreamState) and expected < 0:
        raise ValueError(f"expected version {expected}: versions count from 0")


def size_of(event: NewEvent) -> int:
    """Bytes of an event's item without the partition key."""
    try:
        type_bytes = len(event.type.encode())
    except UnicodeEncodeError as error:
        raise AppendRefused(f"event type: {error}", reason="UnicodeEncodeError") from error
    return _KEYS_BYTES + 16 + type_bytes + len(event.data) + len(event.metadata)


def token(stream: str, head: int, events: Sequence[NewEvent], *, salt: str = "") -> str:
    """A client request token of 36 characters: equal for the same events at the same place.

    With a token of the ids alone, an append that is retried after a newer head would count as
    a misuse of the first token.
    """
    digest = hashlib.sha256(f"{stream}\0{head}\0{salt}".encode())
    for event in events:
        for part in (event.id.bytes, event.type.encode(), event.data, event.metadata):
            digest.update(len(part).to_bytes(8))
            digest.update(part)
    return digest.hexdigest()[:36]


def place(pk: str, *numbers: int) -> Position:
    """A scan's position: the partition key as numbers, then the given numbers."""
    raw = pk.encode()
    chunks = (int.from_bytes(raw[at : at + _CHUNK]) for at in range(0, len(raw), _CHUNK))
    return Position((len(raw), *chunks, *numbers))


def place_parts(position: Position) -> tuple[str, tuple[int, ...]]:
    """The partition key and the numbers of a `place`."""
    size, *rest = position
    full, last = divmod(size, _CHUNK)
    sizes = [_CHUNK] * full + ([last] if last else [])
    raw = b"".join(one.to_bytes(length) for one, length in zip(rest, sizes, strict=False))
    return raw.decode(), tuple(rest[len(sizes) :])

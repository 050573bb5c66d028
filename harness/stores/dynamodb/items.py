"""Events as DynamoDB's items, and back; the sizes that DynamoDB counts."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from harness.errors import (
    AppendRefused,
    BatchTooLarge,
    EmptyAppend,
    EventIdReused,
    EventTooLarge,
)
from harness.store import ExpectedVersion, NewEvent, Position, RecordedEvent, StreamState
from harness.stores.dynamodb.driver import Item

ITEM_BYTES_MAX = 400 * 1024
TRANSACTION_BYTES_MAX = 4 * 1024 * 1024
TRANSACTION_ITEMS_MAX = 100
STREAM = "S#"
"""What stands before a stream's name in `PK`: other items of the table begin differently."""
KEY_BYTES_MAX = 2048
_KEYS_BYTES = 120
"""Names and numbers of an event's attributes, also of its copy in a log, counted generously."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHUNK = 8


def s(value: str) -> Item:
    """A string."""
    return {"S": value}


def n(value: int) -> Item:
    """A number."""
    return {"N": str(value)}


def b(value: bytes) -> Item:
    """Bytes, which the drivers spell as they must."""
    return {"B": value}


def bytes_of(value: Item) -> bytes:
    """Bytes, as either driver gives them back."""
    raw = value["B"]
    return raw if isinstance(raw, bytes) else base64.b64decode(raw)


def int_of(value: Item) -> int:
    """A number."""
    return int(value["N"])


def partition(stream: str) -> str:
    """The partition key of a stream. Raises `AppendRefused` where it cannot be one."""
    key = STREAM + stream
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise AppendRefused(f"stream name: {error}", reason="UnicodeEncodeError") from error
    if size > KEY_BYTES_MAX:
        raise AppendRefused(f"a stream name of {size} bytes", reason="KeyTooLong")
    return key


def key(pk: str, sk: int) -> Item:
    """A primary key."""
    return {"PK": s(pk), "SK": n(sk)}


def payload(event: NewEvent) -> dict[str, Item]:
    """What is the event's own, wherever it is kept."""
    kept = {"id": b(event.id.bytes), "type": s(event.type), "data": b(event.data)}
    if event.metadata:
        kept["metadata"] = b(event.metadata)
    return kept


def put_new(table: str, item: Item) -> Item:
    """A put of a transaction that never replaces anything."""
    condition = "attribute_not_exists(PK)"
    return {"Put": {"TableName": table, "Item": item, "ConditionExpression": condition}}


def recorded(item: Item, stream: str, version: int, position: Position, at: int) -> RecordedEvent:
    """An event from what `payload` made of it."""
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
    """Microseconds since 1970 by this machine's clock: DynamoDB has none to ask."""
    return time.time_ns() // 1000


def same(event: NewEvent, written: RecordedEvent) -> bool:
    """Whether an event is a recorded one, to the byte."""
    return (event.id, event.type, event.data, event.metadata) == (
        written.id,
        written.type,
        written.data,
        written.metadata,
    )


def check(
    stream: str, events: Sequence[NewEvent], *, events_max: int | None, bytes_max: int
) -> None:
    """Raise what forbids an append before anything is sent."""
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
        raise EventIdReused("an event id stands twice in one append")


def check_expected(expected: ExpectedVersion) -> None:
    """Raise `ValueError` for a number that is no version."""
    if not isinstance(expected, StreamState) and expected < 0:
        raise ValueError(f"expected version {expected}: versions count from 0")


def size_of(event: NewEvent) -> int:
    """Bytes of an event's item beside the partition key."""
    try:
        type_bytes = len(event.type.encode())
    except UnicodeEncodeError as error:
        raise AppendRefused(f"event type: {error}", reason="UnicodeEncodeError") from error
    return _KEYS_BYTES + 16 + type_bytes + len(event.data) + len(event.metadata)


def token(stream: str, head: int, events: Sequence[NewEvent], *, salt: str = "") -> str:
    """36 characters that name an append: the same events at the same place, nothing else.

    Of the ids alone, an append that is tried again behind a newer head would look like a
    misuse of the first one's token.
    """
    digest = hashlib.sha256(f"{stream}\0{head}\0{salt}".encode())
    for event in events:
        for part in (event.id.bytes, event.type.encode(), event.data, event.metadata):
            digest.update(len(part).to_bytes(8))
            digest.update(part)
    return digest.hexdigest()[:36]


def place(pk: str, *numbers: int) -> Position:
    """A scan's position: the partition key as numbers, then what stands behind it."""
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

"""Events as Kafka's messages, and back: the stream is the key, the data the value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from harness.errors import AppendRefused, EmptyAppend, EventTooLarge
from harness.store import NewEvent, Position, RecordedEvent

EVENT_LIMIT_BYTES = 1_000_000
"""Of everything in an event together: what a broker takes as it comes, less its own overhead."""
_MS = 1000.0
_VERSION_BYTES = 8

Headers = list[tuple[str, bytes]]


class Message(NamedTuple):
    """What a producer is given."""

    key: bytes
    value: bytes
    headers: Headers


class Record(Protocol):
    """What a consumer gets. As aiokafka has it: to make another object of each takes time."""

    @property
    def partition(self) -> int:
        """The number of its partition."""
        ...

    @property
    def offset(self) -> int:
        """Its place in the partition."""
        ...

    @property
    def timestamp(self) -> int:
        """The broker's clock when it was written, in milliseconds since 1970."""
        ...

    @property
    def key(self) -> bytes:
        """The stream's key."""
        ...

    @property
    def value(self) -> bytes:
        """The event's data."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """The event's id, type, metadata if any, and version if told, in this order."""
        ...


def key_of(stream: str) -> bytes:
    """A stream's key. Raises `AppendRefused` for text that has no UTF-8."""
    return _encoded(stream)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise AppendRefused(str(error), reason="UnicodeEncodeError") from error


def messages(stream: str, events: Sequence[NewEvent]) -> list[Message]:
    """One message an event, in their order."""
    if not events:
        raise EmptyAppend("an append needs at least one event")
    key = key_of(stream)
    return [Message(key, event.data, _headers(event, len(key))) for event in events]


def versioned(message: Message, version: int) -> Message:
    """The message, telling the version of its event."""
    header = ("version", version.to_bytes(_VERSION_BYTES))
    return Message(message.key, message.value, [*message.headers, header])


def told_version(record: Record) -> int:
    """The version that `versioned` wrote."""
    return int.from_bytes(record.headers[-1][1])


def recorded(record: Record, version: int, position: Position) -> RecordedEvent:
    """The event that a record holds."""
    headers = dict(record.headers)
    return RecordedEvent(
        UUID(bytes=headers["id"]),
        record.key.decode(),
        version,
        position,
        headers["type"].decode(),
        record.value,
        headers.get("metadata", b""),
        datetime.fromtimestamp(record.timestamp / _MS, UTC),
    )


def _headers(event: NewEvent, key_bytes: int) -> Headers:
    kind = _encoded(event.type)
    if len(event.data) + len(event.metadata) + len(kind) + key_bytes > EVENT_LIMIT_BYTES:
        raise EventTooLarge(f"over {EVENT_LIMIT_BYTES} bytes, as Kafka's brokers come")
    headers = [("id", event.id.bytes), ("type", kind)]
    if event.metadata:
        headers.append(("metadata", event.metadata))
    return headers

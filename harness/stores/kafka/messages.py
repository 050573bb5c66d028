"""Events as Kafka's messages, and back, and the partition that a stream is on."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, Protocol
from uuid import UUID

from harness.domain.errors import AppendRefused, EmptyAppend, EventTooLarge
from harness.domain.store import NewEvent, Position, RecordedEvent

EVENT_LIMIT_BYTES = 1_000_000
"""Limit on all parts of an event together: a broker's default, less its own overhead."""
_MS = 1000.0
_TEXTS_KEPT = 65_536
"""Streams and types of which the bytes, or the partition, are not made again."""
_VERSION_BYTES = 8

Headers = list[tuple[str, bytes]]


class Message(NamedTuple):
    """The arguments of a producer's send."""

    key: bytes
    value: bytes
    headers: Headers


class Record(Protocol):
    """A record as aiokafka returns it: converting each one would take time."""

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
        """In this order: the event's id, its type, metadata if any, its version if it is stated."""
        ...


def key_of(stream: str) -> bytes:
    """A stream's key. Raises `AppendRefused` for text that has no UTF-8."""
    return _encoded(stream)


@lru_cache(maxsize=_TEXTS_KEPT)
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
    """The message with the version of its event in a header."""
    header = ("version", version.to_bytes(_VERSION_BYTES))
    return Message(message.key, message.value, [*message.headers, header])


def header_version(record: Record) -> int:
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


_MASK = 0xFFFFFFFF
_FACTOR = 0x5BD1E995
_SEED = 0x9747B28C


@lru_cache(maxsize=_TEXTS_KEPT)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition that holds the stream with this key, in a topic of `partitions`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(key: bytes) -> int:
    """The hash, as an unsigned number of 32 bits."""
    whole = len(key) // 4 * 4
    value = _SEED ^ len(key)
    for (word,) in struct.iter_unpack("<I", key[:whole]):
        value = (value * _FACTOR & _MASK) ^ _scrambled(word)
    if whole < len(key):
        value = (value ^ int.from_bytes(key[whole:], "little")) * _FACTOR & _MASK
    value = (value ^ value >> 13) * _FACTOR & _MASK
    return value ^ value >> 15


def _scrambled(word: int) -> int:
    word = word * _FACTOR & _MASK
    return (word ^ word >> 24) * _FACTOR & _MASK

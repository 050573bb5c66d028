"""Appends of one transaction, decided on the owner's heads of streams and ids of events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.domain.errors import EventIdReused
from harness.domain.store import ExpectedVersion
from harness.stores._shared.append_rules import require_expected
from harness.stores.kafka.messages import (
    Headers,
    Message,
    Record,
    header_version,
    partition_of,
    versioned,
)

_OFFSET_BITS = 48
_VERSION_BITS = 32
_DIGEST_MASK = (1 << 64) - 1


class Known:
    """A written event: its place, and a digest of its content.

    Packed into one number: a million of them take 0.2 GB, as objects they would take 0.4.
    """

    __slots__ = ("digest", "offset", "version")

    def __init__(self, packed: int) -> None:
        self.version = packed & (1 << _VERSION_BITS) - 1
        self.offset = packed >> _VERSION_BITS & (1 << _OFFSET_BITS) - 1
        self.digest = packed >> _VERSION_BITS + _OFFSET_BITS


class Heads:
    """All of a topic up to `places`, the next offset of each partition."""

    def __init__(self, partitions: int) -> None:
        self.places = [0] * partitions
        self._versions: dict[bytes, int] = {}
        self._ids: dict[bytes, int] = {}

    def head(self, key: bytes) -> int | None:
        """The version of a stream's last event."""
        return self._versions.get(key)

    def known(self, identity: bytes) -> Known | None:
        """The event that has this id."""
        packed = self._ids.get(identity)
        return None if packed is None else Known(packed)

    def learn(self, page: Sequence[Record]) -> None:
        """Add the records of one partition. Inlined: a million calls would take noticeable time."""
        versions, ids = self._versions, self._ids
        for record in page:
            key, headers, version = record.key, record.headers, header_version(record)
            digest = hash((key, record.value, *headers[:-1])) & _DIGEST_MASK
            versions[key] = version
            ids[headers[0][1]] = (digest << _OFFSET_BITS | record.offset) << _VERSION_BITS | version
        if page:
            self.places[page[-1].partition] = page[-1].offset + 1

    def add(self, key: bytes, identity: bytes, version: int, offset: int, digest: int) -> None:
        """Add one event."""
        self._versions[key] = version
        self._ids[identity] = (digest << _OFFSET_BITS | offset) << _VERSION_BITS | version


def digest_of(message: Message) -> int:
    """64 bits of everything in an event but its version, good for this process only."""
    return hash((message.key, message.value, *message.headers)) & _DIGEST_MASK


def identity_of(headers: Headers) -> bytes:
    """An event's id."""
    return headers[0][1]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an append's last event is: its version, and its offset or number in the group."""

    version: int
    partition: int
    offset: int | None = None
    number: int = -1


@dataclass(slots=True)
class _New:
    """An event of this group."""

    message: Message
    version: int


class Group:
    """Appends to one topic, decided against its heads as if the group were written."""

    def __init__(self, heads: Heads) -> None:
        self._heads = heads
        self._events: list[_New] = []
        self._versions: dict[bytes, int] = {}
        self._numbers: dict[bytes, int] = {}

    @property
    def messages(self) -> list[Message]:
        """The messages to write."""
        return [versioned(event.message, event.version) for event in self._events]

    def place(self, stream: str, batch: Sequence[Message], expected: ExpectedVersion) -> Placed:
        """Add an append, unless it was written before. Raises `NotWritten`."""
        before = [self._seen(message) for message in batch]
        if any(one is not None for one in before):
            return _retried(stream, before)
        if len({identity_of(message.headers) for message in batch}) < len(batch):
            raise EventIdReused(f"stream {stream!r}: an event id twice in one append")
        key = batch[0].key
        head = self._versions.get(key, self._heads.head(key))
        require_expected(stream, expected, head)
        return self._add(key, batch, -1 if head is None else head)

    def written(self, offsets: Sequence[int]) -> None:
        """Update the heads after the group was written at these offsets."""
        heads = self._heads
        for event, offset in zip(self._events, offsets, strict=True):
            key, _, headers = event.message
            digest = digest_of(event.message)
            heads.add(key, identity_of(headers), event.version, offset, digest)
            partition = partition_of(key, len(heads.places))
            heads.places[partition] = max(heads.places[partition], offset + 1)

    def _add(self, key: bytes, batch: Sequence[Message], head: int) -> Placed:
        for version, message in enumerate(batch, head + 1):
            self._numbers[identity_of(message.headers)] = len(self._events)
            self._events.append(_New(message, version))
        self._versions[key] = head + len(batch)
        return self._placed(len(self._events) - 1)

    def _placed(self, number: int) -> Placed:
        event = self._events[number]
        partition = partition_of(event.message.key, len(self._heads.places))
        return Placed(event.version, partition, number=number)

    def _seen(self, message: Message) -> Placed | bool | None:
        """The place of the same event; False if another event has its id; `None` for a new id."""
        identity = identity_of(message.headers)
        number = self._numbers.get(identity)
        if number is not None:
            return self._placed(number) if self._events[number].message == message else False
        known = self._heads.known(identity)
        if known is None:
            return None
        if known.digest != digest_of(message):
            return False
        partition = partition_of(message.key, len(self._heads.places))
        return Placed(known.version, partition, offset=known.offset)


def _retried(stream: str, before: Sequence[Placed | bool | None]) -> Placed:
    """The place of a retry, which must repeat an append exactly."""
    places = [one for one in before if isinstance(one, Placed)]
    first = places[0].version if places else 0
    versions = [place.version for place in places]
    if len(places) < len(before) or versions != list(range(first, first + len(places))):
        raise EventIdReused(f"stream {stream!r}: an event id is already used by another append")
    return places[-1]

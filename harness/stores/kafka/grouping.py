"""One transaction in the making: appends placed one after the other, each seeing those before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import EventIdReused, WrongExpectedVersion
from harness.store import ExpectedVersion, StreamState
from harness.stores.kafka.heads import Heads, digest_of, identity_of
from harness.stores.kafka.messages import Message, versioned
from harness.stores.kafka.partitioning import partition_of


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
        """What is to be written."""
        return [versioned(event.message, event.version) for event in self._events]

    def place(self, stream: str, batch: Sequence[Message], expected: ExpectedVersion) -> Placed:
        """Add an append, or find it written before. Raises `NotWritten`."""
        before = [self._seen(message) for message in batch]
        if any(one is not None for one in before):
            return _retried(stream, before)
        if len({identity_of(message.headers) for message in batch}) < len(batch):
            raise EventIdReused(f"stream {stream!r}: an event id twice in one append")
        key = batch[0].key
        head = self._versions.get(key, self._heads.head(key))
        if not _holds(expected, head):
            raise WrongExpectedVersion(stream, expected, head)
        return self._add(key, batch, -1 if head is None else head)

    def written(self, offsets: Sequence[int]) -> None:
        """The group is in the log at these offsets: the heads learn of it."""
        heads = self._heads
        for event, offset in zip(self._events, offsets, strict=True):
            key, _, headers = event.message
            told = digest_of(event.message)
            heads.add(key, identity_of(headers), event.version, offset, told)
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
        """Where the very same event is; False if another has its id; `None` if nobody has."""
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
    """The place of a retry, which repeats an append exactly or is none."""
    places = [one for one in before if isinstance(one, Placed)]
    first = places[0].version if places else 0
    versions = [place.version for place in places]
    if len(places) < len(before) or versions != list(range(first, first + len(places))):
        raise EventIdReused(f"stream {stream!r}: an event id was written before, differently")
    return places[-1]


def _holds(expected: ExpectedVersion, head: int | None) -> bool:
    match expected:
        case StreamState.ANY:
            return True
        case StreamState.NO_STREAM:
            return head is None
        case StreamState.EXISTS:
            return head is not None
        case version:
            return head == version

"""What the two drivers offer alike, bound to one topic of one cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.store import Endpoint
from harness.stores.kafka.deadlines import Deadlines
from harness.stores.kafka.messages import Message, Record
from harness.stores.kafka.options import KafkaOptions


@dataclass(frozen=True, slots=True)
class Target:
    """A topic: where it is, how many partitions it has, and how it is used."""

    endpoint: Endpoint
    options: KafkaOptions
    partitions: int

    @property
    def topic(self) -> str:
        """Its name: the namespace."""
        return self.endpoint.namespace


class Producer(Protocol):
    """An idempotent producer."""

    async def send(self, messages: Sequence[Message]) -> None:
        """Write messages of one key, in their order. Raises `NotWritten` or `OutcomeUnknown`."""
        ...

    async def aclose(self) -> None:
        """Close, giving up on what was not acknowledged so far."""
        ...


class Fenced(Exception):
    """Another owner took over. `sent` tells whether a commit was under way."""

    def __init__(self, *, committing: bool) -> None:
        super().__init__("another owner took the partitions over")
        self.committing = committing


class Transactions(Protocol):
    """A transactional producer. A call that was begun is awaited to its end, never cancelled."""

    async def open(self) -> None:
        """Become the owner: any other is fenced, and its open transaction aborted."""
        ...

    async def write(self, messages: Sequence[Message]) -> list[int]:
        """Write all in one transaction; their offsets. Raises `Fenced`, or the driver's errors."""
        ...

    async def aclose(self) -> None:
        """Close, whatever state it is in."""
        ...


class Consumer(Protocol):
    """Reads partitions from given offsets; sees committed records only."""

    places: dict[int, int]
    """The next offset of each assigned partition, beyond what is no record."""

    async def assign(self, starts: Mapping[int, int]) -> None:
        """Read these partitions from these offsets on; none to rest."""
        ...

    async def poll(self, *, within_s: float) -> list[Record]:
        """The next records, in each partition's order; none after `within_s` without any."""
        ...

    async def aclose(self) -> None:
        """Close."""
        ...


class Administrator(Protocol):
    """Makes and removes the topic, and reads settings."""

    async def create(self, settings: Mapping[str, str]) -> None:
        """Make the topic and wait until it can be written."""
        ...

    async def delete(self) -> None:
        """Remove the topic, if it is there."""
        ...

    async def exists(self) -> bool:
        """Whether the topic is there."""
        ...

    async def ends(self, partitions: Sequence[int]) -> dict[int, int]:
        """Where each partition ends now, records of open transactions included.

        A commit is acknowledged before its marker is in the partition: a reader that went
        only as far as what is committed would miss what was acknowledged a moment ago.
        """
        ...

    async def settings(self) -> dict[str, str]:
        """The topic's settings as the broker applies them."""
        ...

    async def aclose(self) -> None:
        """Close."""
        ...


class Driver(Protocol):
    """Opens clients for one target. Their errors are `StoreError`s."""

    async def administrator(self) -> Administrator:
        """Raises `StoreUnavailable` if nobody answers."""
        ...

    async def producer(self, deadlines: Deadlines) -> Producer:
        """Raises `StoreUnavailable` if nobody answers."""
        ...

    def transactions(self) -> Transactions:
        """Not yet opened."""
        ...

    async def consumer(self, *, waiting: bool) -> Consumer:
        """`waiting`: let the broker hold a fetch until something comes."""
        ...

"""`kafka`: a topic keyed by stream, as teams use it. It declares that it compares no versions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar, Self

from harness.domain import marks
from harness.domain.durability import Durability
from harness.domain.errors import Unsuitable, UnsupportedByStore, require_as_asked
from harness.domain.store import (
    UNTOLD,
    AppendResult,
    Endpoint,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    OpenTransaction,
    Position,
    RecordedEvent,
    StreamState,
)
from harness.stores.kafka.clients import Administrator, Clients
from harness.stores.kafka.deadlines import BrokerProbe, Deadlines
from harness.stores.kafka.driver import Target
from harness.stores.kafka.messages import EVENT_LIMIT_BYTES, messages
from harness.stores.kafka.open_transactions import TopicTransaction
from harness.stores.kafka.options import (
    FACTS,
    KafkaOptions,
    durability_of,
    requested_settings,
    topic_settings,
)
from harness.stores.kafka.producer import Producer
from harness.stores.kafka.reading import Reading, Scanner


class Connection:
    """What both designs need of a cluster."""

    def __init__(self, target: Target, clients: Clients, administrator: Administrator) -> None:
        self.target, self.clients, self.administrator = target, clients, administrator
        self._probe = BrokerProbe(target.endpoint.address)
        deadline_s = target.options.deadline_s
        self.deadlines = Deadlines(self._probe, deadline_s)
        self.scanner = Scanner(clients, administrator, self._probe, deadline_s)

    @classmethod
    async def open(cls, endpoint: Endpoint, options: KafkaOptions, *, partitions: int) -> Self:
        """Raises `StoreUnavailable` if no server answers."""
        target = Target(endpoint, options, partitions)
        await BrokerProbe(endpoint.address).require()
        clients = Clients(target)
        return cls(target, clients, await clients.administrator())

    async def close(self) -> None:
        """Close everything that is open."""
        self.deadlines.close()
        await self.scanner.close()
        await self.administrator.aclose()


_NO_RESULT = AppendResult(UNTOLD, None)


class TopicStore:
    """What both designs share: the topic, and reading it."""

    partitions: ClassVar[int]
    """The default number of partitions."""
    counting: ClassVar[bool]
    """Versions are counted on reading; else the records state them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reading = Reading(
            connection.scanner, connection.target.partitions, counting=self.counting
        )

    @classmethod
    def _partitions(cls, options: KafkaOptions) -> int:
        return options.partitions or cls.partitions

    @staticmethod
    def durability_of(settings: Mapping[str, str]) -> Durability:
        return durability_of(settings)

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: KafkaOptions) -> Self:
        """Open one connection; producers and consumers are opened as they are needed."""
        partitions = cls._partitions(options)
        return cls(await Connection.open(endpoint, options, partitions=partitions))

    async def setup(self) -> None:
        """Make the topic. Raises `Unsuitable` where it is not as it was asked to be."""
        settings = topic_settings(self._connection.target.options)
        administrator = self._connection.administrator
        await administrator.create(settings)
        asked = settings | {"partitions": str(self._connection.target.partitions)}
        found = await administrator.settings() | {"partitions": str(await administrator.width())}
        try:
            require_as_asked("Kafka", asked, found)
        except Unsuitable:
            await administrator.delete()
            raise

    async def teardown(self) -> None:
        """Delete the topic."""
        await self._connection.scanner.close()
        await self._connection.administrator.delete()

    async def namespaces(self) -> Sequence[str]:
        """Topics of labs."""
        names = await self._connection.administrator.topics()
        return sorted(name for name in names if name.startswith(marks.PREFIX))

    async def settings(self) -> Mapping[str, str]:
        """The topic's settings and the broker's version, where the lab knows it."""
        settings = await self._connection.administrator.settings()
        version = self._connection.target.endpoint.version or "unknown: Kafka does not report it"
        return {**settings, "version": version}

    async def aclose(self) -> None:
        """Close every client."""
        await self._connection.close()

    def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """A scan of the stream's whole partition."""
        return self._reading.stream(stream, start, limit, backwards=backwards)

    def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """One partition after the other, as they are at the first step."""
        return self._reading.log(after, limit)

    def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """By fetches that the broker answers once there are events."""
        return self._reading.follow(after, category)


class KeyedTopic(TopicStore):
    """One message an event, partitioned by stream, sent by an idempotent producer."""

    partitions = 4
    counting = True

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._producer: Producer | None = None
        self._opening = asyncio.Lock()

    @classmethod
    def declares(cls, options: KafkaOptions) -> Guarantees:
        """Order within a partition, and no more."""
        return Guarantees(
            occ="none",
            occ_note="Kafka has no conditional produce: any expected version is refused",
            tells_version=False,
            atomic_append=False,
            global_order="total" if cls._partitions(options) == 1 else "per-partition",
            gap_free_read=True,
            idempotency="none",
            stream_read="scan",
            subscription="push",
            append_only="by-convention",
            durability=durability_of(requested_settings(options)),
            writers="many",
            event_limit_bytes=EVENT_LIMIT_BYTES,
            facts=FACTS,
        )

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Send all of `events`; a failure may leave the first of them written."""
        batch = messages(stream, events)
        if expected is not StreamState.ANY:
            _refuse(expected)
        if self._connection.deadlines.down:
            await self._connection.deadlines.require()
        producer = self._producer
        if producer is None or producer.ended:
            producer = await self._opened()
        await producer.send(batch)
        return _NO_RESULT

    async def teardown(self) -> None:
        """Delete the topic."""
        await self._close_producer()
        await super().teardown()

    async def aclose(self) -> None:
        """Close every client; messages without an acknowledgement are given up."""
        self._connection.deadlines.close()
        await self._close_producer()
        await super().aclose()

    async def open_transaction(self, *, early: bool = False) -> OpenTransaction:  # noqa: ARG002
        """Begin a transaction. `early` has no effect: Kafka's transactions have no common order."""
        return await TopicTransaction.begin(self._connection.target)

    async def _opened(self) -> Producer:
        async with self._opening:
            if self._producer is not None and self._producer.ended:
                await self._close_producer()
            if self._producer is None:
                connection = self._connection
                self._producer = await connection.clients.producer(connection.deadlines)
            return self._producer

    async def _close_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.aclose()


def _refuse(expected: ExpectedVersion) -> None:
    if isinstance(expected, int) and expected < 0:
        raise ValueError(f"expected version {expected}: versions count from 0")
    raise UnsupportedByStore("Kafka cannot compare an expected version when it writes")

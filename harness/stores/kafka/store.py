"""`kafka`: a topic keyed by stream, as teams use it. It cannot compare versions, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar, Self

from harness.errors import UnsupportedByStore
from harness.store import (
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
from harness.stores.kafka.aio.held import HeldTransaction
from harness.stores.kafka.clients import Producer
from harness.stores.kafka.connection import Connection
from harness.stores.kafka.durability import durability_of, topic_settings
from harness.stores.kafka.facts import FACTS
from harness.stores.kafka.messages import EVENT_LIMIT_BYTES, messages
from harness.stores.kafka.options import KafkaOptions
from harness.stores.kafka.reading import Reading

_NO_RESULT = AppendResult(UNTOLD, None)


class TopicStore:
    """What both designs share: the topic, and reading it."""

    partitions: ClassVar[int]
    """Where the options say nothing."""
    counting: ClassVar[bool]
    """Versions are counted on reading; else the records tell them."""

    durability_of = staticmethod(durability_of)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reading = Reading(
            connection.scanner, connection.target.partitions, counting=self.counting
        )

    @classmethod
    def _partitions(cls, options: KafkaOptions) -> int:
        return options.partitions or cls.partitions

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: KafkaOptions) -> Self:
        """Open one connection; producers and consumers are opened as they are needed."""
        partitions = cls._partitions(options)
        return cls(await Connection.open(endpoint, options, partitions=partitions))

    async def setup(self) -> None:
        """Make the topic."""
        settings = topic_settings(self._connection.target.options)
        await self._connection.administrator.create(settings)

    async def teardown(self) -> None:
        """Delete the topic."""
        await self._connection.scanner.close()
        await self._connection.administrator.delete()

    async def settings(self) -> Mapping[str, str]:
        """The topic's settings and the broker's version, where the lab knows it."""
        found = await self._connection.administrator.settings()
        version = self._connection.target.endpoint.version or "not told by Kafka"
        return {**found, "version": version}

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
        """Fetches that the broker holds until there is something."""
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
            durability=durability_of(topic_settings(options)),
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
        producer = self._producer or await self._opened()
        await producer.send(batch)
        return _NO_RESULT

    async def teardown(self) -> None:
        """Delete the topic."""
        await self._close_producer()
        await super().teardown()

    async def aclose(self) -> None:
        """Close every client; what nobody acknowledged is given up."""
        self._connection.deadlines.close()
        await self._close_producer()
        await super().aclose()

    async def open_transaction(self, *, early: bool = False) -> OpenTransaction:  # noqa: ARG002
        """Through aiokafka. A transaction has a number of its own, but none among the others."""
        return await HeldTransaction.begin(self._connection.target)

    async def _opened(self) -> Producer:
        async with self._opening:
            if self._producer is None:
                connection = self._connection
                self._producer = await connection.driver.producer(connection.deadlines)
            return self._producer

    async def _close_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.aclose()


def _refuse(expected: ExpectedVersion) -> None:
    if isinstance(expected, int) and expected < 0:
        raise ValueError(f"expected version {expected}: versions count from 0")
    raise UnsupportedByStore("Kafka cannot compare an expected version when it writes")

"""aiokafka's clients for one target."""

from __future__ import annotations

from harness.stores.kafka.aio.administrator import AioAdministrator
from harness.stores.kafka.aio.consuming import PAGE_RECORDS, AioConsumer
from harness.stores.kafka.aio.driver import aiokafka, connection, part, started
from harness.stores.kafka.aio.producing import BATCH_BYTES, AioProducer
from harness.stores.kafka.aio.transactions import AioTransactions
from harness.stores.kafka.clients import Target
from harness.stores.kafka.deadlines import Deadlines

_FETCH_BYTES = 8 << 20
_HELD_MS = 500
_SCAN_HELD_MS = 5
"""A broker answers one request of a connection at a time: a held fetch delays the next."""


class AioClients:
    """Opens aiokafka's clients."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._deadline_s = target.options.deadline_s
        self._connection = connection(target.endpoint, deadline_s=self._deadline_s)

    async def administrator(self) -> AioAdministrator:
        """For everything about the topic but its records."""
        admin = part("admin")
        client = admin.AIOKafkaAdminClient(**self._connection)
        await started(client, deadline_s=self._deadline_s)
        return AioAdministrator(client, self._target)

    async def producer(self, deadlines: Deadlines) -> AioProducer:
        """Idempotent, acknowledged by all in-sync replicas, without lingering."""
        producer = aiokafka.AIOKafkaProducer(
            **self._connection,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
        )
        await started(producer, deadline_s=self._deadline_s)
        return AioProducer(producer, self._target, deadlines)

    def transactions(self) -> AioTransactions:
        """Not yet opened."""
        return AioTransactions(self._target)

    async def consumer(self, *, waiting: bool) -> AioConsumer:
        """Sees committed records only, and belongs to no group."""
        consumer = aiokafka.AIOKafkaConsumer(
            **self._connection,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_poll_records=PAGE_RECORDS,
            max_partition_fetch_bytes=_FETCH_BYTES,
            fetch_max_wait_ms=_HELD_MS if waiting else _SCAN_HELD_MS,
        )
        await started(consumer, deadline_s=self._deadline_s)
        return AioConsumer(consumer, self._target)

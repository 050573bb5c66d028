"""confluent-kafka's clients for one target."""

from __future__ import annotations

from harness.stores.kafka.clients import Target
from harness.stores.kafka.deadlines import Deadlines
from harness.stores.kafka.rd.administrator import RdAdministrator
from harness.stores.kafka.rd.consuming import RdConsumer
from harness.stores.kafka.rd.driver import (
    MS_A_SECOND,
    Settings,
    administration,
    confluent_kafka,
    connection,
)
from harness.stores.kafka.rd.producing import RdProducer
from harness.stores.kafka.rd.transactions import RdTransactions

TRANSACTION_LIMIT_S = 15
"""An owner that died in one holds every reader of the topic so long."""
_PRODUCING: Settings = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 0,
    # What arrives while a request is under way goes together in the next, as with aiokafka; with
    # five of them, each message starts a small one of its own.
    "max.in.flight": 1,
    # Its own default, crc32, would put a stream elsewhere than every other client does.
    "partitioner": "murmur2_random",
    "message.max.bytes": 1_048_576,
}
_CONSUMING: Settings = {
    # Belongs to no group, but librdkafka wants a name for one.
    "group.id": "eslab",
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    # 1 s as it comes: four times as long for a million small events.
    "fetch.queue.backoff.ms": 10,
    "fetch.message.max.bytes": 8 << 20,
}
_HELD_MS = 500
_SCAN_HELD_MS = 5


class RdClients:
    """Opens confluent-kafka's clients."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connection = connection(target.endpoint)
        self._limit_ms = max(1, round(target.options.deadline_s * MS_A_SECOND))

    async def administrator(self) -> RdAdministrator:
        """For everything about the topic but its records."""
        admin = administration()
        administrator = RdAdministrator(admin.AdminClient(self._connection), self._target)
        await administrator.reach()
        return administrator

    async def producer(self, deadlines: Deadlines) -> RdProducer:
        """Idempotent, acknowledged by all in-sync replicas, without lingering."""
        settings = self._connection | _PRODUCING | {"message.timeout.ms": self._limit_ms}
        return RdProducer(confluent_kafka.Producer(settings), self._target, deadlines)

    def transactions(self) -> RdTransactions:
        """Not yet opened."""
        transaction_ms = TRANSACTION_LIMIT_S * MS_A_SECOND
        own = {"transactional.id": self._target.topic, "transaction.timeout.ms": transaction_ms}
        return RdTransactions(self._target, self._connection | _PRODUCING | own)

    async def consumer(self, *, waiting: bool) -> RdConsumer:
        """Sees committed records only."""
        held_ms = _HELD_MS if waiting else _SCAN_HELD_MS
        settings = self._connection | _CONSUMING | {"fetch.wait.max.ms": held_ms}
        return RdConsumer(confluent_kafka.Consumer(settings), self._target)

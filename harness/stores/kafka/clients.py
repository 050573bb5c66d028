"""aiokafka's clients of one topic: administration, reading, transactions; and who opens them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import chain
from typing import Any

from harness.domain.errors import (
    AppendRefused,
    ReadFailed,
    ReadTimeout,
    StoreError,
)
from harness.stores._shared.driver_errors import Mapped, Table
from harness.stores.kafka.deadlines import Deadlines
from harness.stores.kafka.driver import (
    MS_A_SECOND,
    Target,
    closed,
    connection,
    part,
    reading,
    started,
)
from harness.stores.kafka.errors import (
    READING,
    Fenced,
    aiokafka,
    appends,
    errors,
    uncommitted,
)
from harness.stores.kafka.messages import Message, Record, partition_of
from harness.stores.kafka.producer import BATCH_BYTES, Producer, closed_in_silence, seen

_POLL_S = 0.01
_LEADERLESS = -1


class Administrator:
    """One connection for everything about the topic except its records."""

    def __init__(self, client: Any, target: Target) -> None:
        self._client, self._target = client, target
        self._rulers: dict[str, Any] = {}
        """By isolation level."""
        self._admin = part("admin")

    async def create(self, settings: Mapping[str, str]) -> None:
        """Make the topic and wait until each partition has a leader."""
        target = self._target
        topic = self._admin.NewTopic(
            name=target.topic,
            num_partitions=target.partitions,
            replication_factor=1,
            topic_configs=dict(settings),
        )
        answer = await self._ask(self._client.create_topics([topic], self._limit_ms))
        for name, code, *reasons in answer.topic_errors:
            if code:
                why = reasons[0] if reasons and reasons[0] else f"error {code}"
                raise AppendRefused(f"topic {name!r} was not made: {why}", reason="CreateTopics")
        while True:
            if await self._led():
                return
            await asyncio.sleep(_POLL_S)

    async def delete(self) -> None:
        """Remove the topic, if it is there."""
        await self._ask(self._client.delete_topics([self._target.topic], self._limit_ms))
        while True:
            if not await self.exists():
                return
            await asyncio.sleep(_POLL_S)

    async def exists(self) -> bool:
        """Whether the cluster knows the topic."""
        return not (await self._described())["error_code"]

    async def width(self) -> int:
        """The topic's number of partitions."""
        return len((await self._described())["partitions"])

    async def topics(self) -> list[str]:
        """The names of all topics."""
        names: list[str] = await self._ask(self._client.list_topics())
        return names

    async def ends(self, partitions: Sequence[int]) -> dict[int, int]:
        """Where each partition ends, once the transactions that are open now have ended.

        An end inside an open transaction would show a part of it. Raises `ReadTimeout`.
        """
        topic = self._target.topic
        named = [aiokafka.TopicPartition(topic, partition) for partition in partitions]
        written = await self._offsets("read_uncommitted", named)
        until_s = time.monotonic() + self._target.options.deadline_s
        while True:
            stable = await self._offsets("read_committed", named)
            if all(stable[place] >= written[place] for place in named):
                return {place.partition: stable[place] for place in named}
            if time.monotonic() > until_s:
                raise ReadTimeout("Kafka: a transaction was open until the deadline")
            await asyncio.sleep(_POLL_S)

    async def _offsets(self, isolation: str, named: Sequence[Any]) -> dict[Any, int]:
        if isolation not in self._rulers:
            self._rulers[isolation] = await self._opened_ruler(isolation)
        offsets: dict[Any, int] = await self._ask(self._rulers[isolation].end_offsets(named))
        return offsets

    async def settings(self) -> dict[str, str]:
        """The topic's settings, the broker's defaults included."""
        kind = self._admin.config_resource.ConfigResourceType.TOPIC
        resource = self._admin.config_resource.ConfigResource(kind, self._target.topic)
        (answer,) = await self._ask(self._client.describe_configs([resource]))
        _, why, _, _, entries = answer.resources[0]
        if not entries:
            raise ReadFailed(f"no settings of topic {self._target.topic!r}: {why}")
        return {entry[0]: entry[1] for entry in entries if entry[1]}

    async def aclose(self) -> None:
        """Close the connection."""
        await closed(self._client)
        for ruler in self._rulers.values():
            await closed(ruler)

    async def _opened_ruler(self, isolation: str) -> Any:
        """A consumer that only looks up offsets."""
        deadline_s = self._target.options.deadline_s
        settings = connection(self._target.endpoint, deadline_s=deadline_s)
        consumer = aiokafka.AIOKafkaConsumer(**settings, isolation_level=isolation)
        return await started(consumer, deadline_s=deadline_s)

    async def _led(self) -> bool:
        topic = await self._described()
        partitions = topic["partitions"]
        return not topic["error_code"] and all(each["leader"] != _LEADERLESS for each in partitions)

    async def _described(self) -> dict[str, Any]:
        topics: list[dict[str, Any]] = await self._ask(
            self._client.describe_topics([self._target.topic])
        )
        return topics[0]

    @property
    def _limit_ms(self) -> int:
        return round(self._target.options.deadline_s * MS_A_SECOND)

    async def _ask(self, call: Any) -> Any:
        return await reading(call, deadline_s=self._target.options.deadline_s)


PAGE_RECORDS = 1000


class Consumer:
    """One consumer of one topic."""

    def __init__(self, consumer: Any, target: Target) -> None:
        self._consumer, self._target = consumer, target
        self.places: dict[int, int] = {}

    async def assign(self, starts: Mapping[int, int]) -> None:
        """Read these partitions from these offsets on; none of them to stop reading."""
        self.places = dict(starts)
        self._consumer.assign([*map(self._named, starts)])
        for partition, offset in starts.items():
            self._consumer.seek(self._named(partition), offset)

    async def poll(self, *, within_s: float) -> list[Record]:
        """The next records."""
        with READING:
            records = await self._consumer.getmany(
                timeout_ms=round(within_s * MS_A_SECOND), max_records=PAGE_RECORDS
            )
            for partition in self.places:
                self.places[partition] = await self._consumer.position(self._named(partition))
        return [*chain.from_iterable(records.values())]

    async def aclose(self) -> None:
        """Close the connection."""
        await closed(self._consumer)

    def _named(self, partition: int) -> Any:
        return aiokafka.TopicPartition(self._target.topic, partition)


TRANSACTION_LIMIT_S = 15
"""Time until the broker aborts the transaction of a dead owner, which blocks every reader."""
PATCHED_BACKOFF_S = 0.001
_STOCK_BACKOFF_S = 0.02


def _fenced(_: BaseException) -> Fenced:
    return Fenced(committing=False)


def _fenced_in_commit(_: BaseException) -> Fenced:
    return Fenced(committing=True)


@cache
def _writes() -> Table:
    fenced: Table = {aiokafka.errors.ProducerFenced: _fenced, AssertionError: _fenced}
    return {**fenced, **uncommitted()}


@cache
def _commits() -> Table:
    return {aiokafka.errors.ProducerFenced: _fenced_in_commit, **appends()}


_WRITING, _COMMITTING = Mapped(_writes), Mapped(_commits)


class Transactions:
    """The owner of a topic's partitions, until another process opens the same."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._producer: Any = None

    async def open(self) -> None:
        """Fence any other owner."""
        self._choose_backoff()
        producer = aiokafka.AIOKafkaProducer(
            **connection(self._target.endpoint, deadline_s=self._target.options.deadline_s),
            transactional_id=self._target.topic,
            transaction_timeout_ms=TRANSACTION_LIMIT_S * MS_A_SECOND,
            max_batch_size=BATCH_BYTES,
        )
        self._producer = await started(producer, deadline_s=self._target.options.deadline_s)

    def _choose_backoff(self) -> None:
        """Set the pause for this whole process: aiokafka has it as a constant of a module."""
        sender = part("producer.sender")
        patched = self._target.options.backoff == "patched"
        sender.BACKOFF_OVERRIDE = PATCHED_BACKOFF_S if patched else _STOCK_BACKOFF_S

    async def write(self, messages: Sequence[Message]) -> list[int]:
        """Begin, send, commit; abort where a message was refused."""
        answers: list[Any] = []
        try:
            with _WRITING:
                await self._producer.begin_transaction()
                for message in messages:
                    answers.append(await self._send(message))
                    answers[-1].add_done_callback(seen)
                # A commit does not check that each message arrived.
                offsets = [(await answer).offset for answer in answers]
        except StoreError:
            await self._abort()
            raise
        await self._commit()
        return offsets

    async def _send(self, message: Message) -> Any:
        key, value, headers = message
        partition = partition_of(key, self._target.partitions)
        return await self._producer.send(self._target.topic, value, key, partition, headers=headers)

    async def _commit(self) -> None:
        with _COMMITTING:
            await self._producer.commit_transaction()

    async def _abort(self) -> None:
        """Abort the transaction; if that fails, the next owner's start aborts it."""
        with suppress(AssertionError, *errors()):
            await self._producer.abort_transaction()

    async def aclose(self) -> None:
        """Close, whatever state it is in."""
        if self._producer is not None:
            await closed_in_silence(self._producer)


def _nothing_to_wait_for() -> asyncio.Future[None]:
    over = asyncio.get_running_loop().create_future()
    over.set_result(None)
    return over


_FETCH_BYTES = 8 << 20
_HELD_MS = 500
_SCAN_HELD_MS = 5
"""A broker answers one request of a connection at a time: a waiting fetch delays the next."""


class Clients:
    """Opens aiokafka's clients."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._deadline_s = target.options.deadline_s
        self._connection = connection(target.endpoint, deadline_s=self._deadline_s)

    async def administrator(self) -> Administrator:
        """A connection for everything about the topic except its records."""
        admin = part("admin")
        client = admin.AIOKafkaAdminClient(**self._connection)
        await started(client, deadline_s=self._deadline_s)
        return Administrator(client, self._target)

    async def producer(self, deadlines: Deadlines) -> Producer:
        """Idempotent, acknowledged by all in-sync replicas, without lingering."""
        producer = aiokafka.AIOKafkaProducer(
            **self._connection,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
        )
        await started(producer, deadline_s=self._deadline_s)
        # A sender that dies fails the transaction's end, too, and this producer has no transaction.
        producer._txn_manager._transaction_waiter = _nothing_to_wait_for()
        return Producer(producer, self._target, deadlines)

    def transactions(self) -> Transactions:
        """Transactions on the topic, not yet opened."""
        return Transactions(self._target)

    async def consumer(self, *, waiting: bool) -> Consumer:
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
        return Consumer(consumer, self._target)

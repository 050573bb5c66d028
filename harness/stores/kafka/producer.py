"""Appends through aiokafka's producer: the batches that share a request, and those who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import copy
from itertools import chain
from typing import Any

from harness.domain.errors import NotSent, OutcomeUnknown
from harness.stores.kafka.deadlines import Deadlines, all_answered
from harness.stores.kafka.driver import Target, closed
from harness.stores.kafka.errors import APPENDING, aiokafka
from harness.stores.kafka.messages import Message, partition_of

BATCH_BYTES = 262_144
"""All waiting messages of a partition go in one request; with 16 KB, 256 callers take turns."""


class _Batch:
    """Messages of one partition that share a request, and those who wait for it."""

    def __init__(self, builder: Any) -> None:
        self.builder = _closed_when_numbered(builder)
        self.queued = asyncio.Event()
        """Set when the driver has it, or has refused it."""
        self._answers: list[asyncio.Future[None]] = []
        self._new_answer = asyncio.get_running_loop().create_future

    def takes(self, message: Message) -> bool:
        """Add the message, unless the batch is full or with the broker already."""
        key, value, headers = message
        added = self.builder.append(timestamp=None, key=key, value=value, headers=headers)
        return added is not None

    def answer(self) -> asyncio.Future[None]:
        """Done when the broker has acknowledged the batch."""
        answer = self._new_answer()
        self._answers.append(answer)
        return answer

    def acknowledge(self) -> None:
        """The broker has it."""
        for answer in self._answers:
            if not answer.done():
                answer.set_result(None)

    def fail(self, error: BaseException) -> None:
        """Raise the error at everybody who waits."""
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(copy(error))


def _closed_when_numbered(builder: Any) -> Any:
    """aiokafka numbers a batch by its messages when it takes it, and builds the request later.

    A message that came between the two would leave the numbers of the next batch out of order.
    """
    number = builder._set_producer_state

    def close_and_number(*numbers: int) -> None:
        builder.close()
        number(*numbers)

    builder._set_producer_state = close_and_number
    return builder


class Producer:
    """A producer of one topic.

    Callers put their messages into the partition's open batch, which the driver takes along with
    its next request: a future for each append, and none of the driver's calls for each message.
    It never gives up a message, so a message may still be written after its caller timed out.
    """

    def __init__(self, producer: Any, target: Target, deadlines: Deadlines) -> None:
        self._producer, self._topic = producer, target.topic
        self._partitions, self._watch = target.partitions, deadlines.add
        self._open: dict[int, _Batch] = {}
        self._deliveries: set[asyncio.Task[None]] = set()

    async def send(self, messages: Sequence[Message]) -> None:
        """Send all of them, then wait for the batches that have them."""
        try:
            if len(messages) == 1 and (answer := self._taken(messages[0])):
                self._watch(answer)
                await answer
            else:
                await self._send_all(messages)
        except BaseException as raised:  # without a block of APPENDING, which each append would pay
            meant = APPENDING.error(raised)
            if meant:
                raise meant from raised
            raise

    def _taken(self, message: Message) -> asyncio.Future[None] | None:
        """The answer to a message for which the open batch has room: nothing is waited for."""
        batch = self._open.get(partition_of(message.key, self._partitions))
        return batch.answer() if batch is not None and batch.takes(message) else None

    async def _send_all(self, messages: Sequence[Message]) -> None:
        answers = await self.hand_over(messages)
        for answer in answers:
            self._watch(answer)
        if len(answers) == 1:
            await answers[0]
            return
        for error in await all_answered(answers):
            raise error

    async def hand_over(self, messages: Sequence[Message]) -> list[asyncio.Future[None]]:
        """Put all of them, of one stream, into batches; an answer for each batch."""
        partition = partition_of(messages[0].key, self._partitions)
        answers: list[asyncio.Future[None]] = []
        last = None
        try:
            for message in messages:
                batch = self._open.get(partition)
                while batch is None or not batch.takes(message):
                    batch = await self._opened(partition, batch)
                if batch is not last:
                    answers.append(batch.answer())
                    last = batch
        except BaseException:
            for answer in answers:
                answer.add_done_callback(seen)  # nobody waits for the others any more
            raise
        return answers

    async def _opened(self, partition: int, full: _Batch | None) -> _Batch:
        """The next open batch, made by whoever needs it first; only one waits for the driver."""
        if full is not None:
            await full.queued.wait()
        batch = self._open.get(partition)
        if batch is full:
            batch = self._open[partition] = _Batch(self._producer.create_batch())
            delivery = asyncio.create_task(self._deliver(batch, partition))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)
        assert batch is not None
        return batch

    async def _deliver(self, batch: _Batch, partition: int) -> None:
        try:
            send = self._producer.send_batch
            delivered = await send(batch.builder, self._topic, partition=partition)
            batch.queued.set()
            await delivered
        except aiokafka.errors.KafkaTimeoutError:
            batch.fail(NotSent("the queue of messages to send is full"))
        except asyncio.CancelledError:
            batch.fail(OutcomeUnknown("Kafka: the store was closed"))
            raise
        except Exception as error:
            batch.fail(error)
        else:
            batch.acknowledge()
        finally:
            batch.builder.close()
            batch.queued.set()

    @property
    def ended(self) -> bool:
        """Whether the driver's sender has ended, by an error of its own or one for good.

        From then on each message is refused at once, whatever the broker does.
        """
        task = self._producer._sender.sender_task
        return task is not None and bool(task.done())

    async def aclose(self) -> None:
        """Wait a moment for messages on their way, then close."""
        await closed_in_silence(self._producer)
        for delivery in self._deliveries:
            delivery.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)


async def closed_in_silence(producer: Any) -> None:
    """Close it; asyncio says nothing of what its sender's death has failed and nobody awaits."""
    waiters = _waiters(producer)
    await closed(producer)
    for each in (*waiters, *_waiters(producer)):
        if each.done():
            seen(each)


def _waiters(producer: Any) -> list[Any]:
    """What nobody awaits, and what a sender that dies fails nevertheless."""
    unsent, transaction = producer._message_accumulator, producer._txn_manager
    batches = [*chain.from_iterable(unsent._batches.values()), *unsent._pending_batches]
    ending = transaction._transaction_waiter
    return [*(batch._drain_waiter for batch in batches), *([ending] if ending else [])]


def seen(answer: Any) -> None:
    """Only the first error of several messages is raised; keep asyncio from logging the others."""
    if not answer.cancelled():
        answer.exception()

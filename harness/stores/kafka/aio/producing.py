"""Awaited sends with aiokafka's idempotent producer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.errors import NotSent
from harness.stores.kafka.aio.driver import aiokafka, append_error, closed, errors
from harness.stores.kafka.clients import Target
from harness.stores.kafka.deadlines import Deadlines, all_answered
from harness.stores.kafka.messages import Message
from harness.stores.kafka.partitioning import partition_of

BATCH_BYTES = 262_144
"""All that waits for a partition goes in one request: with 16 KB, 256 callers take turns."""


class AioProducer:
    """A producer of one topic.

    It never gives a message up, so what a caller no longer waits for may still be written.
    """

    def __init__(self, producer: Any, target: Target, deadlines: Deadlines) -> None:
        self._producer, self._topic = producer, target.topic
        self._partitions, self._watch = target.partitions, deadlines.add

    async def send(self, messages: Sequence[Message]) -> None:
        """Hand all of them over, then wait for each."""
        partition = partition_of(messages[0].key, self._partitions)
        try:
            if len(messages) == 1:
                answer = await self._hand_over(messages[0], partition)
                self._watch(answer)
                await answer
                return
            answers = [await self._hand_over(one, partition) for one in messages]
            for answer in answers:
                self._watch(answer)
            for error in await all_answered(answers):
                raise error
        except errors() as error:
            raise append_error(error) from error

    async def _hand_over(self, message: Message, partition: int) -> Any:
        key, value, headers = message
        try:
            return await self._producer.send(self._topic, value, key, partition, headers=headers)
        except aiokafka.errors.KafkaTimeoutError as error:
            raise NotSent("no room among the messages that wait to be sent") from error

    async def aclose(self) -> None:
        """Wait a moment for what is under way."""
        await closed(self._producer)

"""Transactions with aiokafka."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from harness.stores.kafka.aio.driver import (
    MS_A_SECOND,
    aiokafka,
    append_error,
    closed,
    connection,
    errors,
    part,
    started,
    uncommitted_error,
)
from harness.stores.kafka.aio.producing import BATCH_BYTES
from harness.stores.kafka.clients import Fenced, Target
from harness.stores.kafka.messages import Message
from harness.stores.kafka.partitioning import partition_of

TRANSACTION_LIMIT_S = 15
"""An owner that died in one holds every reader of the topic so long."""
PATCHED_BACKOFF_S = 0.001
_STOCK_BACKOFF_S = 0.02


class AioTransactions:
    """The owner of a topic's partitions while nobody else opens the same."""

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
        """For this whole process: aiokafka keeps it as a constant of a module."""
        sender = part("producer.sender")
        patched = self._target.options.backoff == "patched"
        sender.BACKOFF_OVERRIDE = PATCHED_BACKOFF_S if patched else _STOCK_BACKOFF_S

    async def write(self, messages: Sequence[Message]) -> list[int]:
        """Begin, send, commit; abort where a message was refused."""
        answers: list[Any] = []
        try:
            await self._producer.begin_transaction()
            for message in messages:
                answers.append(await self._send(message))
                answers[-1].add_done_callback(_seen)
            # A commit does not look whether each message arrived.
            offsets = [(await answer).offset for answer in answers]
        except (aiokafka.errors.ProducerFenced, AssertionError) as error:
            raise Fenced(committing=False) from error
        except errors() as error:
            await self._abort()
            raise uncommitted_error(error) from error
        await self._commit()
        return offsets

    async def _send(self, message: Message) -> Any:
        key, value, headers = message
        partition = partition_of(key, self._target.partitions)
        return await self._producer.send(self._target.topic, value, key, partition, headers=headers)

    async def _commit(self) -> None:
        try:
            await self._producer.commit_transaction()
        except aiokafka.errors.ProducerFenced as error:
            raise Fenced(committing=True) from error
        except errors() as error:
            raise append_error(error) from error

    async def _abort(self) -> None:
        """Where that fails, the next owner's start does it."""
        with suppress(AssertionError, *errors()):
            await self._producer.abort_transaction()

    async def aclose(self) -> None:
        """Close, whatever state it is in."""
        if self._producer is not None:
            await closed(self._producer)


def _seen(answer: Any) -> None:
    """The first error of a transaction speaks for all: asyncio need not tell of the others."""
    if not answer.cancelled():
        answer.exception()

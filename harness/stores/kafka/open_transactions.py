"""A transaction on a topic that a check leaves open: readers stop in front of its records."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self
from uuid import uuid4

from harness.domain.store import UNTOLD, AppendResult, ExpectedVersion, NewEvent
from harness.stores.kafka.driver import MS_A_SECOND, Target, closed, connection, started
from harness.stores.kafka.errors import APPENDING, UNCOMMITTED, aiokafka, errors
from harness.stores.kafka.messages import messages, partition_of
from harness.stores.kafka.producer import BATCH_BYTES

LIMIT_S = 60
"""The broker aborts one that is left open for longer."""


class TopicTransaction:
    """An open transaction of its own producer, which no other fences."""

    def __init__(self, target: Target, producer: Any) -> None:
        self._target, self._producer = target, producer

    @classmethod
    async def begin(cls, target: Target) -> Self:
        """Raises `StoreUnavailable` if no server answers."""
        deadline_s = target.options.deadline_s
        producer = aiokafka.AIOKafkaProducer(
            **connection(target.endpoint, deadline_s=deadline_s),
            transactional_id=f"{target.topic}-held-{uuid4().hex}",
            transaction_timeout_ms=LIMIT_S * MS_A_SECOND,
            max_batch_size=BATCH_BYTES,
        )
        await started(producer, deadline_s=deadline_s)
        await producer.begin_transaction()
        return cls(target, producer)

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: ExpectedVersion,  # noqa: ARG002 - Kafka compares none
    ) -> AppendResult:
        """Written, and not yet visible to readers of what is committed."""
        with UNCOMMITTED:
            for key, value, headers in messages(stream, events):
                place = partition_of(key, self._target.partitions)
                sent = await self._producer.send(
                    self._target.topic, value, key, place, headers=headers
                )
                await sent
        return AppendResult(UNTOLD, None)

    async def commit(self) -> None:
        """Visible from now on."""
        with APPENDING:
            await self._producer.commit_transaction()
        await self._close()

    async def roll_back(self) -> None:
        """No reader will ever see it."""
        if self._producer is None:
            return
        with suppress(AssertionError, *errors()):
            await self._producer.abort_transaction()
        await self._close()

    async def _close(self) -> None:
        producer, self._producer = self._producer, None
        await closed(producer)

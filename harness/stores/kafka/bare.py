"""aiokafka's batches alone: one producer for all callers, as the lab has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from harness.domain.store import BareAppend, NewEvent
from harness.stores.kafka.messages import Message
from harness.stores.kafka.store import KeyedTopic


@asynccontextmanager
async def batched(store: KeyedTopic, callers: int) -> AsyncIterator[Sequence[BareAppend]]:
    """The same messages in the same batches, each awaited until the broker has it."""
    connection = store._connection
    producer = await connection.clients.producer(connection.deadlines)

    async def append(stream: str, event: NewEvent) -> None:
        headers = [("id", event.id.bytes), ("type", event.type.encode())]
        if event.metadata:
            headers.append(("metadata", event.metadata))
        (answer,) = await producer.hand_over([Message(stream.encode(), event.data, headers)])
        await answer

    try:
        yield [append] * callers
    finally:
        await producer.aclose()

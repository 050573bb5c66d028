"""Awaited sends of aiokafka alone: one producer for all callers, as the lab has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from harness.domain.store import BareAppend, NewEvent
from harness.stores.kafka.messages import partition_of
from harness.stores.kafka.store import KeyedTopic


@asynccontextmanager
async def sent(store: KeyedTopic, callers: int) -> AsyncIterator[Sequence[BareAppend]]:
    """The same messages to the same partitions, each awaited until the broker has it."""
    connection, target = store._connection, store._connection.target
    producer = await connection.clients.producer(connection.deadlines)
    send, topic, partitions = producer._producer.send, target.topic, target.partitions

    async def append(stream: str, event: NewEvent) -> object:
        key = stream.encode()
        headers = [("id", event.id.bytes), ("type", event.type.encode())]
        if event.metadata:
            headers.append(("metadata", event.metadata))
        place = partition_of(key, partitions)
        return await (await send(topic, event.data, key, place, headers=headers))

    try:
        yield [append] * callers
    finally:
        await producer.aclose()

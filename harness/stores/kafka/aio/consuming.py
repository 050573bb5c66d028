"""Reading partitions with aiokafka, without a consumer group."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from harness.stores.kafka.aio.driver import (
    MS_A_SECOND,
    aiokafka,
    closed,
    errors,
    read_error,
)
from harness.stores.kafka.clients import Target
from harness.stores.kafka.messages import Record

PAGE_RECORDS = 1000


class AioConsumer:
    """One consumer of one topic."""

    def __init__(self, consumer: Any, target: Target) -> None:
        self._consumer, self._target = consumer, target
        self.places: dict[int, int] = {}

    async def assign(self, starts: Mapping[int, int]) -> None:
        """Read these partitions from these offsets on; none to rest."""
        self.places = dict(starts)
        self._consumer.assign([*map(self._named, starts)])
        for partition, offset in starts.items():
            self._consumer.seek(self._named(partition), offset)

    async def poll(self, *, within_s: float) -> list[Record]:
        """The next records."""
        try:
            found = await self._consumer.getmany(
                timeout_ms=round(within_s * MS_A_SECOND), max_records=PAGE_RECORDS
            )
            for partition in self.places:
                self.places[partition] = await self._consumer.position(self._named(partition))
        except errors() as error:
            raise read_error(error) from error
        return [*chain.from_iterable(found.values())]

    async def aclose(self) -> None:
        """Close the connection."""
        await closed(self._consumer)

    def _named(self, partition: int) -> Any:
        return aiokafka.TopicPartition(self._target.topic, partition)

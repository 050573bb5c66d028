"""Reading partitions with librdkafka, in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from harness.stores.kafka.clients import Target
from harness.stores.kafka.messages import Record
from harness.stores.kafka.rd.driver import confluent_kafka, read_error

PAGE_RECORDS = 1000


class RdConsumer:
    """One consumer of one topic."""

    def __init__(self, consumer: Any, target: Target) -> None:
        self._consumer, self._target = consumer, target
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-consumer")
        self.places: dict[int, int] = {}

    async def assign(self, starts: Mapping[int, int]) -> None:
        """Read these partitions from these offsets on; none to rest."""
        self.places = dict(starts)
        named = [self._named(partition, offset) for partition, offset in starts.items()]
        await self._called(partial(self._consumer.assign, named))

    async def poll(self, *, within_s: float) -> list[Record]:
        """The next records."""
        found: list[Record] = await self._called(partial(self._poll, within_s))
        return found

    async def aclose(self) -> None:
        """Close the connection."""
        self._thread.submit(self._consumer.close)
        self._thread.shutdown(wait=False)

    def _poll(self, within_s: float) -> list[Record]:
        first = self._consumer.poll(within_s)
        if first is None:
            return []
        # To ask for many at once would wait for many.
        return [*self._records([first, *self._consumer.consume(PAGE_RECORDS, 0)])]

    def _records(self, messages: Sequence[Any]) -> list[Record]:
        records: list[Record] = []
        for message in messages:
            if (error := message.error()) is not None:
                self._passed(error, message)
                continue
            record = _record(message)
            self.places[record.partition] = record.offset + 1
            records.append(record)
        return records

    def _passed(self, error: Any, message: Any) -> None:
        """The end of a partition is beyond the marker of its last transaction."""
        if error.code() == confluent_kafka.KafkaError._PARTITION_EOF:
            self.places[message.partition()] = message.offset()
        elif error.fatal():
            raise read_error(error)

    def _named(self, partition: int, offset: int = 0) -> Any:
        return confluent_kafka.TopicPartition(self._target.topic, partition, offset)

    async def _called(self, work: Callable[[], Any]) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except confluent_kafka.KafkaException as error:
            raise read_error(error.args[0]) from error


class _Record(NamedTuple):
    """A message whose parts are no calls."""

    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]


def _record(message: Any) -> _Record:
    return _Record(
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        message.headers(),
    )

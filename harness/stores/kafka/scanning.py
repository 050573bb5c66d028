"""Records of a topic: up to where it ends now, or for ever. Consumers are used again."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from harness.errors import ReadFailed, ReadTimeout
from harness.stores.kafka.clients import Administrator, Consumer, Driver
from harness.stores.kafka.messages import Record
from harness.stores.kafka.reach import Reach

Page = Sequence[Record]

_SCAN_POLL_S = 0.005
"""At the end of a partition only a transaction's marker may be left, which is no record."""
_FOLLOW_POLL_S = 0.2
_SILENCE_S = 0.5


class Scanner:
    """Consumers of one topic, and what they read."""

    def __init__(
        self, driver: Driver, administrator: Administrator, reach: Reach, deadline_s: float
    ) -> None:
        self._driver, self._administrator = driver, administrator
        self._reach, self._deadline_s = reach, deadline_s
        self._resting: list[Consumer] = []

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """Where these partitions end now."""
        await self._require()
        return await self._administrator.ends(tuple(partitions))

    async def scan(self, starts: Mapping[int, int]) -> AsyncGenerator[Page, None]:
        """One partition after the other, each up to where it ended at the first step, in pages."""
        ends = await self.ends(starts)
        async with self._consumer() as consumer:
            for partition in sorted(starts):
                if starts[partition] < ends[partition]:
                    await consumer.assign({partition: starts[partition]})
                    async for page in self._until(consumer, partition, ends[partition]):
                        yield page

    async def follow(self, starts: Mapping[int, int]) -> AsyncGenerator[Page, None]:
        """All of these partitions side by side, for ever; through a broker's restart, too."""
        await self._require()
        consumer = await self._driver.consumer(waiting=True)
        try:
            await consumer.assign(starts)
            while True:
                yield await consumer.poll(within_s=_FOLLOW_POLL_S)
        finally:
            await consumer.aclose()

    async def close(self) -> None:
        """Close the consumers that nobody uses."""
        resting, self._resting = self._resting, []
        for consumer in resting:
            await consumer.aclose()

    async def _until(
        self, consumer: Consumer, partition: int, end: int
    ) -> AsyncGenerator[Page, None]:
        heard_s = time.monotonic()
        while consumer.places[partition] < end:
            records = await consumer.poll(within_s=_SCAN_POLL_S)
            if not records:
                await self._still_there(time.monotonic() - heard_s)
                continue
            yield (
                [one for one in records if one.offset < end]
                if records[-1].offset >= end
                else records
            )
            heard_s = time.monotonic()

    async def _still_there(self, silent_s: float) -> None:
        if silent_s > self._deadline_s:
            raise ReadTimeout("Kafka did not answer before the deadline")
        if silent_s > _SILENCE_S and not await self._reach.answers():
            raise ReadFailed("the Kafka broker has gone")

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[Consumer]:
        consumer = self._resting.pop() if self._resting else await self._opened()
        try:
            yield consumer
            await consumer.assign({})
        except BaseException:
            await consumer.aclose()
            raise
        self._resting.append(consumer)

    async def _opened(self) -> Consumer:
        return await self._driver.consumer(waiting=False)

    async def _require(self) -> None:
        """Drivers would wait for a topic or a broker to appear."""
        await self._reach.require()
        if not await self._administrator.exists():
            raise ReadFailed("the topic does not exist")

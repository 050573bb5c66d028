"""Making and removing a topic with confluent-kafka, and reading its settings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import AppendRefused, StoreUnavailable
from harness.stores.kafka.clients import Target
from harness.stores.kafka.rd.driver import administration, confluent_kafka, passing, read_error

_POLL_S = 0.01
_LEADERLESS = -1


class RdAdministrator:
    """One connection for everything about the topic but its records."""

    def __init__(self, client: Any, target: Target) -> None:
        self._client, self._target = client, target
        self._deadline_s = target.options.deadline_s

    async def reach(self) -> None:
        """Raises `StoreUnavailable` if nobody answers."""
        try:
            await asyncio.to_thread(self._client.list_topics, timeout=self._deadline_s)
        except confluent_kafka.KafkaException as error:
            raise StoreUnavailable(f"no connection to Kafka: {error.args[0].str()}") from error

    async def create(self, settings: Mapping[str, str]) -> None:
        """Make the topic and wait until each partition has a leader."""
        target = self._target
        admin = administration()
        topic = admin.NewTopic(
            target.topic, target.partitions, replication_factor=1, config=dict(settings)
        )
        try:
            await self._done(self._client.create_topics([topic])[target.topic])
        except confluent_kafka.KafkaException as error:
            raise AppendRefused(str(error), reason="CreateTopics") from error
        while True:
            if await self._led():
                return
            await asyncio.sleep(_POLL_S)

    async def delete(self) -> None:
        """Remove the topic, if it is there."""
        if await self.exists():
            await self._asked(self._client.delete_topics([self._target.topic]))
        while True:
            if not await self.exists():
                return
            await asyncio.sleep(_POLL_S)

    async def exists(self) -> bool:
        """Whether the cluster knows the topic."""
        return (await self._described()).error is None

    async def ends(self, partitions: Sequence[int]) -> dict[int, int]:
        """Where each partition ends now, open transactions included."""
        admin = administration()
        latest = admin.OffsetSpec.latest()
        named = {self._named(partition): latest for partition in partitions}
        ends_s = time.monotonic() + self._deadline_s
        while True:
            futures = self._client.list_offsets(named, request_timeout=self._deadline_s)
            try:
                found = {one.partition: (await self._done(futures[one])).offset for one in futures}
            except confluent_kafka.KafkaException as error:
                if not passing(error.args[0]) or time.monotonic() > ends_s:
                    raise read_error(error.args[0]) from error
                await asyncio.sleep(_POLL_S)
            else:
                return found

    async def settings(self) -> dict[str, str]:
        """The topic's settings, the broker's defaults included."""
        admin = administration()
        resource = admin.ConfigResource(admin.RESOURCE_TOPIC, self._target.topic)
        found = await self._asked(self._client.describe_configs([resource]))
        return {name: entry.value for name, entry in found.items() if entry.value}

    async def aclose(self) -> None:
        """Nothing to do: it goes with the object."""

    async def _led(self) -> bool:
        found = await self._described()
        led = [one.leader != _LEADERLESS for one in found.partitions.values()]
        return found.error is None and len(led) == self._target.partitions and all(led)

    async def _described(self) -> Any:
        topic = self._target.topic
        try:
            found = await asyncio.to_thread(
                self._client.list_topics, topic, timeout=self._deadline_s
            )
        except confluent_kafka.KafkaException as error:
            raise read_error(error.args[0]) from error
        return found.topics[topic]

    async def _asked(self, futures: Mapping[Any, Any]) -> Any:
        (future,) = futures.values()
        try:
            return await self._done(future)
        except confluent_kafka.KafkaException as error:
            raise read_error(error.args[0]) from error

    def _named(self, partition: int) -> Any:
        return confluent_kafka.TopicPartition(self._target.topic, partition)

    async def _done(self, future: Any) -> Any:
        return await asyncio.to_thread(future.result, self._deadline_s)

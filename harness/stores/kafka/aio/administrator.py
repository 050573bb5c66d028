"""Making and removing a topic with aiokafka, and reading its settings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import AppendRefused, ReadFailed
from harness.stores.kafka.aio.driver import (
    MS_A_SECOND,
    aiokafka,
    closed,
    connection,
    part,
    reading,
    started,
)
from harness.stores.kafka.clients import Target

_POLL_S = 0.01
_LEADERLESS = -1


class AioAdministrator:
    """One connection for everything about the topic but its records."""

    def __init__(self, client: Any, target: Target) -> None:
        self._client, self._target = client, target
        self._ruler: Any = None
        self._admin = part("admin")

    async def create(self, settings: Mapping[str, str]) -> None:
        """Make the topic and wait until each partition has a leader."""
        target = self._target
        topic = self._admin.NewTopic(
            name=target.topic,
            num_partitions=target.partitions,
            replication_factor=1,
            topic_configs=dict(settings),
        )
        answer = await self._ask(self._client.create_topics([topic], self._limit_ms))
        for name, code, *told in answer.topic_errors:
            if code:
                why = told[0] if told and told[0] else f"error {code}"
                raise AppendRefused(f"topic {name!r} was not made: {why}", reason="CreateTopics")
        while True:
            if await self._led():
                return
            await asyncio.sleep(_POLL_S)

    async def delete(self) -> None:
        """Remove the topic, if it is there."""
        await self._ask(self._client.delete_topics([self._target.topic], self._limit_ms))
        while True:
            if not await self.exists():
                return
            await asyncio.sleep(_POLL_S)

    async def exists(self) -> bool:
        """Whether the cluster knows the topic."""
        return not (await self._described())["error_code"]

    async def ends(self, partitions: Sequence[int]) -> dict[int, int]:
        """Where each partition ends now, open transactions included."""
        if self._ruler is None:
            self._ruler = await self._opened_ruler()
        topic = self._target.topic
        named = [aiokafka.TopicPartition(topic, partition) for partition in partitions]
        found = await self._ask(self._ruler.end_offsets(named))
        return {one.partition: offset for one, offset in found.items()}

    async def settings(self) -> dict[str, str]:
        """The topic's settings, the broker's defaults included."""
        kind = self._admin.config_resource.ConfigResourceType.TOPIC
        resource = self._admin.config_resource.ConfigResource(kind, self._target.topic)
        (answer,) = await self._ask(self._client.describe_configs([resource]))
        _, why, _, _, entries = answer.resources[0]
        if not entries:
            raise ReadFailed(f"no settings of topic {self._target.topic!r}: {why}")
        return {entry[0]: entry[1] for entry in entries if entry[1]}

    async def aclose(self) -> None:
        """Close the connection."""
        await closed(self._client)
        if self._ruler is not None:
            await closed(self._ruler)

    async def _opened_ruler(self) -> Any:
        """A consumer that measures and never reads."""
        deadline_s = self._target.options.deadline_s
        settings = connection(self._target.endpoint, deadline_s=deadline_s)
        consumer = aiokafka.AIOKafkaConsumer(**settings, isolation_level="read_uncommitted")
        return await started(consumer, deadline_s=deadline_s)

    async def _led(self) -> bool:
        found = await self._described()
        partitions = found["partitions"]
        return not found["error_code"] and all(one["leader"] != _LEADERLESS for one in partitions)

    async def _described(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = await self._ask(
            self._client.describe_topics([self._target.topic])
        )
        return found[0]

    @property
    def _limit_ms(self) -> int:
        return round(self._target.options.deadline_s * MS_A_SECOND)

    async def _ask(self, call: Any) -> Any:
        return await reading(call, deadline_s=self._target.options.deadline_s)

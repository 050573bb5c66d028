"""Checkpoints and snapshots: items beside the events, in the same table."""

from __future__ import annotations

from harness.store import Position, Snapshot
from harness.stores.dynamodb.base import DynamoBase
from harness.stores.dynamodb.driver import Declined
from harness.stores.dynamodb.items import b, bytes_of, int_of, key, n, s

_CHECKPOINT, _SNAPSHOT = "C#", "N#"


class Beside(DynamoBase):
    """What subscribers and aggregates keep."""

    async def load_checkpoint(self, subscriber: str) -> Position | None:
        """The subscriber's last saved position, if any."""
        item = await self._get(key(_CHECKPOINT + subscriber, 0))
        return Position.parse(item["position"]["S"]) if item else None

    async def save_checkpoint(self, subscriber: str, position: Position) -> None:
        """Remember that everything up to `position` was handled."""
        await self._put({**key(_CHECKPOINT + subscriber, 0), "position": s(str(position))})

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """The newest snapshot of a stream, if any."""
        item = await self._get(key(_SNAPSHOT + stream, 0))
        if not item:
            return None
        return Snapshot(stream, int_of(item["at_version"]), bytes_of(item["data"]))

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep it unless a newer one is there."""
        at = n(snapshot.version)
        item = {**key(_SNAPSHOT + snapshot.stream, 0), "at_version": at, "data": b(snapshot.data)}
        try:
            await self._put(
                item,
                ConditionExpression="attribute_not_exists(PK) OR at_version < :at",
                ExpressionAttributeValues={":at": at},
            )
        except Declined:
            return

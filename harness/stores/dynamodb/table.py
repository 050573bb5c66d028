"""The part that all variants have: a table, its settings, costs, and tampering; checkpoints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

from harness.domain import marks
from harness.domain.costs import Counts
from harness.domain.durability import Durability
from harness.domain.errors import (
    ReadTimeout,
    TamperingPrevented,
    Unsuitable,
    UnsupportedByStore,
    require_as_asked,
)
from harness.domain.store import Endpoint, Guarantees, Position, RecordedEvent, Snapshot
from harness.stores.dynamodb.declaration import (
    FACTS,
    DynamoOptions,
    durability_of,
    emulator_of,
    server_of,
    storage_of,
)
from harness.stores.dynamodb.driver import Declined, Item
from harness.stores.dynamodb.items import ITEM_BYTES_MAX, b, bytes_of, int_of, key, n, s
from harness.stores.dynamodb.session import Session

_SETTLED_WITHIN_S = 60.0
_POLL_S = 0.02
_CHECKPOINT, _SNAPSHOT = "C#", "N#"


class DynamoTable:
    """One table: partition key `PK` (text), sort key `SK` (a number)."""

    schema: ClassVar[Item] = {
        "AttributeDefinitions": [
            {"AttributeName": "PK", "AttributeType": "S"},
            {"AttributeName": "SK", "AttributeType": "N"},
        ],
        "KeySchema": [
            {"AttributeName": "PK", "KeyType": "HASH"},
            {"AttributeName": "SK", "KeyType": "RANGE"},
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }
    batch_limit: ClassVar[int | None] = None

    def __init__(self, session: Session) -> None:
        self._session = session

    @classmethod
    def declares(cls, options: DynamoOptions) -> Guarantees:
        """Guarantees of all variants except the template; durability as on the lab's server."""
        del options
        return Guarantees(
            occ="native",
            atomic_append=True,
            batch_limit=cls.batch_limit,
            global_order="none",
            gap_free_read=False,
            idempotency="window",
            stream_read="indexed",
            subscription="none",
            append_only="by-convention",
            durability=Durability.MEMORY,
            writers="many",
            event_limit_bytes=ITEM_BYTES_MAX,
            facts=FACTS,
        )

    @staticmethod
    def durability_of(settings: Mapping[str, str]) -> Durability:
        return durability_of(settings)

    @staticmethod
    def limited(declared: Guarantees, settings: Mapping[str, str]) -> Guarantees:
        """Files outlive a crash but for the last transaction, whose position is given again."""
        if settings.get("storage") != "file":
            return declared
        return replace(declared, durability=durability_of(settings), gap_free_read=False)

    @staticmethod
    def emulator_of(settings: Mapping[str, str]) -> str:
        return emulator_of(settings)

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: DynamoOptions) -> Self:
        """Describe the table, which need not exist yet, to check that the server answers."""
        session = Session(endpoint, options)
        store = cls(session)
        try:
            await session.describe()
        except BaseException:
            await session.aclose()
            raise
        return store

    async def setup(self) -> None:
        """Make the table and wait until it is active.

        Raises `Unsuitable` where it is not as it was asked to be.
        """
        made = await self._session.manage(
            "CreateTable", self.schema, unless="ResourceInUseException"
        )
        await self._wait_until("ACTIVE")
        try:
            require_as_asked(
                "DynamoDB", _asked(self.schema), _as_made(await self._session.describe())
            )
        except Unsuitable:
            if made:
                await self.teardown()
            raise

    async def teardown(self) -> None:
        """Remove the table and wait until it is gone."""
        await self._session.manage("DeleteTable", {}, unless="ResourceNotFoundException")
        await self._wait_until(None)

    async def namespaces(self) -> Sequence[str]:
        """Tables of labs."""
        names = [name async for name in self._session.tables()]
        return [name for name in names if name.startswith(marks.PREFIX)]

    async def _wait_until(self, status: str | None) -> None:
        for _ in range(round(_SETTLED_WITHIN_S / _POLL_S)):
            if (await self._session.describe()).get("TableStatus") == status:
                return
            await asyncio.sleep(_POLL_S)
        raise ReadTimeout(f"the table {self._session.table} is not {status or 'gone'} yet")

    async def settings(self) -> Mapping[str, str]:
        """Which server answers, the storage of its tables, the billing mode, and its version."""
        table = await self._session.describe()
        endpoint = self._session.endpoint
        return {
            "version": endpoint.version or "unknown",
            "server": await server_of(endpoint),
            "storage": storage_of(endpoint),
            "billing_mode": table.get("BillingModeSummary", {}).get("BillingMode", "unknown"),
        }

    async def aclose(self) -> None:
        await self._session.aclose()

    def costs(self) -> Counts:
        """Round trips and capacity units of this connection so far."""
        return dict(self._session.costs)

    def subscribe(
        self,
        *,
        after: Position | None = None,  # noqa: ARG002
        category: str | None = None,  # noqa: ARG002
    ) -> AsyncIterator[RecordedEvent]:
        """Raises `UnsupportedByStore`: without a global order new events may be anywhere."""
        raise UnsupportedByStore("there is no global order to follow; dynamodb:sequenced has one")

    async def _get(self, where: Item) -> dict[str, Any]:
        body = {"TableName": self._session.table, "Key": where, "ConsistentRead": True}
        item: dict[str, Any] = (await self._session.read("GetItem", body)).get("Item", {})
        return item

    async def _put(self, item: Item, **condition: Any) -> None:
        body = {"TableName": self._session.table, "Item": item, **condition}
        await self._session.write("PutItem", body)

    async def _overwritten(self, where: Item, name: str, data: Item) -> bool:
        """Whether DynamoDB let an attribute of an item be changed."""
        body = {
            "TableName": self._session.table,
            "Key": where,
            "UpdateExpression": "SET #name = :value",
            "ConditionExpression": "attribute_exists(PK)",
            "ExpressionAttributeNames": {"#name": name},
            "ExpressionAttributeValues": {":value": data},
        }
        return await self._changed("UpdateItem", body)

    async def _deleted(self, where: Item) -> bool:
        """Whether DynamoDB let an item be deleted."""
        body = {
            "TableName": self._session.table,
            "Key": where,
            "ConditionExpression": "attribute_exists(PK)",
        }
        return await self._changed("DeleteItem", body)

    async def _changed(self, operation: str, body: Item) -> bool:
        try:
            await self._session.write(operation, body)
        except Declined as error:
            raise TamperingPrevented("there is no such item") from error
        return True


def _asked(schema: Item) -> dict[str, str]:
    return {"billing mode": schema["BillingMode"], **_keys(schema)}


def _as_made(table: Item) -> dict[str, str]:
    billing = table.get("BillingModeSummary", {}).get("BillingMode", "unknown")
    return {"billing mode": billing, **_keys(table)}


def _keys(table: Item) -> dict[str, str]:
    """The keys of a table and of its indexes."""
    indexes = table.get("GlobalSecondaryIndexes", ())
    keyed = {"keys": table, **{f"keys of {each['IndexName']}": each for each in indexes}}
    return {
        name: ", ".join(f"{key['AttributeName']} {key['KeyType']}" for key in each["KeySchema"])
        for name, each in keyed.items()
    }


class CheckpointTable(DynamoTable):
    """A table that also has checkpoints and snapshots, as items of their own."""

    async def load_checkpoint(self, subscriber: str) -> Position | None:
        item = await self._get(key(_CHECKPOINT + subscriber, 0))
        return Position.parse(item["position"]["S"]) if item else None

    async def save_checkpoint(self, subscriber: str, position: Position) -> None:
        await self._put({**key(_CHECKPOINT + subscriber, 0), "position": s(str(position))})

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        item = await self._get(key(_SNAPSHOT + stream, 0))
        if not item:
            return None
        return Snapshot(stream, int_of(item["at_version"]), bytes_of(item["data"]))

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Save it unless a newer one exists."""
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

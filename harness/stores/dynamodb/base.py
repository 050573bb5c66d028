"""What every variant has: a table of its own, its settings, and what its calls cost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from harness.costs import Counts
from harness.errors import ReadTimeout
from harness.store import Durability, Endpoint, Guarantees
from harness.stores.dynamodb.driver import Declined, Item
from harness.stores.dynamodb.durability import durability_of, storage_of
from harness.stores.dynamodb.facts import EMULATOR, FACTS
from harness.stores.dynamodb.items import ITEM_BYTES_MAX
from harness.stores.dynamodb.options import DynamoOptions
from harness.stores.dynamodb.session import Session

_MADE_WITHIN_S = 60.0
_POLL_S = 0.02


class DynamoBase:
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

    durability_of = staticmethod(durability_of)

    def __init__(self, session: Session) -> None:
        self._session = session

    @classmethod
    def declares(cls, options: DynamoOptions) -> Guarantees:
        """What all variants but the template share; durability is that of the lab's own server."""
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
            emulator=EMULATOR,
            facts=FACTS,
        )

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: DynamoOptions) -> Self:
        """Ask for the table, to know that somebody answers; it need not be there yet."""
        session = Session(endpoint, options)
        store = cls(session)
        try:
            await session.describe()
        except BaseException:
            await session.aclose()
            raise
        return store

    async def setup(self) -> None:
        """Make the table and wait until it can be used."""
        await self._session.manage("CreateTable", self.schema, unless="ResourceInUseException")
        await self._until(there=True)

    async def teardown(self) -> None:
        """Remove the table and wait until it has gone."""
        await self._session.manage("DeleteTable", {}, unless="ResourceNotFoundException")
        await self._until(there=False)

    async def _until(self, *, there: bool) -> None:
        wanted = "ACTIVE" if there else None
        for _ in range(round(_MADE_WITHIN_S / _POLL_S)):
            if (await self._session.describe()).get("TableStatus") == wanted:
                return
            await asyncio.sleep(_POLL_S)
        raise ReadTimeout(f"the table {self._session.table} is not {wanted or 'gone'} yet")

    async def settings(self) -> Mapping[str, str]:
        """Where the tables are kept, how the table is billed, and the server's version."""
        table = await self._session.describe()
        endpoint = self._session.endpoint
        return {
            "version": endpoint.version or "not told",
            "storage": storage_of(endpoint),
            "billing_mode": table.get("BillingModeSummary", {}).get("BillingMode", "not told"),
        }

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.aclose()

    def costs(self) -> Counts:
        """Round trips, and what the server says this connection consumed, so far."""
        return dict(self._session.costs)

    async def _get(self, where: Item) -> dict[str, Any]:
        body = {"TableName": self._session.table, "Key": where, "ConsistentRead": True}
        found: dict[str, Any] = (await self._session.read("GetItem", body)).get("Item", {})
        return found

    async def _put(self, item: Item, **condition: Any) -> None:
        body = {"TableName": self._session.table, "Item": item, **condition}
        await self._session.write("PutItem", body)

    async def _overwritten(self, where: Item, name: str, data: Item) -> bool:
        """Whether DynamoDB let somebody change an attribute of an item, as it will."""
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
        """Whether DynamoDB let somebody delete an item, as it will."""
        body = {
            "TableName": self._session.table,
            "Key": where,
            "ConditionExpression": "attribute_exists(PK)",
        }
        return await self._changed("DeleteItem", body)

    async def _changed(self, operation: str, body: Item) -> bool:
        try:
            await self._session.write(operation, body)
        except Declined:
            return False
        return True

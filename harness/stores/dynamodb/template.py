"""`dynamodb:template`: the design that tutorials teach, measured with its faults.

Not repaired beyond what the protocol needs to run it at all: an empty append is refused,
a missing stream is told apart from an empty read, driver errors are translated.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from harness.errors import AppendRefused, NotWritten, OutcomeUnknown, StreamNotFound
from harness.store import (
    AppendResult,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    Position,
    RecordedEvent,
    StreamState,
)
from harness.stores.dynamodb import items
from harness.stores.dynamodb.base import DynamoBase
from harness.stores.dynamodb.driver import Item
from harness.stores.dynamodb.items import int_of, n, s
from harness.stores.dynamodb.options import DynamoOptions
from harness.stores.dynamodb.scanning import nothing_to_follow

_BATCH_ITEMS_MAX = 25
_EVERYTHING = "EVENTS"
_BY_TIME = "by-time"
_UNBOUNDED = 2**63


class Template(DynamoBase):
    """Puts without a condition, a page of each query, an index by wall clock in one partition."""

    schema: ClassVar[Item] = {
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": "S"} for name in ("PK", "SK", "ALL", "TIME")
        ],
        "KeySchema": [
            {"AttributeName": "PK", "KeyType": "HASH"},
            {"AttributeName": "SK", "KeyType": "RANGE"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": _BY_TIME,
                "KeySchema": [
                    {"AttributeName": "ALL", "KeyType": "HASH"},
                    {"AttributeName": "TIME", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }

    @classmethod
    def declares(cls, options: DynamoOptions) -> Guarantees:
        """What the design can keep: nothing of what an event store is for."""
        return replace(
            super().declares(options),
            occ="none",
            occ_note="puts without a condition: a second writer silently overwrites",
            atomic_append=False,
            idempotency="none",
            append_only="none",
            payload="json",
            keeps_metadata=False,
        )

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Puts behind whatever version the caller says, whether it is the head or not."""
        items.check_expected(expected)
        items.check(stream, events, events_max=None, bytes_max=_UNBOUNDED)
        match expected:
            case StreamState.NO_STREAM:
                head = -1
            case StreamState.ANY | StreamState.EXISTS:
                head = await self._head(stream)
            case version:
                head = version
        puts = [_item(stream, version, event) for version, event in enumerate(events, head + 1)]
        await self._put_all(puts[:_BATCH_ITEMS_MAX])
        for first in range(_BATCH_ITEMS_MAX, len(puts), _BATCH_ITEMS_MAX):
            try:
                await self._put_all(puts[first : first + _BATCH_ITEMS_MAX])
            except NotWritten as error:
                raise OutcomeUnknown(f"{first} events were written: {error}") from error
        return AppendResult(head + len(events), None)

    async def _put_all(self, puts: Sequence[Item]) -> None:
        """As boto3's `batch_writer`: what was not processed is sent again."""
        table = self._session.table
        left: Any = {table: [{"PutRequest": {"Item": item}} for item in puts]}
        while left:
            answer = await self._session.write("BatchWriteItem", {"RequestItems": left})
            left = answer.get("UnprocessedItems")

    async def _head(self, stream: str) -> int:
        body = {**self._query(stream, 0), "ScanIndexForward": False, "Limit": 1}
        found = (await self._session.look("Query", body)).get("Items")
        return int_of(found[0]["version"]) if found else -1

    def _query(self, stream: str, start: int) -> dict[str, Any]:
        return {
            "TableName": self._session.table,
            "KeyConditionExpression": "PK = :pk AND SK >= :start",
            "ExpressionAttributeValues": {":pk": s(_pk(stream)), ":start": s(_sk(start))},
        }

    async def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """The first page alone: what is beyond a megabyte is not read."""
        body = {**self._query(stream, max(start, 0)), "ScanIndexForward": not backwards}
        found = await self._page(body, limit)
        if not found and await self._head(stream) < 0:
            raise StreamNotFound(stream)
        for item in found:
            yield _recorded(item)

    async def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """The first page of the index by wall clock, which follows the table in its own time."""
        if after == Position.NOW:
            return
        body = {
            "TableName": self._session.table,
            "IndexName": _BY_TIME,
            "KeyConditionExpression": "#all = :all AND #time > :after",
            "ExpressionAttributeNames": {"#all": "ALL", "#time": "TIME"},
            "ExpressionAttributeValues": {
                ":all": s(_EVERYTHING),
                ":after": s(_time(after[0] if after else 0)),
            },
        }
        for item in await self._page(body, limit):
            yield _recorded(item)

    async def _page(self, body: Item, limit: int | None) -> list[dict[str, Any]]:
        if limit == 0:
            return []
        asked = body if limit is None else {**body, "Limit": limit}
        found: list[dict[str, Any]] = (await self._session.read("Query", asked)).get("Items", [])
        return found

    def subscribe(
        self,
        *,
        after: Position | None = None,  # noqa: ARG002
        category: str | None = None,  # noqa: ARG002
    ) -> AsyncIterator[RecordedEvent]:
        """Raises `UnsupportedByStore`: an order by wall clock is none to follow."""
        raise nothing_to_follow()

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """UpdateItem, which nothing forbids."""
        return await self._overwritten(_key(stream, version), "data", s(data.decode()))

    async def delete(self, stream: str, version: int) -> bool:
        """DeleteItem, which nothing forbids."""
        return await self._deleted(_key(stream, version))


def _pk(stream: str) -> str:
    key = f"STREAM#{stream}"
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise AppendRefused(f"stream name: {error}", reason="UnicodeEncodeError") from error
    return key


def _sk(version: int) -> str:
    return f"VERSION#{version:020d}"


def _time(nanoseconds: int) -> str:
    return f"{nanoseconds:020d}"


def _key(stream: str, version: int) -> Item:
    return {"PK": s(_pk(stream)), "SK": s(_sk(version))}


def _item(stream: str, version: int, event: NewEvent) -> Item:
    """Its metadata is not among it: the template drops it."""
    try:
        data = event.data.decode()
    except UnicodeDecodeError as error:
        raise AppendRefused(f"not JSON: {error}", reason="UnicodeDecodeError") from error
    return {
        **_key(stream, version),
        "ALL": s(_EVERYTHING),
        "TIME": s(_time(time.time_ns())),
        "id": s(str(event.id)),
        "type": s(event.type),
        "version": n(version),
        "data": s(data),
    }


def _recorded(item: Mapping[str, Any]) -> RecordedEvent:
    at = int(item["TIME"]["S"])
    return RecordedEvent(
        UUID(item["id"]["S"]),
        item["PK"]["S"].removeprefix("STREAM#"),
        int_of(item["version"]),
        Position((at,)),
        item["type"]["S"],
        item["data"]["S"].encode(),
        b"",
        datetime.fromtimestamp(at / 1e9, UTC),
    )

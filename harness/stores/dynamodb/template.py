"""`dynamodb:template`: the design that tutorials teach, measured with its faults.

Only what the protocol needs is repaired: versions count from 0, an empty append is refused, a
missing stream differs from an empty read, the log can be read in the order of its index, driver
errors are mapped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

from harness.domain.errors import AppendRefused, NotWritten, OutcomeUnknown, StreamNotFound
from harness.domain.store import (
    AppendResult,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    Position,
    RecordedEvent,
)
from harness.stores.dynamodb import items
from harness.stores.dynamodb.declaration import DynamoOptions
from harness.stores.dynamodb.driver import Item
from harness.stores.dynamodb.items import int_of, n, s
from harness.stores.dynamodb.table import DynamoTable

_BATCH_ITEMS_MAX = 25
_EVERYTHING = "EVENTS"
_BY_TIME = "GSI1"
_UNBOUNDED = 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class Template(DynamoTable):
    """Puts without a condition, a page of each query, an index by wall clock in one partition."""

    schema: ClassVar[Item] = {
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": "S"}
            for name in ("PK", "SK", "GSI1PK", "GSI1SK")
        ],
        "KeySchema": [
            {"AttributeName": "PK", "KeyType": "HASH"},
            {"AttributeName": "SK", "KeyType": "RANGE"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": _BY_TIME,
                "KeySchema": [
                    {"AttributeName": "GSI1PK", "KeyType": "HASH"},
                    {"AttributeName": "GSI1SK", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }

    @classmethod
    def declares(cls, options: DynamoOptions) -> Guarantees:
        """The design gives none of the guarantees of an event store."""
        return replace(
            super().declares(options),
            occ="none",
            occ_note="puts without a condition: a second writer silently overwrites, and so does"
            " the second append without an expected version",
            atomic_append=False,
            idempotency="none",
            append_only="none",
            payload="json",
            keeps_metadata=False,
            keeps_ids=False,
            whole_streams=False,
            note="the code makes its own ids and times; reads are one page of the service",
        )

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Puts after the caller's version, whether that is the head or not.

        Without a version, so under ANY and EXISTS as well, each append is written to the
        beginning of the stream. The caller's ids and metadata are dropped.
        """
        items.check_expected(expected)
        own = [replace(event, id=uuid4(), metadata=b"") for event in events]
        items.check(stream, own, events_max=None, bytes_max=_UNBOUNDED)
        first = expected + 1 if isinstance(expected, int) else 0
        puts = [_item(stream, version, event) for version, event in enumerate(own, first)]
        await self._put_all(puts[:_BATCH_ITEMS_MAX])
        for done in range(_BATCH_ITEMS_MAX, len(puts), _BATCH_ITEMS_MAX):
            try:
                await self._put_all(puts[done : done + _BATCH_ITEMS_MAX])
            except NotWritten as error:
                raise OutcomeUnknown(f"{done} events were written: {error}") from error
        return AppendResult(first + len(events) - 1, None)

    async def _put_all(self, puts: Sequence[Item]) -> None:
        """Like boto3's `batch_writer`: unprocessed items are sent again."""
        table = self._session.table
        unprocessed: Any = {table: [{"PutRequest": {"Item": item}} for item in puts]}
        while unprocessed:
            answer = await self._session.write("BatchWriteItem", {"RequestItems": unprocessed})
            unprocessed = answer.get("UnprocessedItems")

    async def _exists(self, stream: str) -> bool:
        return bool(await self._page(self._query(stream, 0), 1))

    def _query(self, stream: str, start: int) -> dict[str, Any]:
        return {
            "TableName": self._session.table,
            "KeyConditionExpression": "PK = :pk AND SK >= :start",
            "ExpressionAttributeValues": {":pk": s(_pk(stream)), ":start": s(_sk(start))},
        }

    async def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """Only the first page: events after the first megabyte are not read."""
        body = {**self._query(stream, max(start, 0)), "ScanIndexForward": not backwards}
        page = await self._page(body, limit)
        if not page and not await self._exists(stream):
            raise StreamNotFound(stream)
        for item in page:
            yield _recorded(item)

    async def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """The first page of the index by wall clock, which is updated later than the table."""
        if after == Position.NOW:
            return
        body = {
            "TableName": self._session.table,
            "IndexName": _BY_TIME,
            "KeyConditionExpression": "#all = :all AND #time > :after",
            "ExpressionAttributeNames": {"#all": "GSI1PK", "#time": "GSI1SK"},
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
        request = body if limit is None else {**body, "Limit": limit}
        page: list[dict[str, Any]] = (await self._session.read("Query", request)).get("Items", [])
        return page

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """UpdateItem."""
        return await self._overwritten(_key(stream, version), "event_data", s(data.decode()))

    async def delete(self, stream: str, version: int) -> bool:
        """DeleteItem."""
        return await self._deleted(_key(stream, version))


def _pk(stream: str) -> str:
    key = f"STREAM#{stream}"
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise AppendRefused(f"stream name: {error}", reason="UnicodeEncodeError") from error
    return key


def _sk(version: int) -> str:
    """The tutorials' versions count from 1."""
    return f"VERSION#{version + 1:020d}"


def _time(microseconds: int) -> str:
    return _utc(_EPOCH + microseconds * _TICK)


def _utc(at: datetime) -> str:
    """As `datetime.utcnow().isoformat()`."""
    return at.replace(tzinfo=None).isoformat()


def _key(stream: str, version: int) -> Item:
    return {"PK": s(_pk(stream)), "SK": s(_sk(version))}


def _item(stream: str, version: int, event: NewEvent) -> Item:
    """The event's item, without metadata."""
    try:
        data = event.data.decode()
    except UnicodeDecodeError as error:
        raise AppendRefused(f"not JSON: {error}", reason="UnicodeDecodeError") from error
    return {
        **_key(stream, version),
        "GSI1PK": s(_EVERYTHING),
        "GSI1SK": s(_utc(datetime.now(UTC))),
        "event_id": s(str(event.id)),
        "stream_id": s(stream),
        "event_type": s(event.type),
        "event_data": s(data),
        "version": n(version + 1),
        "created_at": s(_utc(datetime.now(UTC))),
    }


def _recorded(item: Mapping[str, Any]) -> RecordedEvent:
    indexed_at = datetime.fromisoformat(item["GSI1SK"]["S"]).replace(tzinfo=UTC)
    return RecordedEvent(
        UUID(item["event_id"]["S"]),
        item["stream_id"]["S"],
        int_of(item["version"]) - 1,
        Position(((indexed_at - _EPOCH) // _TICK,)),
        item["event_type"]["S"],
        item["event_data"]["S"].encode(),
        b"",
        datetime.fromisoformat(item["created_at"]["S"]).replace(tzinfo=UTC),
    )

"""Streams as an item an event, sorted by version: reading them, and finding ids in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from harness.errors import EventIdReused, StreamNotFound
from harness.store import NewEvent, Position, RecordedEvent
from harness.stores.dynamodb import items
from harness.stores.dynamodb.beside import Beside
from harness.stores.dynamodb.items import b, bytes_of, int_of, key, n, s

IDS_LOOKED_UP = 100
"""Of the newest events, before an append that expects no exact version."""


class EventItems(Beside):
    """Everything of a design with an item an event but its append and its global reading."""

    def position_of(self, item: Mapping[str, Any], stream: str, version: int) -> Position:
        """Where an event stands in the order in which `read_all` gives events."""
        del item
        return items.place(items.STREAM + stream, version)

    def recorded(self, item: Mapping[str, Any], stream: str, version: int) -> RecordedEvent:
        """An event from its item."""
        position = self.position_of(item, stream, version)
        return items.recorded(item, stream, version, position, int_of(item["at"]))

    async def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """Page after page, each read consistently, up to what stands there with the last."""
        body = self._versions(stream, start, limit, backwards=backwards)
        left = limit
        found = False
        if left != 0:
            async for page in self._session.pages("Query", body):
                for item in page:
                    found = True
                    yield self.recorded(item, stream, int_of(item["SK"]))
                    left = None if left is None else left - 1
                    if left == 0:
                        return
        if not found and await self.head(stream) is None:
            raise StreamNotFound(stream)

    def _versions(
        self, stream: str, start: int, limit: int | None, *, backwards: bool
    ) -> dict[str, Any]:
        body = self.query(items.partition(stream), "SK >= :from", {":from": n(max(start, 0))})
        body["ScanIndexForward"] = not backwards
        return body if limit is None else {**body, "Limit": max(limit, 1)}

    def query(self, pk: str, sk: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """A consistent query of one partition."""
        return {
            "TableName": self._session.table,
            "ConsistentRead": True,
            "KeyConditionExpression": f"PK = :pk AND {sk}",
            "ExpressionAttributeValues": {":pk": s(pk), **values},
        }

    async def head(self, stream: str) -> int | None:
        """The version of the stream's last event, or that there is no stream."""
        head, _ = await self.newest(stream, limit=1)
        return head

    async def newest(
        self, stream: str, *, limit: int = IDS_LOOKED_UP
    ) -> tuple[int | None, dict[UUID, int]]:
        """The head's version, and the versions of the newest events by id."""
        body = self.query(items.partition(stream), "SK >= :from", {":from": n(0)})
        names = {"ProjectionExpression": "SK, id", "ScanIndexForward": False, "Limit": limit}
        answer = await self._session.look("Query", {**body, **names})
        versions = {
            UUID(bytes=bytes_of(item["id"])): int_of(item["SK"]) for item in answer.get("Items", ())
        }
        return max(versions.values(), default=None), versions

    async def original(
        self, stream: str, events: Sequence[NewEvent], known: Mapping[UUID, int]
    ) -> int | None:
        """The version of the last event, if these very events were written before.

        `None` if none of them is known. Raises `EventIdReused` for anything in between.
        """
        versions = [known[event.id] for event in events if event.id in known]
        if not versions:
            return None
        first = versions[0]
        in_a_row = versions == list(range(first, first + len(events)))
        if in_a_row and await self.stand_at(stream, first, events):
            return versions[-1]
        raise EventIdReused(f"stream {stream!r}: an event id was written before, differently")

    async def stand_at(self, stream: str, first: int, events: Sequence[NewEvent]) -> bool:
        """Whether these very events are the stream's from that version on."""
        ends = {":first": n(first), ":last": n(first + len(events) - 1)}
        body = self.query(items.partition(stream), "SK BETWEEN :first AND :last", ends)
        written = [
            self.recorded(item, stream, int_of(item["SK"]))
            async for page in self._session.pages("Query", body)
            for item in page
        ]
        return len(written) == len(events) and all(map(items.same, events, written))

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """Try UpdateItem past the adapter."""
        return await self._overwritten(key(items.partition(stream), version), "data", b(data))

    async def delete(self, stream: str, version: int) -> bool:
        """Try DeleteItem past the adapter."""
        return await self._deleted(key(items.partition(stream), version))

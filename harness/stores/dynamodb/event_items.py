"""`dynamodb`: an item an event, sorted by version, and a head item that guards each stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from harness.domain.errors import AppendRefused, EventIdReused, StreamNotFound, WrongExpectedVersion
from harness.domain.store import (
    AppendResult,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    Position,
    RecordedEvent,
    StreamState,
)
from harness.stores.dynamodb import items
from harness.stores.dynamodb.declaration import DynamoOptions
from harness.stores.dynamodb.driver import CONDITION, MISMATCH, Declined, Item
from harness.stores.dynamodb.items import (
    TRANSACTION_BYTES_MAX,
    b,
    bytes_of,
    int_of,
    key,
    n,
    now_us,
    s,
)
from harness.stores.dynamodb.table import CheckpointTable

IDS_LOOKED_UP = 50
"""Newest events that are compared by id before an append at no exact version.

Their ids fit into a head item below a KB, so that it costs no more write units than without.
"""
HEAD_SK = -1
_ID_BYTES = 16


class EventItems(CheckpointTable):
    """Stream reads and lookups of the designs that store one item per event."""

    def position_of(self, item: Mapping[str, Any], stream: str, version: int) -> Position:
        """An event's place in the order of `read_all`."""
        del item
        return items.place(items.STREAM + stream, version)

    def recorded(self, item: Mapping[str, Any], stream: str, version: int) -> RecordedEvent:
        """An event from its item."""
        position = self.position_of(item, stream, version)
        return items.recorded(item, stream, version, position, int_of(item["at"]))

    async def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """Page after page, each a consistent read, up to the state at the last page."""
        body = self._versions(stream, start, limit, backwards=backwards)
        left = limit
        empty = True
        if left != 0:
            async for page in self._session.pages("Query", body):
                for item in page:
                    empty = False
                    yield self.recorded(item, stream, int_of(item["SK"]))
                    left = None if left is None else left - 1
                    if left == 0:
                        return
        if empty and await self.head(stream) is None:
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
        """The version of the stream's last event, `None` if there is no stream."""
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
        """The version of the last event, if these exact events were written before.

        `None` if none of them is known. Raises `EventIdReused` if only some are the same.
        """
        firsts = [known[event.id] - i for i, event in enumerate(events) if event.id in known]
        if not firsts:
            return None
        first = firsts[0]
        if first >= 0 and await self.stand_at(stream, first, events):
            return first + len(events) - 1
        raise EventIdReused(f"stream {stream!r}: an event id is already used by another append")

    async def stand_at(self, stream: str, first: int, events: Sequence[NewEvent]) -> bool:
        """Whether the stream has these exact events from that version on."""
        ends = {":first": n(first), ":last": n(first + len(events) - 1)}
        body = self.query(items.partition(stream), "SK BETWEEN :first AND :last", ends)
        written = [
            self.recorded(item, stream, int_of(item["SK"]))
            async for page in self._session.pages("Query", body)
            for item in page
        ]
        return len(written) == len(events) and all(map(items.same, events, written))

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """UpdateItem."""
        return await self._overwritten(key(items.partition(stream), version), "data", b(data))

    async def delete(self, stream: str, version: int) -> bool:
        """DeleteItem."""
        return await self._deleted(key(items.partition(stream), version))


@dataclass(frozen=True, slots=True)
class Head:
    """A stream's head item: the last event's version, and ids of the newest events, oldest first.

    An append at an exact version leaves only the ids of its own events: it knows no others.
    """

    version: int
    ids: tuple[UUID, ...]

    @classmethod
    def of(cls, item: Mapping[str, Any] | None) -> Head | None:
        """From the item; `None` without one."""
        if not item:
            return None
        raw = bytes_of(item["ids"])
        ids = (UUID(bytes=raw[at : at + _ID_BYTES]) for at in range(0, len(raw), _ID_BYTES))
        return cls(int_of(item["version"]), tuple(ids))

    @property
    def has_all_ids(self) -> bool:
        """Whether it has every id that is compared."""
        return len(self.ids) >= min(self.version + 1, IDS_LOOKED_UP)

    @property
    def known(self) -> dict[UUID, int]:
        """The events' versions by id, oldest first."""
        return dict(zip(self.ids, count(self.version + 1 - len(self.ids)), strict=False))


@dataclass(frozen=True, slots=True)
class Moved:
    """The stream's head differs from the transaction's condition; `None` is no stream."""

    head: Head | None

    @property
    def actual(self) -> int | None:
        """The version of the stream's last event."""
        return self.head.version if self.head else None


class Heads(EventItems):
    """An append is one transaction: a conditional update of the head, and a put an event."""

    batch_limit = items.TRANSACTION_ITEMS_MAX - 1

    @classmethod
    def declares(cls, options: DynamoOptions) -> Guarantees:
        """The common guarantees, with a note on how slow the emulator's conflicts are."""
        note = "the emulator cancels a transaction as slowly as it carries one out: conflicts look"
        return replace(super().declares(options), occ_note=f"{note} dearer than the service's")

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """One transaction; for ANY and EXISTS the stream's head item is read first."""
        items.check_expected(expected)
        items.check(stream, events, events_max=self.batch_limit, bytes_max=TRANSACTION_BYTES_MAX)
        match expected:
            case StreamState.ANY | StreamState.EXISTS:
                version = await self._append_somewhere(stream, events, expected)
            case StreamState.NO_STREAM:
                version = await self._append_at(stream, -1, events, expected)
            case head:
                version = await self._append_at(stream, head, events, expected)
        return AppendResult(version, None)

    async def _append_at(
        self, stream: str, head: int, events: Sequence[NewEvent], expected: ExpectedVersion
    ) -> int:
        """Append after that version; raises a conflict unless the events are already there."""
        moved = await self._send(stream, head, events, ())
        if moved is not None:
            actual = -1 if moved.actual is None else moved.actual
            if actual <= head or not await self.stand_at(stream, head + 1, events):
                raise WrongExpectedVersion(stream, expected, moved.actual)
        return head + len(events)

    async def _append_somewhere(
        self, stream: str, events: Sequence[NewEvent], expected: ExpectedVersion
    ) -> int:
        """Append after the current head; retry if another writer appended in between."""
        head = await self._head_item(stream)
        while True:
            if head is None and expected is StreamState.EXISTS:
                raise WrongExpectedVersion(stream, expected, None)
            known = await self._known(stream, head)
            original = await self.original(stream, events, known)
            if original is not None:
                return original
            last = -1 if head is None else head.version
            before = [each for each, version in known.items() if version <= last]
            moved = await self._send(stream, last, events, before)
            if moved is None:
                return last + len(events)
            head = moved.head

    async def _head_item(self, stream: str) -> Head | None:
        where = key(items.partition(stream), HEAD_SK)
        body = {"TableName": self._session.table, "ConsistentRead": True, "Key": where}
        return Head.of((await self._session.look("GetItem", body)).get("Item"))

    async def _known(self, stream: str, head: Head | None) -> dict[UUID, int]:
        """The newest events' versions by id, oldest first.

        They are read from the events only after appends at exact versions, which leave the head
        without them.
        """
        if head is None:
            return {}
        if head.has_all_ids:
            return head.known
        _, newest_first = await self.newest(stream)
        return dict(reversed(newest_first.items()))

    async def _send(
        self, stream: str, head: int, events: Sequence[NewEvent], before: Sequence[UUID]
    ) -> Moved | None:
        """Send the transaction once; `None` if it succeeded. `before`: ids to keep in the head."""
        writes = self._writes(stream, head, events, before)
        token = items.token(stream, head, events)
        try:
            return await self._transact(writes, token)
        except Declined as error:
            if error.code != MISMATCH:
                raise AppendRefused(str(error), reason=error.code) from error
        # The same events were sent to this place before, with another time. Either they are
        # written, or the condition on the head prevents both transactions.
        if await self.stand_at(stream, head + 1, events):
            return None
        return await self._transact(writes, uuid4().hex)

    async def _transact(self, writes: list[Item], token: str) -> Moved | None:
        body = {"TransactItems": writes, "ClientRequestToken": token}
        try:
            await self._session.write("TransactWriteItems", body)
        except Declined as error:
            at_head = error.reasons[0] if error.reasons else {}
            if at_head.get("Code") != CONDITION:
                raise
            return Moved(Head.of(at_head.get("Item")))
        return None

    def _writes(
        self, stream: str, head: int, events: Sequence[NewEvent], before: Sequence[UUID]
    ) -> list[Item]:
        table, pk, at = self._session.table, items.partition(stream), n(now_us())
        ids = [*before, *(event.id for event in events)][-IDS_LOOKED_UP:]
        guard: dict[str, Any] = {
            "TableName": table,
            "Key": key(pk, HEAD_SK),
            "UpdateExpression": "SET version = :new, ids = :ids",
            "ConditionExpression": "version = :head" if head >= 0 else "attribute_not_exists(PK)",
            "ExpressionAttributeValues": {
                ":new": n(head + len(events)),
                ":ids": b(b"".join(each.bytes for each in ids)),
            },
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if head >= 0:
            guard["ExpressionAttributeValues"][":head"] = n(head)
        puts = (
            items.put_new(table, {**key(pk, version), "at": at, **items.payload(event)})
            for version, event in enumerate(events, head + 1)
        )
        return [{"Update": guard}, *puts]

    async def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """A scan: each stream in order, the streams in the order of DynamoDB's hash."""
        left = limit
        async for stream, item in self._session.scan(after):
            if left == 0:
                return
            if int_of(item["SK"]) != HEAD_SK:
                yield self.recorded(item, stream, int_of(item["SK"]))
                left = None if left is None else left - 1

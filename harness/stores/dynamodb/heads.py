"""`dynamodb`: a head item guards each stream; head and events are written in one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from harness.errors import AppendRefused, WrongExpectedVersion
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
from harness.stores.dynamodb.driver import Declined, Item
from harness.stores.dynamodb.event_items import EventItems
from harness.stores.dynamodb.items import TRANSACTION_BYTES_MAX, int_of, key, n, now_us
from harness.stores.dynamodb.options import DynamoOptions
from harness.stores.dynamodb.scanning import nothing_to_follow, scanned
from harness.stores.dynamodb.session import CONDITION

HEAD_SK = -1
_MISMATCH = "IdempotentParameterMismatchException"


@dataclass(frozen=True, slots=True)
class Moved:
    """The head was not where the transaction expected it, but here."""

    actual: int | None


class Heads(EventItems):
    """An append is a conditional update of the head and a put an event."""

    batch_limit = items.TRANSACTION_ITEMS_MAX - 1

    @classmethod
    def declares(cls, options: DynamoOptions) -> Guarantees:
        """As all, with what the emulator does to conflicts."""
        note = "the emulator cancels a transaction as slowly as it carries one out: conflicts look"
        return replace(super().declares(options), occ_note=f"{note} dearer than the service's")

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """One transaction; under ANY and EXISTS behind a look at the stream's newest events."""
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
        """Behind that version, or a conflict, unless the events already stand there."""
        moved = await self._send(stream, head, events)
        if moved is not None:
            actual = -1 if moved.actual is None else moved.actual
            if actual <= head or not await self.stand_at(stream, head + 1, events):
                raise WrongExpectedVersion(stream, expected, moved.actual)
        return head + len(events)

    async def _append_somewhere(
        self, stream: str, events: Sequence[NewEvent], expected: ExpectedVersion
    ) -> int:
        """Behind whatever is there; where another writer came in between, look again."""
        while True:
            head, known = await self.newest(stream)
            if head is None and expected is StreamState.EXISTS:
                raise WrongExpectedVersion(stream, expected, None)
            original = await self.original(stream, events, known)
            if original is not None:
                return original
            behind = -1 if head is None else head
            if await self._send(stream, behind, events) is None:
                return behind + len(events)

    async def _send(self, stream: str, head: int, events: Sequence[NewEvent]) -> Moved | None:
        """The transaction, once; `None` if it was carried out."""
        writes = self._writes(stream, head, events)
        token = items.token(stream, head, events)
        try:
            return await self._transact(writes, token)
        except Declined as error:
            if error.code != _MISMATCH:
                raise AppendRefused(str(error), reason=error.code) from error
        # The same events were sent to this place before, at another time of day. Either they
        # landed, or the condition on the head keeps both from landing.
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
            there = at_head.get("Item")
            return Moved(int_of(there["version"]) if there else None)
        return None

    def _writes(self, stream: str, head: int, events: Sequence[NewEvent]) -> list[Item]:
        table, pk, at = self._session.table, items.partition(stream), n(now_us())
        guard: dict[str, Any] = {
            "TableName": table,
            "Key": key(pk, HEAD_SK),
            "UpdateExpression": "SET version = :new",
            "ConditionExpression": "version = :head" if head >= 0 else "attribute_not_exists(PK)",
            "ExpressionAttributeValues": {":new": n(head + len(events))},
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
        """A scan: each stream in its order, the streams in that of DynamoDB's hash."""
        left = limit
        async for stream, item in scanned(self._session, after):
            if left == 0:
                return
            if int_of(item["SK"]) != HEAD_SK:
                yield self.recorded(item, stream, int_of(item["SK"]))
                left = None if left is None else left - 1

    def subscribe(
        self,
        *,
        after: Position | None = None,  # noqa: ARG002
        category: str | None = None,  # noqa: ARG002
    ) -> AsyncIterator[RecordedEvent]:
        """Raises `UnsupportedByStore`: new events may land anywhere in a scan."""
        raise nothing_to_follow()

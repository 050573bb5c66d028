"""The sequencer: takes what waits, checks it against the streams' heads, writes it as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from harness.errors import OutcomeUnknown, StoreError, StoreUnavailable, WrongExpectedVersion
from harness.store import ExpectedVersion, NewEvent
from harness.stores.dynamodb import items
from harness.stores.dynamodb.driver import Declined, Item
from harness.stores.dynamodb.items import TRANSACTION_BYTES_MAX, n, now_us
from harness.stores.dynamodb.log_reading import LOG_HEAD, LogReading
from harness.stores.dynamodb.session import Session
from harness.stores.dynamodb.tails import Tails
from harness.stores.dynamodb.waiting import Answer, Waiting

EVENTS_MAX = (items.TRANSACTION_ITEMS_MAX - 1) // 2
"""In one transaction: an item in the stream and one in the log each, and the log's head."""
BYTES_MAX = TRANSACTION_BYTES_MAX // 2


class Sequencer:
    """One transaction at a time. The log's head is its fence: another writer moves it."""

    def __init__(self, store: LogReading, session: Session) -> None:
        self._store, self._session, self._table = store, session, session.table
        self._tails = Tails(store)
        self._next: int | None = None
        self._queue: list[Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def append(
        self, stream: str, events: Sequence[NewEvent], expected: ExpectedVersion
    ) -> Answer:
        """Join the next transaction and wait for this append's own answer."""
        loop = asyncio.get_running_loop()
        waiting = Waiting(stream, events, expected, loop.create_future())
        self._queue.append(waiting)
        if self._task is None:
            self._task = loop.create_task(self._run())
        return await waiting.answer

    async def aclose(self) -> None:
        """End; whoever still waits is told that the outcome is unknown."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)  # callers of this turn of the loop come along
            while self._queue:
                await self._write(self._take())
        finally:
            self._task = None
            for each in self._queue:
                each.tell(StoreUnavailable("closed before the append was sent"))
            self._queue.clear()

    def _take(self) -> list[Waiting]:
        """As many as fit into one transaction, the first in any case."""
        events = size = taken = 0
        for each in self._queue:
            events += len(each.events)
            size += each.size
            if taken and (events > EVENTS_MAX or size > BYTES_MAX):
                break
            taken += 1
        group, self._queue = self._queue[:taken], self._queue[taken:]
        return group

    async def _write(self, group: list[Waiting]) -> None:
        """Answer every member. Nothing is known any more after an outcome that is not."""
        try:
            while group:
                group = await self._tried(group)
        except StoreError as error:
            self._forget()
            for each in group:
                each.tell(error)
        except BaseException:
            for each in group:
                each.tell(OutcomeUnknown("the store was closed during the append"))
            raise

    async def _tried(self, group: list[Waiting]) -> list[Waiting]:
        """Those that have to be tried again, since another writer came in between."""
        if self._next is None:
            self._next = await self._store.next_position()
        tails = await self._tails.of(each.stream for each in group)
        verdicts = [each.verdict(tails[each.stream]) for each in group]
        if any(isinstance(one, WrongExpectedVersion) for one in verdicts) and await self._moved():
            return group
        placed = []
        for each, verdict in zip(group, verdicts, strict=True):
            if verdict is None:
                placed.append(each)
            else:
                each.tell(verdict)
        if placed and not await self._transact(placed, self._next):
            return placed
        self._tails.keep(tails)
        return []

    async def _moved(self) -> bool:
        """Whether another writer has written; then forgets what it knew."""
        if await self._store.next_position() == self._next:
            return False
        self._forget()
        return True

    async def _transact(self, placed: list[Waiting], base: int) -> bool:
        """Whether it was carried out; if so, everybody is told."""
        writes, at, position = [], n(now_us()), base
        for each in placed:
            writes += each.puts(self._table, position, at)
            position += len(each.events)
        head = _moved_head(self._table, base, position)
        body = {"TransactItems": [head, *writes], "ClientRequestToken": uuid4().hex}
        try:
            await self._session.write("TransactWriteItems", body)
        except Declined:
            self._forget()
            return False
        self._next = position
        for each in placed:
            base += len(each.events)
            each.tell(Answer(each.first + len(each.events) - 1, base - 1))
        return True

    def _forget(self) -> None:
        self._next = None
        self._tails.forget()


def _moved_head(table: str, base: int, position: int) -> Item:
    """The log's head, from where this sequencer knows it to be."""
    update: dict[str, Any] = {
        "TableName": table,
        "Key": LOG_HEAD,
        "UpdateExpression": "SET #next = :new",
        "ConditionExpression": "#next = :base" if base else "attribute_not_exists(PK)",
        "ExpressionAttributeNames": {"#next": "next"},
        "ExpressionAttributeValues": {":new": n(position)},
    }
    if base:
        update["ExpressionAttributeValues"][":base"] = n(base)
    return {"Update": update}

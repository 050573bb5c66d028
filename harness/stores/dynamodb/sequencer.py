"""The sequencer of `dynamodb:sequenced`: one transaction at a time for all waiting appends.

Each group is checked against the streams' heads in memory and written as one transaction.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID, uuid4

from harness.domain.errors import EventIdReused, StoreError, WrongExpectedVersion
from harness.domain.store import ExpectedVersion, NewEvent
from harness.stores._shared.append_rules import require_expected
from harness.stores._shared.group_commit import GroupCommit, WaitingAppend
from harness.stores.dynamodb import items
from harness.stores.dynamodb.driver import Declined, Item
from harness.stores.dynamodb.event_items import IDS_LOOKED_UP
from harness.stores.dynamodb.items import (
    LOG_HEAD,
    TRANSACTION_BYTES_MAX,
    key,
    log_key,
    n,
    now_us,
    s,
)
from harness.stores.dynamodb.session import Session

EVENTS_MAX = (items.TRANSACTION_ITEMS_MAX - 1) // 2
"""Per transaction: each event is an item in its stream and one in the log, plus the log's head."""
BYTES_MAX = TRANSACTION_BYTES_MAX // 2
STREAMS_MAX = 100_000
"""Streams whose tails are in memory; others are read again."""


class Log(Protocol):
    """How the sequencer reads the table."""

    async def newest(self, stream: str) -> tuple[int | None, dict[UUID, int]]:
        """The head's version, and the versions of the newest events by id, newest first."""
        ...

    async def next_position(self) -> int:
        """The first position that no event has."""
        ...


@dataclass(slots=True)
class Tail:
    """The head of a stream, -1 if there is none, and the versions of its newest events."""

    head: int
    known: dict[UUID, int] = field(default_factory=dict)

    def original(self, stream: str, events: Sequence[NewEvent]) -> int | None:
        """The version of the last of these events if all are there in a row; compares only ids."""
        versions = [self.known[event.id] for event in events if event.id in self.known]
        if not versions:
            return None
        if versions == list(range(versions[0], versions[0] + len(events))):
            return versions[-1]
        raise EventIdReused(f"stream {stream!r}: an event id is already used by another append")

    def grow(self, events: Sequence[NewEvent]) -> None:
        """Add events that were written."""
        for event in events:
            self.head += 1
            self.known[event.id] = self.head
        while len(self.known) > IDS_LOOKED_UP:
            del self.known[next(iter(self.known))]

    def copy(self) -> Tail:
        return Tail(self.head, dict(self.known))


class Tails:
    """The streams' tails, read on first use."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._tails: OrderedDict[str, Tail] = OrderedDict()

    async def of(self, streams: Iterable[str]) -> dict[str, Tail]:
        """Copies to change and then `keep`. Missing tails are read concurrently."""
        wanted = list(dict.fromkeys(streams))
        missing = [stream for stream in wanted if stream not in self._tails]
        await asyncio.gather(*map(self._read, missing))
        return {stream: self._tails[stream].copy() for stream in wanted}

    def keep(self, tails: dict[str, Tail]) -> None:
        """Make these the current ones."""
        for stream, tail in tails.items():
            self._tails[stream] = tail
            self._tails.move_to_end(stream)
        while len(self._tails) > STREAMS_MAX:
            self._tails.popitem(last=False)

    def forget(self) -> None:
        """Forget all tails, because another process wrote or a write's outcome is unknown."""
        self._tails.clear()

    async def _read(self, stream: str) -> None:
        head, known = await self._log.newest(stream)
        oldest_first = dict(reversed(known.items()))
        self._tails[stream] = Tail(-1 if head is None else head, oldest_first)


@dataclass(frozen=True, slots=True)
class Answer:
    """The place of an append's last event; no position if an earlier attempt wrote it."""

    version: int
    position: int | None


class Waiting(WaitingAppend[Answer]):
    """An append, its place in a transaction, and its answer."""

    __slots__ = ("events", "expected", "first", "stream")

    def __init__(self, stream: str, events: Sequence[NewEvent], expected: ExpectedVersion) -> None:
        super().__init__()
        self.stream, self.events, self.expected = stream, events, expected
        self.first = -1
        """The version of its first event, once it has a place."""

    @property
    def size(self) -> int:
        """Bytes of its items in the stream, as many as in the log."""
        name = len(self.stream.encode())
        return sum(items.size_of(event) + name for event in self.events)

    def place(self, tail: Tail) -> Answer | StoreError | None:
        """Give it a place after `tail` and return `None`; else the answer that needs no write."""
        try:
            original = tail.original(self.stream, self.events)
            if original is not None:
                return Answer(original, None)
            require_expected(self.stream, self.expected, tail.head if tail.head >= 0 else None)
        except StoreError as error:
            return error
        self.first = tail.head + 1
        tail.grow(self.events)
        return None

    def puts(self, table: str, position: int, at: Item) -> list[Item]:
        """Two puts an event: into its stream, and into the log from that position on."""
        writes = []
        pk = items.partition(self.stream)
        for index, event in enumerate(self.events):
            attributes = {"at": at, "position": n(position + index), **items.payload(event)}
            version = self.first + index
            copy = {"stream": s(self.stream), "version": n(version), **attributes}
            writes.append(items.put_new(table, {**key(pk, version), **attributes}))
            writes.append(items.put_new(table, {**log_key(position + index), **copy}))
        return writes


class Sequencer:
    """Writes groups of appends. The log's head is the fence: another writer moves it."""

    def __init__(self, log: Log, session: Session) -> None:
        self._log, self._session, self._table = log, session, session.table
        self._tails = Tails(log)
        self._next: int | None = None
        self._commits = GroupCommit(self._write, _fitting)

    async def append(
        self, stream: str, events: Sequence[NewEvent], expected: ExpectedVersion
    ) -> Answer:
        """Join the next transaction and wait for the answer."""
        waiting = Waiting(stream, events, expected)
        self._commits.add(waiting)
        return await waiting.answer

    async def aclose(self) -> None:
        """The outcome of a group that is being written becomes unknown."""
        await self._commits.aclose()

    async def _write(self, waiting: Sequence[Waiting]) -> None:
        """Answer every member. After an error the state in memory is no longer certain."""
        group = list(waiting)
        try:
            while group:
                group = await self._try(group)
        except StoreError:
            self._forget()
            raise

    async def _try(self, group: list[Waiting]) -> list[Waiting]:
        """Returns the appends to retry because another writer appended in between."""
        if self._next is None:
            self._next = await self._log.next_position()
        tails = await self._tails.of(each.stream for each in group)
        answers = [each.place(tails[each.stream]) for each in group]
        if any(isinstance(one, WrongExpectedVersion) for one in answers) and await self._moved():
            return group
        placed = []
        for each, answer in zip(group, answers, strict=True):
            if answer is None:
                placed.append(each)
            elif isinstance(answer, StoreError):
                each.refuse(answer)
            else:
                each.resolve(answer)
        if placed and not await self._transact(placed, self._next):
            return placed
        self._tails.keep(tails)
        return []

    async def _moved(self) -> bool:
        """Whether another writer has written; if so, forgets everything."""
        if await self._log.next_position() == self._next:
            return False
        self._forget()
        return True

    async def _transact(self, placed: list[Waiting], base: int) -> bool:
        """Whether the transaction succeeded; if so, every append is answered."""
        writes, at, position = [], n(now_us()), base
        for each in placed:
            writes += each.puts(self._table, position, at)
            position += len(each.events)
        head = _head_update(self._table, base, position)
        body = {"TransactItems": [head, *writes], "ClientRequestToken": uuid4().hex}
        try:
            await self._session.write("TransactWriteItems", body)
        except Declined:
            self._forget()
            return False
        self._next = position
        for each in placed:
            base += len(each.events)
            each.resolve(Answer(each.first + len(each.events) - 1, base - 1))
        return True

    def _forget(self) -> None:
        self._next = None
        self._tails.forget()


def _fitting(waiting: Sequence[Waiting]) -> int:
    """How many of the waiting appends fit into one transaction; at least one."""
    events = size = taken = 0
    for each in waiting:
        events += len(each.events)
        size += each.size
        if taken and (events > EVENTS_MAX or size > BYTES_MAX):
            break
        taken += 1
    return taken


def _head_update(table: str, base: int, position: int) -> Item:
    """Moves the log's head, if it is where this sequencer expects it."""
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

"""An append that waits for its transaction, and what becomes of it there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import StoreError
from harness.store import ExpectedVersion, NewEvent
from harness.stores.dynamodb import items
from harness.stores.dynamodb.driver import Item
from harness.stores.dynamodb.items import key, n, s
from harness.stores.dynamodb.log_reading import log_key
from harness.stores.dynamodb.tails import Tail


@dataclass(frozen=True, slots=True)
class Answer:
    """Where an append's last event is; no position where an earlier try has written it."""

    version: int
    position: int | None


@dataclass(slots=True, eq=False)
class Waiting:
    """An append whose caller waits for `answer`."""

    stream: str
    events: Sequence[NewEvent]
    expected: ExpectedVersion
    answer: asyncio.Future[Answer]
    first: int = -1
    """The version of its first event, once it has a place in a transaction."""

    @property
    def size(self) -> int:
        """Bytes of its items in the stream, and of as many in the log."""
        name = len(self.stream.encode())
        return sum(items.size_of(event) + name for event in self.events)

    def tell(self, answer: Answer | StoreError) -> None:
        """Answer, unless the caller has gone."""
        if self.answer.done():
            return
        if isinstance(answer, StoreError):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)

    def verdict(self, tail: Tail) -> Answer | StoreError | None:
        """What is to be said without writing; `None` if it was given a place behind `tail`."""
        try:
            original = tail.original(self.stream, self.events)
            if original is not None:
                return Answer(original, None)
            tail.check(self.stream, self.expected)
        except StoreError as error:
            return error
        self.first = tail.head + 1
        tail.grow(self.events)
        return None

    def puts(self, table: str, position: int, at: Item) -> list[Item]:
        """Each event into its stream and into the log, from that position on."""
        writes = []
        pk = items.partition(self.stream)
        for place, event in enumerate(self.events):
            kept = {"at": at, "position": n(position + place), **items.payload(event)}
            version = self.first + place
            copy = {"stream": s(self.stream), "version": n(version), **kept}
            writes.append(items.put_new(table, {**key(pk, version), **kept}))
            writes.append(items.put_new(table, {**log_key(position + place), **copy}))
        return writes

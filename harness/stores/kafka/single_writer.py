"""`kafka:single-writer`: one fenced owner, whose heads in memory replace a conditional write.

Concurrent callers share one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing

from harness.domain.durability import Durability
from harness.domain.errors import (
    AppendRefused,
    OutcomeUnknown,
    ReadFailed,
    StoreError,
    StoreUnavailable,
)
from harness.domain.store import AppendResult, ExpectedVersion, Guarantees, NewEvent, Position
from harness.stores._shared.group_commit import GroupCommit, WaitingAppend
from harness.stores.kafka.clients import Transactions
from harness.stores.kafka.deadlines import SendState
from harness.stores.kafka.errors import Fenced
from harness.stores.kafka.group import Group, Heads, Placed
from harness.stores.kafka.messages import EVENT_LIMIT_BYTES, Message, messages
from harness.stores.kafka.options import (
    FACTS,
    KafkaOptions,
    durability_of_transactions,
    requested_settings,
)
from harness.stores.kafka.store import Connection, TopicStore


class Owner:
    """One connection's claim on a topic, from its first append until another claims it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._transactions: Transactions | None = None
        self.heads = Heads(connection.target.partitions)
        self.fenced = False
        """Whether another owner took over: this one never writes again."""

    async def group(self) -> Group:
        """A group on heads that are up to date. Raises `NotWritten`: nothing was sent."""
        if self.fenced:
            raise _refusal()
        if self._transactions is None:
            await self._claim()
        return Group(self.heads)

    async def write(self, group: Group) -> list[int]:
        """Write it; the offsets of its messages. Raises `NotWritten` or `OutcomeUnknown`."""
        assert self._transactions is not None
        try:
            offsets = await self._transactions.write(group.messages)
        except Fenced as error:
            self.fenced = True
            raise _unknown() if error.committing else _refusal() from error
        except StoreError:
            # The next claim aborts an open transaction, or waits for its commit and reads it.
            await self.release()
            raise
        group.written(offsets)
        return offsets

    async def release(self) -> None:
        """Close the producer; the heads stay, up to where they were read."""
        transactions, self._transactions = self._transactions, None
        if transactions is not None:
            await transactions.aclose()

    async def _claim(self) -> None:
        transactions = self._connection.clients.transactions()
        try:
            # First: it ends the old owner's transaction, so that the log has an end.
            await transactions.open()
            starts = dict(enumerate(self.heads.places))
            async with aclosing(self._connection.scanner.scan(starts)) as pages:
                async for page in pages:
                    self.heads.learn(page)
        except BaseException:
            await transactions.aclose()
            raise
        self._transactions = transactions


def _refusal() -> AppendRefused:
    return AppendRefused("another owner took the topic over; connect again", reason="Fenced")


def _unknown() -> OutcomeUnknown:
    return OutcomeUnknown("another owner took the topic over during the commit")


GROUP_MAX = 1024
"""Appends in one transaction."""
_CLOSE_WITHIN_S = 1.0


class Waiting(WaitingAppend[AppendResult]):
    """An append of a transaction."""

    __slots__ = ("batch", "expected", "state", "stream")

    def __init__(self, stream: str, batch: Sequence[Message], expected: ExpectedVersion) -> None:
        super().__init__()
        self.stream, self.batch, self.expected = stream, batch, expected
        self.state = SendState()


class SingleWriter(TopicStore):
    """The first append claims the topic: any other owner is fenced."""

    partitions = 1
    counting = False

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._owner = Owner(connection)
        self._commits = GroupCommit(self._write, lambda waiting: min(len(waiting), GROUP_MAX))

    @classmethod
    def declares(cls, options: KafkaOptions) -> Guarantees:
        """Everything, while one process owns the topic and holds its ids in memory."""
        return Guarantees(
            occ="emulated",
            occ_note="versions are compared in the memory of the one owner, which Kafka fences; an"
            " owner that was replaced learns it at its next write and may refuse by an old version",
            atomic_append=True,
            global_order="total" if cls._partitions(options) == 1 else "per-partition",
            gap_free_read=True,
            idempotency="durable",
            stream_read="scan",
            subscription="push",
            append_only="by-convention",
            durability=durability_of_transactions(requested_settings(options)),
            writers="one",
            event_limit_bytes=EVENT_LIMIT_BYTES,
            facts=FACTS,
        )

    @staticmethod
    def durability_of(settings: Mapping[str, str]) -> Durability:
        return durability_of_transactions(settings)

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Join the next transaction and wait for this append's own answer."""
        batch = messages(stream, events)
        if isinstance(expected, int) and expected < 0:
            raise ValueError(f"expected version {expected}: versions count from 0")
        deadlines = self._connection.deadlines
        if deadlines.down:
            await deadlines.require()
        waiting = Waiting(stream, batch, expected)
        self._commits.add(waiting)
        deadlines.add(waiting.answer, waiting.state)
        return await waiting.answer

    async def teardown(self) -> None:
        """Delete the topic, and forget it."""
        await self._owner.release()
        self._owner = Owner(self._connection)
        await super().teardown()

    async def aclose(self) -> None:
        """Fail every waiting append, and close every client."""
        self._connection.deadlines.close()
        await self._commits.drain(_CLOSE_WITHIN_S)
        await self._owner.release()
        await self._commits.aclose()
        await super().aclose()

    async def _write(self, waiting: Sequence[Waiting]) -> None:
        """Decide each append on the owner's heads, then write all of them in one transaction."""
        try:
            group = await self._owner.group()
        except ReadFailed as error:
            # Reading the heads failed: nothing of the group was sent.
            raise StoreUnavailable(str(error)) from error
        # Refusals wait, too: they may depend on events that this group is about to write.
        ends = [_decide(group, one) for one in waiting if not one.answer.done()]
        offsets = await self._owner.write(group) if group.messages else []
        for one, end in ends:
            if isinstance(end, StoreError):
                one.refuse(end)
            else:
                one.resolve(self._result(end, offsets))

    def _result(self, placed: Placed, offsets: Sequence[int]) -> AppendResult:
        offset = offsets[placed.number] if placed.offset is None else placed.offset
        alone = len(self._owner.heads.places) == 1
        return AppendResult(placed.version, Position((offset + 1,)) if alone else None)


def _decide(group: Group, one: Waiting) -> tuple[Waiting, Placed | StoreError]:
    """An append's place, or the error that it failed with."""
    try:
        placed = group.place(one.stream, one.batch, one.expected)
    except StoreError as error:
        return one, error
    one.state.sent = True
    return one, placed

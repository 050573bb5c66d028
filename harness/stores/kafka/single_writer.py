"""`kafka:single-writer`: one fenced owner, whose heads in memory stand in for a conditional write.

Concurrent callers share one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.errors import OutcomeUnknown, ReadFailed, StoreError, StoreUnavailable
from harness.store import AppendResult, ExpectedVersion, Guarantees, NewEvent, Position
from harness.stores.kafka.connection import Connection
from harness.stores.kafka.deadlines import Turn
from harness.stores.kafka.durability import durability_of, topic_settings
from harness.stores.kafka.facts import FACTS
from harness.stores.kafka.grouping import Group, Placed
from harness.stores.kafka.messages import EVENT_LIMIT_BYTES, Message, messages
from harness.stores.kafka.options import KafkaOptions
from harness.stores.kafka.owner import Owner
from harness.stores.kafka.store import TopicStore

GROUP_MAX = 1024
"""Appends in one transaction."""
_CLOSE_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """An append whose caller waits for `answer`."""

    stream: str
    batch: Sequence[Message]
    expected: ExpectedVersion
    answer: asyncio.Future[AppendResult]
    turn: Turn = field(default_factory=Turn)

    def refuse(self, error: StoreError) -> None:
        """Tell the caller, unless the deadline did."""
        if not self.answer.done():
            self.answer.set_exception(error)


class SingleWriter(TopicStore):
    """The first append claims the topic: any other owner is fenced."""

    partitions = 1
    counting = False

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._owner = Owner(connection)
        self._waiting: list[Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    @classmethod
    def declares(cls, options: KafkaOptions) -> Guarantees:
        """Everything, while one process owns the topic and holds its ids in memory."""
        return Guarantees(
            occ="emulated",
            occ_note="versions are compared in the memory of the one owner, which Kafka fences;"
            " who was replaced learns it at the next write, and may refuse by an old version",
            atomic_append=True,
            global_order="total" if cls._partitions(options) == 1 else "per-partition",
            gap_free_read=True,
            idempotency="durable",
            stream_read="scan",
            subscription="push",
            append_only="by-convention",
            durability=durability_of(topic_settings(options)),
            writers="one",
            event_limit_bytes=EVENT_LIMIT_BYTES,
            facts=FACTS,
        )

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
        answer: asyncio.Future[AppendResult] = asyncio.get_running_loop().create_future()
        waiting = Waiting(stream, batch, expected, answer)
        self._waiting.append(waiting)
        deadlines.add(answer, waiting.turn)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return await answer

    async def teardown(self) -> None:
        """Delete the topic, and forget it."""
        await self._owner.release()
        self._owner = Owner(self._connection)
        await super().teardown()

    async def aclose(self) -> None:
        """Tell whoever still waits, and close every client."""
        self._connection.deadlines.close()
        writer = self._writer
        if writer is not None:
            await asyncio.wait([writer], timeout=_CLOSE_WITHIN_S)
        await self._owner.release()
        if writer is not None:
            writer.cancel()
            await asyncio.wait([writer])
        await super().aclose()

    async def _write(self) -> None:
        """Write one group after another until nobody waits."""
        try:
            await asyncio.sleep(0)  # callers of this turn of the loop come along
            while self._waiting:
                group = self._waiting[:GROUP_MAX]
                del self._waiting[:GROUP_MAX]
                await self._write_group([one for one in group if not one.answer.done()])
        finally:
            self._writer = None
            for one in self._waiting:
                one.refuse(StoreUnavailable("closed before the append was sent"))

    async def _write_group(self, callers: Sequence[Waiting]) -> None:
        try:
            group = await self._owner.group()
        except StoreError as error:
            _refuse(callers, _not_sent(error))
            return
        # Refusals wait, too: they may rest on what this group is about to write.
        ends = [_decide(group, one) for one in callers if not one.answer.done()]
        try:
            offsets = await self._owner.write(group) if group.messages else []
        except StoreError as error:
            _refuse([one for one, _ in ends], error)
            return
        except BaseException:
            _refuse([one for one, _ in ends], OutcomeUnknown("the store was closed"))
            raise
        for one, end in ends:
            if isinstance(end, StoreError):
                one.refuse(end)
            elif not one.answer.done():
                one.answer.set_result(self._result(end, offsets))

    def _result(self, placed: Placed, offsets: Sequence[int]) -> AppendResult:
        offset = offsets[placed.number] if placed.offset is None else placed.offset
        alone = len(self._owner.heads.places) == 1
        return AppendResult(placed.version, Position((offset + 1,)) if alone else None)


def _decide(group: Group, one: Waiting) -> tuple[Waiting, Placed | StoreError]:
    """An append's place, or why it has none."""
    try:
        placed = group.place(one.stream, one.batch, one.expected)
    except StoreError as error:
        return one, error
    one.turn.sent = True
    return one, placed


def _not_sent(error: StoreError) -> StoreError:
    """Reading the heads failed: nothing of the group was sent."""
    return StoreUnavailable(str(error)) if isinstance(error, ReadFailed) else error


def _refuse(callers: Sequence[Waiting], error: StoreError) -> None:
    for one in callers:
        one.refuse(error)

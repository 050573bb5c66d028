"""Subscribers in storms: they catch up and go live while many writers append to many streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from uuid import UUID

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import Broken, Step
from harness.conformance.framework.history_oracle import require_history
from harness.conformance.framework.open_transactions import meanwhile
from harness.conformance.framework.races import Attempt
from harness.conformance.framework.storms import (
    Write,
    count_crossings,
    storm_of,
    streams_of,
    ways_to_write,
)
from harness.conformance.framework.subscriber_probe import (
    SETTLE_S,
    SubscriberProbe,
    subscribed,
)
from harness.domain.store import EventStore, Position
from harness.verification import Kind

FURTHER = range(20, 160)
"""Events that the first subscriber receives before the next one begins."""
WENT_LIVE_MIN = 1
DELIVERED_MIN = 100
"""Events delivered while the storm goes on; fewer prove nothing."""
_POLL_S = 0.002
_WRONG = Kind.DUPLICATED, Kind.INVERTED, Kind.FOREIGN, Kind.WRITTEN_THOUGH_REFUSED


@dataclass(frozen=True, slots=True)
class Follower:
    """A subscriber of a storm, when it began, and the events before its position."""

    probe: SubscriberProbe
    began: Step
    began_s: float
    before: frozenset[UUID] = frozenset()

    def received_s(self, context: CheckContext) -> list[float]:
        """When each event arrived, by the machine's monotonic clock."""
        zero_s = time.monotonic() - context.at_ms() / 1000
        return [zero_s + at_ms / 1000 for at_ms in self.probe.received_ms]


class StormFollowers:
    """The subscribers of one storm: one before it, and others that begin in the middle of it."""

    def __init__(
        self, context: CheckContext, streams: Iterable[str], stack: AsyncExitStack
    ) -> None:
        self.all: list[Follower] = []
        self._context, self._streams, self._stack = context, frozenset(streams), stack

    @property
    def first(self) -> SubscriberProbe:
        return self.all[0].probe

    async def begin(self, who: str, after: Position | None, through: EventStore) -> None:
        """One more, from the position before the storm."""
        await self._begin(who, after, through, frozenset())

    async def resume(self, who: str, through: EventStore) -> None:
        """One more, from the last position of the first one, as text."""
        events = list(self.first.events)
        if events:
            after = Position.parse(str(events[-1].position))
            await self._begin(who, after, through, frozenset(event.id for event in events))

    async def _begin(
        self, who: str, after: Position | None, through: EventStore, before: frozenset[UUID]
    ) -> None:
        where = f"after {after}" + f", the first one's event {len(before)}" * bool(before)
        began = Step(who, "subscribed", where, self._context.at_ms())
        following = subscribed(self._context, self._streams, who=who, after=after, through=through)
        probe = await self._stack.enter_async_context(following)
        self.all.append(Follower(probe, began, time.monotonic(), before))

    async def progress(self, writing: asyncio.Task[list[Attempt]]) -> None:
        """Wait until the first has a drawn number of events more, or the storm is over."""
        wanted = len(self.first.events) + self._context.rng.choice(FURTHER)
        while len(self.first.events) < wanted and not writing.done():
            await self.first.require_running()
            await asyncio.sleep(_POLL_S)


async def follow_storms(context: CheckContext) -> None:
    """Raises `Broken` if a subscriber that begins before or amid a storm misses an event of it."""
    for write in ways_to_write(context):
        await _follow_storm(context, write)


async def _follow_storm(context: CheckContext, write: Write) -> None:
    storm, stores = storm_of(context), await context.writers(3)
    streams, start = streams_of(context, storm), await context.head()
    async with AsyncExitStack() as stack:
        followers = StormFollowers(context, streams, stack)
        await followers.begin("the first subscriber", start, stores[1])
        writing = meanwhile(write(context, storm))
        try:
            for number in range(2):
                await followers.progress(writing)
                await followers.begin(f"a late subscriber, {number}", start, stores[2])
                await followers.progress(writing)
                await followers.resume(f"a resuming subscriber, {number}", stores[number])
        finally:
            attempts = await writing
        for follower in followers.all:
            await _require_all_received(context, follower, attempts)
        await asyncio.sleep(SETTLE_S)
    for follower in followers.all:
        _require_history(follower, attempts)
        _count_deliveries(context, follower, attempts)
    count_crossings(context, attempts, await context.log(streams, after=start))


async def _require_all_received(
    context: CheckContext, follower: Follower, attempts: Sequence[Attempt]
) -> None:
    """Raises `Broken` unless each acknowledged event after its position arrives."""
    acknowledged = (event.id for each in attempts if each.won for event in each.batch)
    wanted = [each for each in acknowledged if each not in follower.before]
    if missing := await follower.probe.receives(wanted):
        lost = [each for each in attempts if any(event.id in missing for event in each.batch)]
        zero_s = time.monotonic() - context.at_ms() / 1000
        wrote = [
            replace(each.step(attempts), at_ms=(each.began_s - zero_s) * 1000) for each in lost[:3]
        ]
        steps = [follower.began, *wrote, follower.probe.step()]
        what = f"{len(missing)} of {len(wanted)} acknowledged events"
        raise Broken(f"{what} of a storm never reached {follower.probe.who}", steps)


def _require_history(follower: Follower, attempts: Sequence[Attempt]) -> None:
    """Raises `Broken` unless each event arrived once, in its stream's order, after its position."""
    probe = follower.probe
    for event in probe.events:
        if event.id in follower.before:
            steps = [follower.began, *probe.deliveries(event.id)[:1]]
            raise Broken(f"an event before its position reached {probe.who}", steps)
    try:
        require_history(attempts, probe.events, *_WRONG)
    except Broken as broken:
        raise Broken(f"{probe.who}: {broken.why}", [follower.began, *broken.evidence]) from None


def _count_deliveries(
    context: CheckContext, follower: Follower, attempts: Sequence[Attempt]
) -> None:
    """Count what it received before the last append began, and whether that includes new events."""
    over_s = max(each.began_s for each in attempts)
    new = {event.id for each in attempts if each.began_s > follower.began_s for event in each.batch}
    during = [
        event.id in new
        for event, at_s in zip(follower.probe.events, follower.received_s(context), strict=True)
        if at_s < over_s
    ]
    went_live = int(any(during))
    context.count("subscribers that went live during a storm", went_live, least=WENT_LIVE_MIN)
    context.count("events delivered during a storm", len(during), least=DELIVERED_MIN)

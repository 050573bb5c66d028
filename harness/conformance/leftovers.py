"""What is left of appends that were refused, by every way there is to read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from uuid import UUID

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step, Unsupported
from harness.conformance.contests import there
from harness.conformance.following import Following, following, listed
from harness.conformance.racing import Attempt
from harness.errors import NotWritten
from harness.store import NewEvent, Position, RecordedEvent

SUBSCRIBED_WITHIN_S = 3.0
"""What a subscription has not handed by then is for the checks of subscriptions to miss."""
_LOOK_S = 0.005


def refused(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Those that the store answered with a certain no."""
    return [each for each in attempts if isinstance(each.ended, NotWritten)]


@asynccontextmanager
async def leaving_nothing(
    bench: Bench, streams: Sequence[str], *, but: Sequence[NewEvent]
) -> AsyncIterator[list[Attempt]]:
    """A list for the attempts of the block, on these streams, which hold `but` before it.

    Behind the block, raises `Broken` if an event of a refused one is read in its stream, in the
    log, or by a subscriber who was there or came later.
    """
    after, attempts, kept = await bench.head(), list[Attempt](), {event.id for event in but}
    async with AsyncExitStack() as stack:
        live = await _subscribers(bench, stack, streams, after, "a subscriber who was there")
        yield attempts
        for stream in streams:
            _hold(attempts, kept, Step("a reader", f"read {stream!r}"), await there(bench, stream))
        ends = await _end_marks(bench, streams)
        with suppress(Unsupported):
            _hold(
                attempts,
                kept,
                Step("a reader", "read the log"),
                await bench.log(streams, after=after),
            )
        late = await _subscribers(bench, stack, streams, after, "a subscriber who came later")
        for each in (*live, *late):
            await _handed(each, ends)
            _hold(attempts, kept, Step(each.who, "was handed"), each.events)


async def _subscribers(
    bench: Bench, stack: AsyncExitStack, streams: Sequence[str], after: Position | None, who: str
) -> list[Following]:
    """One, or none where nobody can subscribe."""
    if bench.guarantees.subscription == "none":
        return []
    return [await stack.enter_async_context(following(bench, streams, who=who, after=after))]


async def _end_marks(bench: Bench, streams: Sequence[str]) -> set[UUID]:
    """The events that were appended last: whoever has read them has read what stands before."""
    marks = bench.events(len(streams))
    for stream, mark in zip(streams, marks, strict=True):
        await bench.append(stream, [mark])
    return {mark.id for mark in marks}


async def _handed(subscriber: Following, ends: set[UUID]) -> None:
    """Once it has the end marks, or in the time that there is."""
    until = time.monotonic() + SUBSCRIBED_WITHIN_S
    while time.monotonic() < until:
        if ends <= {*subscriber.ids()}:
            return
        await asyncio.sleep(_LOOK_S)


def _hold(
    attempts: Sequence[Attempt], kept: set[UUID], read: Step, found: Sequence[RecordedEvent]
) -> None:
    """Raises `Broken` if this reading found an event that was refused and never acknowledged."""
    others = [each for each in attempts if each.won or not each.answered]
    possible = kept | {event.id for each in others for event in each.batch}
    for each in refused(attempts):
        batch = {event.id for event in each.batch} - possible
        left = [event for event in found if event.id in batch]
        if left:
            what = f"{len(left)} of the refused append's {len(each.batch)} events: {listed(left)}"
            steps = [each.step(attempts), replace(read, result=what)]
            raise Broken("a refused append left events behind", steps)

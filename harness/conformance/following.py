"""A subscriber beside a check: what it was handed, and how long that took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from uuid import UUID

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step, Unsupported
from harness.errors import StoreError
from harness.store import EventStore, Position, RecordedEvent

_LOOK_S = 0.2


class Following:
    """What one subscriber was handed of the streams that it is asked about."""

    def __init__(self, who: str, streams: Collection[str], within_s: float) -> None:
        self.who = who
        self._within_s = within_s
        self.events: list[RecordedEvent] = []
        self.task: asyncio.Task[None] | None = None
        self._streams = frozenset(streams)
        self._more = asyncio.Event()

    async def run(self, subscription: AsyncIterator[RecordedEvent]) -> None:
        """Take events until cancelled."""
        async with aclosing(subscription):  # type: ignore[type-var]  # adapters are generators
            async for recorded in subscription:
                if recorded.stream in self._streams:
                    self.events.append(recorded)
                    self._more.set()

    async def until(self, count: int, *, patience: float = 1.0) -> Sequence[RecordedEvent]:
        """The events, once there are so many. Raises `Broken` if they don't come.

        `patience` multiplies how long the profile waits.
        """
        within_s = patience * self._within_s
        deadline = time.monotonic() + within_s
        while len(self.events) < count:
            self._raise_ended()
            if time.monotonic() > deadline:
                why = f"{count - len(self.events)} of {count} events never reached a subscriber"
                raise Broken(why, [self.seen(f"waited {within_s:g} s")])
            self._more.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), _LOOK_S)
        return self.events

    def seen(self, did: str = "was handed") -> Step:
        """What it saw, as a line of evidence."""
        return Step(self.who, did, listed(self.events))

    def ids(self) -> list[UUID]:
        """Of the events so far."""
        return [event.id for event in self.events]

    def _raise_ended(self) -> None:
        if self.task is not None and self.task.done():
            error = self.task.exception()
            told = f"{type(error).__name__}: {error}" if error else "without an error"
            raise Broken("a subscription ended by itself", [Step(self.who, "ended", told)])


@asynccontextmanager
async def following(
    bench: Bench,
    streams: Collection[str],
    *,
    who: str = "the subscriber",
    after: Position | None = None,
    category: str | None = None,
    through: EventStore | None = None,
) -> AsyncIterator[Following]:
    """A subscriber, cancelled behind the block. `Unsupported` where nobody can subscribe."""
    if bench.guarantees.subscription == "none":
        raise Unsupported("declares no subscriptions")
    follower = Following(who, streams, bench.profile.within_s)
    subscription = (through or bench.store).subscribe(after=after, category=category)
    follower.task = asyncio.create_task(follower.run(subscription))
    try:
        yield follower
    finally:
        follower.task.cancel()
        with suppress(asyncio.CancelledError, StoreError):
            await follower.task


LISTED_MAX = 12


def listed(events: Sequence[RecordedEvent]) -> str:
    """`order-1@0 order-1@1 …`, the newest where there are many."""
    if not events:
        return "nothing"
    left_out = f"{len(events) - LISTED_MAX} before, " if len(events) > LISTED_MAX else ""
    return left_out + " ".join(f"{each.stream}@{each.version}" for each in events[-LISTED_MAX:])

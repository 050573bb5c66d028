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

    def __init__(
        self, bench: Bench, streams: Collection[str], who: str, *, holds_at: int = 0
    ) -> None:
        self.who = who
        self.events: list[RecordedEvent] = []
        self.handed_ms: list[float] = []
        """When each of them was, since the check began."""
        self.task: asyncio.Task[None] | None = None
        self._bench, self._streams = bench, frozenset(streams)
        self._holds_at = holds_at
        self._more, self._goes_on = asyncio.Event(), asyncio.Event()

    async def run(self, subscription: AsyncIterator[RecordedEvent]) -> None:
        """Take events until cancelled; after `holds_at` of them, none before `go_on`."""
        async with aclosing(subscription):  # type: ignore[type-var]  # adapters are generators
            async for recorded in subscription:
                if recorded.stream in self._streams:
                    self.events.append(recorded)
                    self.handed_ms.append(self._bench.at_ms())
                    self._more.set()
                    if len(self.events) == self._holds_at:
                        await self._goes_on.wait()

    def go_on(self) -> None:
        """Take the next event."""
        self._goes_on.set()

    async def until(self, count: int, *, patience: float = 1.0) -> Sequence[RecordedEvent]:
        """The events, once there are so many. Raises `Broken` if no more come.

        `patience` multiplies how long the profile waits, each time, for one more.
        """
        within_s = patience * self._bench.profile.within_s
        had, since_s = len(self.events), time.monotonic()
        while len(self.events) < count:
            self._raise_ended()
            if len(self.events) > had:
                had, since_s = len(self.events), time.monotonic()
            if time.monotonic() > since_s + within_s:
                why = f"{count - len(self.events)} of {count} events never reached a subscriber"
                raise Broken(why, [self.seen(f"waited {within_s:g} s, having")])
            self._more.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), _LOOK_S)
        return self.events

    def seen(self, did: str = "was handed") -> Step:
        """What it saw, as a line of evidence."""
        at_ms = self.handed_ms[-1] if self.handed_ms else self._bench.at_ms()
        return Step(self.who, did, listed(self.events), at_ms)

    def times(self, event_id: UUID) -> list[Step]:
        """A line for each time that it was handed this event."""
        return [
            Step(self.who, "was handed", f"{event_id} as {event.stream}@{event.version}", at_ms)
            for event, at_ms in zip(self.events, self.handed_ms, strict=True)
            if event.id == event_id
        ]

    def ids(self) -> list[UUID]:
        """Of the events so far."""
        return [event.id for event in self.events]

    def _raise_ended(self) -> None:
        if self.task is not None and self.task.done():
            error = self.task.exception()
            told = f"{type(error).__name__}: {error}" if error else "without an error"
            ended = Step(self.who, "ended", told, self._bench.at_ms())
            raise Broken("a subscription ended by itself", [self.seen(), ended])


@asynccontextmanager
async def following(
    bench: Bench,
    streams: Collection[str],
    *,
    who: str = "the subscriber",
    holds_at: int = 0,
    after: Position | None = None,
    category: str | None = None,
    through: EventStore | None = None,
) -> AsyncIterator[Following]:
    """A subscriber, cancelled behind the block. `Unsupported` where nobody can subscribe."""
    if bench.guarantees.subscription == "none":
        raise Unsupported("declares no subscriptions")
    follower = Following(bench, streams, who, holds_at=holds_at)
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

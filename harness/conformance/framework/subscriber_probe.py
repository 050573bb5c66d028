"""A subscriber that records what it receives and when, compared with what was sent."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import (
    Broken,
    Disturbed,
    Step,
    Unsupported,
    describe_error,
    describe_versions,
)
from harness.domain.cancellation import raise_if_cancelled
from harness.domain.errors import (
    OutcomeUnknown,
    OutOfResources,
    ReadTimeout,
    StoreError,
    StoreUnavailable,
    UnsupportedByStore,
)
from harness.domain.store import (
    UNTOLD,
    EventStore,
    NewEvent,
    Position,
    RecordedEvent,
    StreamState,
)

BATCH, BATCH_BYTES = 100, 800_000
"""Upper bounds of one append by `send_events`."""
SETTLE_S = 0.2
"""After the last expected event, so that one too many has time to arrive."""
SHOWN = 2
"""Events of each kind of mistake in the evidence."""
FOREIGN_PATIENCE = 4
"""How much longer to wait while events of other streams arrive."""
_POLL_S = 0.2
_GONE = StoreUnavailable, ReadTimeout, OutcomeUnknown, OutOfResources, OSError
"""With these a subscription says that nobody answers."""


class SubscriberProbe:
    """Records the events of `streams` that one subscriber receives."""

    def __init__(
        self,
        context: CheckContext,
        streams: Collection[str],
        who: str,
        *,
        pauses_at: int = 0,
        through: EventStore | None = None,
    ) -> None:
        self.who = who
        self.seen = 0
        """Events received, those of other streams too."""
        self.events: list[RecordedEvent] = []
        self.received_ms: list[float] = []
        """When each of them arrived, since the check began."""
        self.task: asyncio.Task[None] | None = None
        self._context, self._streams = context, frozenset(streams)
        self._store: EventStore = through or context.store
        self._pauses_at = pauses_at
        self._received, self._resumed = asyncio.Event(), asyncio.Event()

    async def run(self, subscription: AsyncIterator[RecordedEvent]) -> None:
        """Take events until cancelled; after `pauses_at` of them, none before `resume`."""
        async with aclosing(subscription):  # type: ignore[type-var]  # adapters are generators
            async for recorded in subscription:
                self.seen += 1
                if recorded.stream in self._streams:
                    self.events.append(recorded)
                    self.received_ms.append(self._context.at_ms())
                    self._received.set()
                    if len(self.events) == self._pauses_at:
                        await self._resumed.wait()

    @property
    def ended(self) -> bool:
        """Whether the subscription has ended, which none should."""
        return self.task is not None and self.task.done()

    def resume(self) -> None:
        """Take events again."""
        self._resumed.set()

    async def until(self, count: int, *, patience: float = 1.0) -> Sequence[RecordedEvent]:
        """The events, as soon as there are `count`. Raises `Broken` if no more arrive.

        `patience` multiplies the profile's time to wait for each next event.
        """
        within_s = patience * self._context.profile.within_s
        if not await self._received_until(lambda: len(self.events) >= count, within_s):
            why = f"{count - len(self.events)} of {count} events never reached a subscriber"
            raise Broken(why, [self.step(f"waited {within_s:g} s, having")])
        return self.events

    async def receives(self, wanted: Collection[UUID]) -> set[UUID]:
        """Those of `wanted` that do not arrive, once nothing arrives any more."""
        left, looked, most = set(wanted), 0, 2 * len(wanted) + BATCH

        def enough() -> bool:
            nonlocal looked
            left.difference_update(event.id for event in self.events[looked:])
            looked = len(self.events)
            return not left or looked > most

        await self._received_until(enough, self._context.profile.within_s)
        return left

    async def require_running(self) -> None:
        """Raises `Broken` if the subscription ended by itself, `Disturbed` if with its server."""
        if self.task is None or not self.ended:
            return
        error = self.task.exception()
        how = describe_error(error) if isinstance(error, Exception) else "without an error"
        ended = Step(self.who, "ended", how, self._context.at_ms())
        if isinstance(error, _GONE) or not await self._answers():
            raise Disturbed(f"a subscription ended with its server or its connection: {how}")
        raise Broken("a subscription ended by itself", [self.step(), ended])

    async def _received_until(self, enough: Callable[[], bool], within_s: float) -> bool:
        """Wait for it, for `within_s` after each event, and longer after its streams' own."""
        had, seen = len(self.events), self.seen
        own_s = since_s = time.monotonic()
        while not enough():
            await self.require_running()
            now_s = time.monotonic()
            if self.seen > seen:
                seen, since_s = self.seen, now_s
            if len(self.events) > had:
                had, own_s = len(self.events), now_s
            if now_s > min(since_s + within_s, own_s + FOREIGN_PATIENCE * within_s):
                return False
            self._received.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._received.wait(), _POLL_S)
        return True

    def step(self, did: str = "received") -> Step:
        """Its events, as a line of evidence."""
        at_ms = self.received_ms[-1] if self.received_ms else self._context.at_ms()
        return Step(self.who, did, describe_versions(self.events), at_ms)

    def deliveries(self, event_id: UUID) -> list[Step]:
        """A line for each time that it received this event."""
        return [
            Step(self.who, "received", f"{event_id} as {event.stream}@{event.version}", at_ms)
            for event, at_ms in zip(self.events, self.received_ms, strict=True)
            if event.id == event_id
        ]

    def ids(self) -> list[UUID]:
        """The ids of its events."""
        return [event.id for event in self.events]

    async def _answers(self) -> bool:
        """Whether the subscription's connection can still be read from."""
        try:
            async with asyncio.timeout(self._context.profile.within_s):
                async for _ in self._store.read_all(limit=1):
                    break
        except UnsupportedByStore:
            return True
        except (StoreError, TimeoutError):
            raise_if_cancelled()
            return False
        return True


@asynccontextmanager
async def subscribed(
    context: CheckContext,
    streams: Collection[str],
    *,
    who: str = "the subscriber",
    pauses_at: int = 0,
    after: Position | None = None,
    category: str | None = None,
    through: EventStore | None = None,
) -> AsyncIterator[SubscriberProbe]:
    """A probe that is cancelled after the block; raises as `require_running` does if it ended.

    Raises `Unsupported` without subscriptions.
    """
    require_subscriptions(context)
    probe = SubscriberProbe(context, streams, who, pauses_at=pauses_at, through=through)
    subscription = (through or context.store).subscribe(after=after, category=category)
    probe.task = asyncio.create_task(probe.run(subscription))
    try:
        yield probe
        await probe.require_running()
    finally:
        probe.task.cancel()
        await asyncio.gather(probe.task, return_exceptions=True)


def require_subscriptions(context: CheckContext) -> None:
    """Raises `Unsupported` where the store declares no subscriptions."""
    if context.guarantees.subscription == "none":
        raise Unsupported("declares no subscriptions")


@dataclass(frozen=True, slots=True)
class SentEvent:
    """An acknowledged event, and when its append began."""

    event: NewEvent
    stream: str
    version: int
    """`UNTOLD` where the store does not return it."""
    at_ms: float

    def step(self) -> Step:
        """Its append, as a line of evidence."""
        result = "acknowledged" + (f" as version {self.version}" if self.version != UNTOLD else "")
        return Step("the writer", f"append {self.event.id} to {self.stream!r}", result, self.at_ms)


async def send_events(
    context: CheckContext,
    streams: Sequence[str],
    count: int,
    *,
    through: EventStore | None = None,
    data: bytes | None = None,
) -> list[SentEvent]:
    """Append `count` events in batches, to these streams in turn."""
    sent: list[SentEvent] = []
    size = _batch_size(context, max(1, count // (2 * len(streams))), data)
    while len(sent) < count:
        batch = context.events(min(size, count - len(sent)), data=data)
        stream, at_ms = streams[len(sent) // size % len(streams)], context.at_ms()
        result = await (through or context.store).append(stream, batch, expected=StreamState.ANY)
        first = result.version + 1 - len(batch)
        for place, event in enumerate(batch):
            version = first + place if result.version != UNTOLD else UNTOLD
            sent.append(SentEvent(event, stream, version, at_ms))
    return sent


def _batch_size(context: CheckContext, wanted: int, data: bytes | None) -> int:
    """As many as wanted, within what one append should have and may have."""
    limit = context.guarantees.batch_limit or BATCH
    return min(wanted, limit, BATCH, max(1, BATCH_BYTES // len(data)) if data else BATCH)


async def require_all_delivered(
    probe: SubscriberProbe,
    sent: Sequence[SentEvent],
    *,
    before: Sequence[Step] = (),
    patience: float = 1.0,
) -> None:
    """Wait for as many events as were sent. Raises `Broken` with the missing ones.

    The evidence begins with the steps `before`.
    """
    try:
        await probe.until(len(sent), patience=patience)
    except Broken as broken:
        if not probe.ended:
            require_delivered_once(probe, sent, before=before)
        raise Broken(broken.why, [*before, *broken.evidence]) from None


def require_delivered_once(
    probe: SubscriberProbe, sent: Sequence[SentEvent], *, before: Sequence[Step] = ()
) -> None:
    """Raises `Broken` unless each event arrived once, in any order, and no other.

    The evidence begins with the steps `before`.
    """
    received, wanted = Counter(probe.ids()), {each.event.id for each in sent}
    missing = [each for each in sent if each.event.id not in received]
    twice = [each for each in sent if received[each.event.id] > 1]
    foreign = [each for each in probe.events if each.id not in wanted]
    if missing or twice or foreign:
        why = f"{len(missing)} events missing, {len(twice)} delivered twice, {len(foreign)} foreign"
        steps = [*before, *(each.step() for each in missing[:SHOWN])]
        for each in twice[:SHOWN]:
            steps += [each.step(), *probe.deliveries(each.event.id)[:2]]
        for event in foreign[:SHOWN]:
            steps += probe.deliveries(event.id)[:1]
        raise Broken(why, [*steps, probe.step()])


async def require_stream_order(
    context: CheckContext, probe: SubscriberProbe, streams: Sequence[str]
) -> None:
    """Raises `Broken` unless each stream's events arrived as they are read from it."""
    for stream in streams:
        received = [event for event in probe.events if event.stream == stream]
        for event, read in zip(received, await context.read(stream), strict=False):
            if (event.id, event.version) != (read.id, read.version):
                what = f"{read.id} as version {read.version}"
                step = Step("a reader", f"read {stream!r} at the same place", what)
                steps = [*probe.deliveries(event.id), step]
                raise Broken("a subscriber did not receive a stream as it is read", steps)

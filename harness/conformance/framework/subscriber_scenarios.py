"""What subscribers go through in checks: catch up, lag, sit idle, start from now, reconnect."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import Broken, Step
from harness.conformance.framework.check_workers import Rendezvous
from harness.conformance.framework.races import Attempt, attempt, process_events
from harness.conformance.framework.subscriber_probe import (
    SETTLE_S,
    SentEvent,
    SubscriberProbe,
    require_all_delivered,
    require_delivered_once,
    require_stream_order,
    send_events,
    subscribed,
)
from harness.domain.errors import ReadFailed, StoreError, StoreUnavailable
from harness.domain.store import (
    Adapter,
    EventStore,
    Position,
    RecordedEvent,
    StreamState,
)

_RECONNECT_S = 0.1
SLOW_EVENTS, SLOW_BYTES = range(2_700, 3_301), range(17_000, 23_001)
"""Events that wait for a slow subscriber, and the size of each."""
WAKE_UPS_SHOWN = 3
"""Appends in the evidence, the newest."""
PAST = range(20, 141)
"""Events of the past in each round."""
SUBSCRIBERS = 3
MEANWHILE, LIVE = 4, 8
"""Upper bounds of appends while one subscriber pauses in the past, and after it goes live."""
TURNS = 8
PAUSE_S = 0.004
PAUSES = 0.3
"""The writer pauses for up to `TURNS` turns of the loop, and this often for `PAUSE_S` as well."""
SOON_S = 0.05
"""After the last expected event of each round, so that one too many has time to arrive."""
_POLL_S = 0.2
FRESH_S = 0.05
"""Between appends while it is unknown whether the subscription has begun."""


async def resubscribe_forever(store: EventStore, probe: SubscriberProbe) -> None:
    """Subscribe after the last event received, again whenever the connection is lost."""
    while True:
        after = probe.events[-1].position if probe.events else None
        with suppress(ReadFailed, StoreUnavailable):
            await probe.run(store.subscribe(after=after))
            return
        await asyncio.sleep(_RECONNECT_S)


async def require_resume_in_category(
    context: CheckContext, category: str, probe: SubscriberProbe, sent: Sequence[SentEvent]
) -> None:
    """Raises `Broken` unless a subscriber that resumes at a drawn event gets the rest, once."""
    middle = context.rng.randrange(len(sent) // 4, 3 * len(sent) // 4)
    event, rest = probe.events[middle], set(probe.ids()[middle + 1 :])
    after = Position.parse(str(event.position))
    did = f"resumed {category!r} after {event.stream}@{event.version}"
    wrote = [each.step() for each in sent if each.event.id == event.id]
    before = [*wrote, Step("the subscriber", did, str(after), context.at_ms())]
    streams = {each.stream for each in probe.events}
    async with subscribed(context, streams, after=after, category=category) as resumed:
        wanted = [each for each in sent if each.event.id in rest]
        await require_all_delivered(resumed, wanted, before=before)
        await asyncio.sleep(SETTLE_S)
    require_delivered_once(resumed, wanted, before=before)
    context.count("events received after a checkpoint in the category", len(wanted), least=100)


async def require_only_new_from_now(context: CheckContext, old: Sequence[SentEvent]) -> None:
    """Raises `Broken` unless a subscription from now receives new events only.

    The store does not tell when "now" is, so events are appended until one arrives.
    """
    stream, new = old[0].stream, list[SentEvent]()
    began = Step("a subscriber from now on", "subscribed", at_ms=context.at_ms())
    async with subscribed(context, [stream], who=began.who, after=Position.NOW) as probe:
        until = time.monotonic() + context.profile.within_s
        while not probe.events and time.monotonic() < until:
            new += await send_events(context, [stream], 1)
            await asyncio.sleep(FRESH_S)
        new += await send_events(context, [stream], 1)
        await probe.until(1)
        if any(probe.ids()[0] == each.event.id for each in old):
            steps = [old[0].step(), began, probe.step()]
            raise Broken("a subscriber from now on received an older event", steps)
        first = next((n for n, each in enumerate(new) if each.event.id == probe.ids()[0]), 0)
        await require_all_delivered(probe, new[first:], before=[began])
        await asyncio.sleep(SETTLE_S)
    require_delivered_once(probe, new[first:], before=[began])


class IrregularWriter:
    """Appends at irregular intervals, so that a subscriber may go live at any moment of it."""

    def __init__(self, context: CheckContext, streams: Sequence[str], store: Adapter) -> None:
        self.sent: list[SentEvent] = []
        self.appends = 0
        """Acknowledged so far."""
        self._context, self._streams, self._store = context, streams, store
        self._appended, self._stopped = asyncio.Event(), False
        self._task = asyncio.create_task(self._run())

    async def more(self, count: int) -> bool:
        """Wait until `count` more are acknowledged. Returns whether they were in time."""
        wanted, until = self.appends + count, time.monotonic() + self._context.profile.within_s
        while self.appends < wanted and time.monotonic() < until and not self._task.done():
            self._appended.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._appended.wait(), _POLL_S)
        return self.appends >= wanted

    async def stop(self) -> list[SentEvent]:
        """Finish the append under way and return everything sent. Raises the writer's error."""
        self._stopped = True
        await self._task
        return self.sent

    async def _run(self) -> None:
        rng = self._context.rng
        while not self._stopped:
            stream, count = rng.choice(self._streams), rng.randrange(1, 4)
            self.sent += await send_events(self._context, [stream], count, through=self._store)
            self.appends += 1
            self._appended.set()
            if rng.random() < PAUSES:
                await asyncio.sleep(rng.uniform(0, PAUSE_S))
            for _ in range(rng.randrange(TURNS)):
                await asyncio.sleep(0)


async def go_live(context: CheckContext, after: Position | None) -> tuple[Position, int]:
    """Several subscribers catch up and go live, one by one, while a writer appends.

    Each pauses somewhere in the past until something is appended, then reads on; the writer
    continues after it has reached the end of the past. Returns a position after all events, and
    the number of subscribers that went live between two acknowledged appends. Raises `Broken`.
    """
    streams, count = [context.stream() for _ in range(3)], context.rng.choice(PAST)
    past = await send_events(context, streams, count)
    async with AsyncExitStack() as stack:
        writer = IrregularWriter(context, streams, (await context.writers(2))[1])
        stack.push_async_callback(writer.stop)
        probes, amid_appends = [], 0
        for number in range(SUBSCRIBERS):
            place = context.rng.randrange(1, count + 1)
            probe = await stack.enter_async_context(
                subscribed(
                    context, streams, after=after, pauses_at=place, who=f"subscriber {number}"
                )
            )
            await probe.until(place)
            before = await writer.more(context.rng.randrange(1, MEANWHILE))
            probe.resume()
            await probe.until(count)
            amid_appends += before and await writer.more(context.rng.randrange(1, LIVE))
            probes.append(probe)
        sent = past + await writer.stop()
        for probe in probes:
            await require_all_delivered(probe, sent)
        await asyncio.sleep(SOON_S)
    for probe in probes:
        require_delivered_once(probe, sent)
        await require_stream_order(context, probe, streams)
    return probes[0].events[-1].position, amid_appends


async def append_once(
    store: Adapter, rendezvous: Rendezvous, number: int, stream: str
) -> list[Attempt]:
    """One process's part: only the first process appends to the stream of an idle subscriber.

    Concurrent commits, which a reader may pass over, are the subject of other checks.
    """
    await rendezvous()
    if number:
        return []
    batch = process_events(f"{stream}/{number}", 1)
    return [await attempt("another process", store, stream, batch, StreamState.ANY)]


async def require_wake_up(
    context: CheckContext, probe: SubscriberProbe, written: Sequence[Attempt], bound_s: float
) -> None:
    """Raises `Broken` unless each acknowledged event arrived within the bound."""
    began_s = time.monotonic() - context.at_ms() / 1000
    steps = [replace(each.step(written), at_ms=(each.began_s - began_s) * 1000) for each in written]
    try:
        await probe.until(len(written))
    except Broken as broken:
        raise Broken(broken.why, [*steps[-WAKE_UPS_SHOWN:], *broken.evidence]) from None
    for each, wrote in zip(written, steps, strict=True):
        if isinstance(each.answer, StoreError):
            raise each.answer
        for woke in probe.deliveries(each.batch[0].id)[:1]:
            took_s = (woke.at_ms or 0) / 1000 - (each.ended_s - began_s)
            if took_s > bound_s:
                result = f"{took_s:.2f} s after the acknowledgement, of {bound_s:g}"
                raise Broken(
                    "an idle subscriber woke too late", [wrote, replace(woke, result=result)]
                )


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Recorded events that are alive in this process, and the bytes that Python allocated."""

    events: int
    bytes: int

    def __sub__(self, other: MemoryUse) -> MemoryUse:
        return MemoryUse(self.events - other.events, self.bytes - other.bytes)


@contextmanager
def memory_growth() -> Iterator[Callable[[], MemoryUse]]:
    """Inside the block: the growth since its beginning."""
    tracemalloc.start()
    try:
        before = _memory_use()
        yield lambda: _memory_use() - before
    finally:
        tracemalloc.stop()


def _memory_use() -> MemoryUse:
    gc.collect()
    events = sum(type(each) is RecordedEvent for each in gc.get_objects())
    return MemoryUse(events, tracemalloc.get_traced_memory()[0])


@dataclass(frozen=True, slots=True)
class SlowLoad:
    """What is appended while a slow subscriber pauses."""

    count: int
    bytes: int
    """Of each event's data."""

    @classmethod
    def drawn(cls, context: CheckContext) -> SlowLoad:
        """Of a drawn size that the store takes."""
        size = context.rng.choice(SLOW_BYTES)
        limit = context.guarantees.event_limit_bytes or size
        return cls(context.rng.choice(SLOW_EVENTS), min(size, limit))

    @property
    def half(self) -> int:
        """Events of the first half."""
        return self.count // 2


async def send_and_weigh(
    context: CheckContext,
    stream: str,
    load: SlowLoad,
    growth: Callable[[], MemoryUse],
    *,
    settle_s: float,
) -> tuple[list[SentEvent], MemoryUse]:
    """Append all of it; the memory that the second half adds."""
    data = b'"' + b"x" * (load.bytes - 2) + b'"'
    sent = await send_events(context, [stream], load.half, data=data)
    await asyncio.sleep(settle_s)
    before = growth()
    sent += await send_events(context, [stream], load.count - load.half, data=data)
    await asyncio.sleep(settle_s)
    return sent, growth() - before


def require_sent_order(probe: SubscriberProbe, sent: Sequence[SentEvent]) -> None:
    """Raises `Broken` unless the events of one stream arrived as they were sent."""
    for received, each in zip(probe.events, sent, strict=True):
        if received.id != each.event.id:
            deliveries = [*probe.deliveries(each.event.id), *probe.deliveries(received.id)]
            raise Broken(
                "a slow subscriber did not receive its stream in order", [each.step(), *deliveries]
            )


def require_bounded(context: CheckContext, load: SlowLoad, growth: MemoryUse) -> None:
    """Raises `Broken` if half of the second half of the events, or more, is kept in memory."""
    if growth.events > load.half // 2 or growth.bytes > load.half * load.bytes // 2:
        what = f"{growth.events:,} recorded events and {growth.bytes:,} bytes more"
        did = f"weighed what {load.count - load.half:,} events of {load.bytes:,} bytes added"
        weighed = Step("the lab", did, what, context.at_ms())
        raise Broken("what waits for a slow subscriber is not bounded", [weighed])

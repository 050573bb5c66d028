"""What the checks of subscriptions have in common: writing, handling, dying, going on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Protocol, cast

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step, Unsupported
from harness.conformance.following import Following, listed
from harness.errors import ReadFailed, StoreUnavailable
from harness.store import (
    UNTOLD,
    CheckpointStore,
    EventStore,
    NewEvent,
    RecordedEvent,
    StreamState,
)

BATCH = 40
_RECONNECT_S = 0.1


SHOWN = 2
"""Events of each kind of mistake in the evidence."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An event that was acknowledged, and when its append began."""

    event: NewEvent
    stream: str
    version: int
    """`UNTOLD` where the store does not tell it."""
    at_ms: float

    def step(self) -> Step:
        """Its append, as a line of evidence."""
        told = "acknowledged" + (f" as version {self.version}" if self.version != UNTOLD else "")
        return Step("the writer", f"append {self.event.id} to {self.stream!r}", told, self.at_ms)


class Crash(Exception):
    """What a failing handler raises."""


async def follow_again(store: EventStore, follower: Following) -> None:
    """As an application does: behind the last one handled, whenever the connection is lost."""
    while True:
        after = follower.events[-1].position if follower.events else None
        with suppress(ReadFailed, StoreUnavailable):
            await follower.run(store.subscribe(after=after))
            return
        await asyncio.sleep(_RECONNECT_S)


async def append_all(
    bench: Bench,
    streams: Sequence[str],
    count: int,
    *,
    through: EventStore | None = None,
    data: bytes | None = None,
) -> list[Sent]:
    """So many events, dealt round in small appends."""
    sent: list[Sent] = []
    size = max(1, min(BATCH, count // (2 * len(streams))))
    while len(sent) < count:
        batch = bench.events(min(size, count - len(sent)), data=data)
        stream, at_ms = streams[len(sent) // size % len(streams)], bench.at_ms()
        result = await (through or bench.store).append(stream, batch, expected=StreamState.ANY)
        first = result.version + 1 - len(batch)
        for place, event in enumerate(batch):
            version = first + place if result.version != UNTOLD else UNTOLD
            sent.append(Sent(event, stream, version, at_ms))
    return sent


def once_each(follower: Following, sent: Sequence[Sent]) -> None:
    """Everything once, whatever the order. Raises `Broken`."""
    handed, wanted = Counter(follower.ids()), {each.event.id for each in sent}
    missing = [each for each in sent if each.event.id not in handed]
    twice = [each for each in sent if handed[each.event.id] > 1]
    foreign = [each for each in follower.events if each.id not in wanted]
    if missing or twice or foreign:
        why = f"{len(missing)} events missing, {len(twice)} handed twice, {len(foreign)} of others"
        steps = [each.step() for each in missing[:SHOWN]]
        for each in twice[:SHOWN]:
            steps += [each.step(), *follower.times(each.event.id)[:2]]
        for event in foreign[:SHOWN]:
            steps += follower.times(event.id)[:1]
        raise Broken(why, [*steps, follower.seen()])


async def as_in_streams(bench: Bench, follower: Following, streams: Sequence[str]) -> None:
    """Of each stream the same events were handed as are read from it, in its order.

    Raises `Broken`.
    """
    for stream in streams:
        handed = [event for event in follower.events if event.stream == stream]
        for told, read in zip(handed, await bench.read(stream), strict=False):
            if (told.id, told.version) != (read.id, read.version):
                step = Step("a reader", f"read {stream!r} at the same place", _told(read))
                steps = [*follower.times(told.id), step]
                raise Broken("a subscriber was not handed a stream as it is read", steps)


def _told(event: RecordedEvent) -> str:
    return f"{event.id} as version {event.version}"


async def handle(
    bench: Bench, stream: str, *, who: str, dies_after: int, saves_last: bool
) -> list[RecordedEvent]:
    """A subscriber's life: handles, saves its checkpoint behind each, and dies at the last one.

    Each life has a connection of its own.
    """
    store = await checkpoints(bench)
    handled: list[RecordedEvent] = []
    after = await store.load_checkpoint(stream)

    async def live() -> None:
        async with aclosing(store.subscribe(after=after)) as subscription:  # type: ignore[type-var]
            async for event in subscription:
                if event.stream != stream:
                    continue
                handled.append(event)
                if len(handled) == dies_after and not saves_last:
                    raise Crash
                await store.save_checkpoint(stream, event.position)
                if len(handled) == dies_after:
                    return

    try:
        await asyncio.wait_for(live(), bench.profile.within_s)
    except Crash:
        pass
    except TimeoutError:
        raise Broken(
            f"{who} was handed too little", [Step(who, "handled", listed(handled))]
        ) from None
    return handled


class Subscriber(CheckpointStore, EventStore, Protocol):
    """A connection that subscribes, and keeps checkpoints."""


async def checkpoints(bench: Bench) -> Subscriber:
    """Where checkpoints are kept, on a new connection. Raises `Unsupported` where nowhere."""
    if bench.guarantees.subscription == "none":
        raise Unsupported("declares no subscriptions")
    if not isinstance(bench.store, CheckpointStore):
        raise Unsupported("keeps no checkpoints")
    return cast("Subscriber", await bench.another())

"""What the checks of subscriptions have in common: writing, handling, dying, going on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Protocol, cast

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step, Unsupported
from harness.conformance.following import Following, following, listed
from harness.errors import ReadFailed, StoreUnavailable
from harness.store import (
    UNTOLD,
    CheckpointStore,
    EventStore,
    NewEvent,
    Position,
    RecordedEvent,
    StreamState,
)

BATCH = 40
SETTLE_S = 0.2
"""Behind the last expected event: long enough for one too many to show up."""
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


async def until_all(
    follower: Following, sent: Sequence[Sent], *, told: Sequence[Step] = (), patience: float = 1.0
) -> None:
    """As many as were sent. Raises `Broken` with which are missing, behind what is `told`."""
    try:
        await follower.until(len(sent), patience=patience)
    except Broken as broken:
        once_each(follower, sent, told=told)
        raise Broken(broken.why, [*told, *broken.evidence]) from None


def once_each(follower: Following, sent: Sequence[Sent], *, told: Sequence[Step] = ()) -> None:
    """Everything once, whatever the order. Raises `Broken`, with what is `told` first."""
    handed, wanted = Counter(follower.ids()), {each.event.id for each in sent}
    missing = [each for each in sent if each.event.id not in handed]
    twice = [each for each in sent if handed[each.event.id] > 1]
    foreign = [each for each in follower.events if each.id not in wanted]
    if missing or twice or foreign:
        why = f"{len(missing)} events missing, {len(twice)} handed twice, {len(foreign)} of others"
        steps = [*told, *(each.step() for each in missing[:SHOWN])]
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


async def goes_on_in_the_middle(
    bench: Bench, category: str, follower: Following, sent: Sequence[Sent]
) -> None:
    """Who resumes a category is handed what the first one was handed from there on."""
    middle = len(sent) // 2
    event, rest = follower.events[middle], set(follower.ids()[middle + 1 :])
    after = Position.parse(str(event.position))
    behind = f"resumed {category!r} behind {event.stream}@{event.version}"
    wrote = [each.step() for each in sent if each.event.id == event.id]
    told = [*wrote, Step("the subscriber", behind, str(after), bench.at_ms())]
    streams = {each.stream for each in follower.events}
    async with following(bench, streams, after=after, category=category) as resumed:
        wanted = [each for each in sent if each.event.id in rest]
        await until_all(resumed, wanted, told=told)
        await asyncio.sleep(SETTLE_S)
    once_each(resumed, wanted, told=told)


def _told(event: RecordedEvent) -> str:
    return f"{event.id} as version {event.version}"


@dataclass(frozen=True, slots=True)
class Life:
    """What one life of a subscriber handled, since when, and behind which checkpoint."""

    who: str
    after: Position | None
    began_ms: float
    handled: list[RecordedEvent] = field(default_factory=list)

    def step(self) -> Step:
        """As a line of evidence."""
        since = "from the beginning" if self.after is None else f"behind {self.after}"
        return Step(self.who, f"handled {since}", listed(self.handled), self.began_ms)


async def handle(
    bench: Bench, sent: Sequence[Sent], *, who: str, dies_after: int, saves_last: bool
) -> Life:
    """A subscriber's life: handles, saves its checkpoint behind each, and dies at the last one.

    Each life has a connection of its own. `sent` is all of one stream, whose name is the
    subscriber's.
    """
    store, stream = await checkpoints(bench), sent[0].stream
    life = Life(who, await store.load_checkpoint(stream), bench.at_ms())

    async def live() -> None:
        async with aclosing(store.subscribe(after=life.after)) as subscription:  # type: ignore[type-var]
            async for event in subscription:
                if event.stream != stream:
                    continue
                life.handled.append(event)
                if len(life.handled) == dies_after and not saves_last:
                    raise Crash
                await store.save_checkpoint(stream, event.position)
                if len(life.handled) == dies_after:
                    return

    try:
        await asyncio.wait_for(live(), bench.profile.within_s)
    except Crash:
        pass
    except TimeoutError:
        written = [each.step() for each in sent[-SHOWN:]]
        raise Broken(f"{who} was handed too little", [*written, life.step()]) from None
    return life


class Subscriber(CheckpointStore, EventStore, Protocol):
    """A connection that subscribes, and keeps checkpoints."""


async def checkpoints(bench: Bench) -> Subscriber:
    """Where checkpoints are kept, on a new connection. Raises `Unsupported` where nowhere."""
    if bench.guarantees.subscription == "none":
        raise Unsupported("declares no subscriptions")
    if not isinstance(bench.store, CheckpointStore):
        raise Unsupported("keeps no checkpoints")
    return cast("Subscriber", await bench.another())

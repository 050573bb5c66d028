"""Subscribers' checkpoints: runs that die between handling and saving, and what is loaded."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol, cast

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import Broken, Step, Unsupported, describe_versions
from harness.conformance.framework.subscriber_probe import (
    SHOWN,
    SentEvent,
    require_subscriptions,
    send_events,
)
from harness.domain.store import CheckpointStore, EventStore, Position, RecordedEvent

NAMES = range(24, 41)
"""Subscribers that save checkpoints, besides those with similar names."""
LONG_NAME = range(65, 141)
"""Letters; two such names differ in the last one only."""
REWOUND_MIN, CLOSED_MIN = 8, 8
STEPS_SHOWN = 4
"""Saves of one subscriber in the evidence, the newest."""


class HandlerCrashed(Exception):
    """Raised by a failing handler."""


class CheckpointingStore(CheckpointStore, EventStore, Protocol):
    """A connection that subscribes and keeps checkpoints."""


@dataclass(frozen=True, slots=True)
class SubscriberRun:
    """What a subscriber handled between its start and its end, and after which checkpoint."""

    who: str
    after: Position | None
    began_ms: float
    handled: list[RecordedEvent] = field(default_factory=list)

    def step(self) -> Step:
        """As a line of evidence."""
        since = "from the beginning" if self.after is None else f"after {self.after}"
        return Step(self.who, f"handled {since}", describe_versions(self.handled), self.began_ms)


async def run_subscriber(
    context: CheckContext,
    sent: Sequence[SentEvent],
    *,
    who: str,
    dies_after: int,
    saves_last: bool,
    saves_every: int = 1,
) -> SubscriberRun:
    """Handle events on a new connection, save checkpoints, and die at the last event.

    A checkpoint is saved after each `saves_every` events, and after the last one if it
    `saves_last`. `sent` is all of one stream, whose name is also the subscriber's.
    """
    store, stream = await checkpointing_store(context), sent[0].stream
    run = SubscriberRun(who, await store.load_checkpoint(stream), context.at_ms())

    async def handle(waiting: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        async with aclosing(store.subscribe(after=run.after)) as subscription:  # type: ignore[type-var]
            async for event in subscription:
                waiting.reschedule(loop.time() + context.profile.within_s)
                if event.stream != stream:
                    continue
                run.handled.append(event)
                last = len(run.handled) == dies_after
                if last and not saves_last:
                    raise HandlerCrashed
                if last or len(run.handled) % saves_every == 0:
                    await store.save_checkpoint(stream, event.position)
                if last:
                    return

    try:
        async with asyncio.timeout(context.profile.within_s) as waiting:
            await handle(waiting)
    except HandlerCrashed:
        pass
    except TimeoutError:
        if not waiting.expired():
            raise
        written = [each.step() for each in sent[-SHOWN:]]
        raise Broken(f"{who} received too few events", [*written, run.step()]) from None
    return run


async def checkpointing_store(context: CheckContext) -> CheckpointingStore:
    """A new connection that keeps checkpoints. Raises `Unsupported` if the store keeps none."""
    _require_checkpoints(context)
    return cast("CheckpointingStore", await context.connect())


@asynccontextmanager
async def _closing_store(context: CheckContext) -> AsyncIterator[CheckpointingStore]:
    """One that is closed after the block."""
    _require_checkpoints(context)
    async with context.factory.opened() as store:
        yield cast("CheckpointingStore", store)


def _require_checkpoints(context: CheckContext) -> None:
    require_subscriptions(context)
    if not isinstance(context.store, CheckpointStore):
        raise Unsupported("keeps no checkpoints")


async def die_and_resume(
    context: CheckContext, count: int, *, place: int, saves_every: int, begins_now: bool
) -> None:
    """A subscriber dies at the event `place` of `count`; another goes on after its checkpoint.

    Raises `Broken` if an event is handled in neither run, or the second run begins elsewhere.
    `begins_now`: the first run has a checkpoint at the end of the log, and else none.
    """
    store, stream = await checkpointing_store(context), context.stream()
    if begins_now and (head := await context.head()) is not None:
        await store.save_checkpoint(stream, head)
    sent = await send_events(context, [stream], count)
    saved = (place - 1) // saves_every * saves_every
    first = await run_subscriber(
        context, sent, who="the first run", dies_after=place, saves_last=False,
        saves_every=saves_every,
    )  # fmt: skip
    second = await run_subscriber(
        context, sent, who="the second run", dies_after=count - saved, saves_last=True,
        saves_every=saves_every,
    )  # fmt: skip
    _require_all_handled(sent, first, second)
    again = [event.id for event in second.handled]
    if again != [event.id for event in (await context.read(stream))[saved:]]:
        raise Broken(
            f"the second run did not begin after event {saved} of {count}, the last saved",
            [*(each.step() for each in sent[saved : saved + SHOWN]), first.step(), second.step()],
        )
    context.count("deaths between handling and checkpoint", least=2)
    context.count("events handled by the first run, not saved, and handled again", place - saved,
                  least=2)  # fmt: skip
    context.count("events handled after a death", len(again), least=100)


def _require_all_handled(
    sent: Sequence[SentEvent], first: SubscriberRun, second: SubscriberRun
) -> None:
    both = {event.id for event in (*first.handled, *second.handled)}
    if missing := [each for each in sent if each.event.id not in both]:
        steps = [*(each.step() for each in missing[:SHOWN]), first.step(), second.step()]
        raise Broken(f"{len(missing)} events were handled in neither run", steps)


class SavedCheckpoints:
    """The checkpoints that were saved, to compare those loaded with the last one of each name."""

    def __init__(self, context: CheckContext, positions: Sequence[Position]) -> None:
        self.places: dict[str, int] = {}
        """The index in `positions` of each subscriber's last checkpoint."""
        self._context, self._positions = context, positions
        self._steps: dict[str, list[Step]] = defaultdict(list)

    def note(self, name: str, place: int, *steps: Step) -> None:
        """What a handler saved."""
        self.places[name] = place
        self._steps[name] += steps

    async def save(self, store: CheckpointStore, by: str, name: str, place: int) -> None:
        position = self._positions[place]
        saving = Step(by, f"saved that of {name!r}", str(position), self._context.at_ms())
        self.note(name, place, saving)
        await store.save_checkpoint(name, position)

    async def require(self, reader: CheckpointStore, by: str) -> None:
        """Raises `Broken` unless the last saved one of each subscriber is loaded."""
        for name, place in self.places.items():
            loaded = await reader.load_checkpoint(name)
            if loaded != self._positions[place]:
                loading = Step(by, f"loaded that of {name!r}", str(loaded), self._context.at_ms())
                steps = [*self._steps[name][-STEPS_SHOWN:], loading]
                raise Broken("the checkpoint is not the last saved one", steps)

    def note_closed(self, name: str, by: str) -> None:
        """A line of evidence that a connection was closed."""
        self._steps[name].append(Step(by, "closed its connection", at_ms=self._context.at_ms()))


def subscribers_names(context: CheckContext, who: str) -> list[str]:
    """Names of many subscribers: similar ones, long ones and numbered ones."""
    long = who.ljust(context.rng.choice(LONG_NAME), "n")
    similar = [f"{who}-b", who.upper(), who.replace("-", "_"), f"{who}x", f"{long}a", f"{long}b"]
    return [*similar, *(context.stream() for _ in range(context.rng.choice(NAMES)))]


async def save_many(
    context: CheckContext, book: SavedCheckpoints, names: Sequence[str], places: Sequence[int]
) -> None:
    """Save a checkpoint for each name; nothing is loaded for names without one."""
    store, reader = await checkpointing_store(context), await checkpointing_store(context)
    for name in (*names[:2], f"{names[0]}-never"):
        if (loaded := await reader.load_checkpoint(name)) is not None:
            step = Step("a reader", f"loaded that of {name!r}", str(loaded), context.at_ms())
            raise Broken("there is a checkpoint that nobody saved", [step])
    for name, place in zip(names, places, strict=True):
        await book.save(store, "a subscriber", name, place)
    await book.require(reader, "a reader")
    context.count("checkpoints of different subscribers", len(book.places), least=NAMES.start)


async def rewind_some(context: CheckContext, book: SavedCheckpoints) -> None:
    """Save an older checkpoint for some, on other connections: the last saved one counts."""
    readers = [await checkpointing_store(context) for _ in range(2)]
    await book.require(readers[0], "a reader")
    saver = await checkpointing_store(context)
    names = [name for name, place in book.places.items() if place]
    for number, name in enumerate(context.rng.sample(names, len(names) // 2)):
        store = (saver, readers[0])[number % 2]
        older = context.rng.randrange(book.places[name])
        await book.save(store, "a subscriber that rewinds", name, older)
        context.count("checkpoints set back to an older position", least=REWOUND_MIN)
    for reader in readers:
        await book.require(reader, "a reader")


async def close_after_others_saved(
    context: CheckContext, book: SavedCheckpoints, places: int
) -> None:
    """Close connections whose checkpoints others have replaced since: the last saved one stays."""
    other, reader = await checkpointing_store(context), await checkpointing_store(context)
    names = context.rng.sample(list(book.places), 2 * CLOSED_MIN)
    async with AsyncExitStack() as stack:
        closing = await stack.enter_async_context(_closing_store(context))
        for number, name in enumerate(names):
            older, newer = sorted(context.rng.sample(range(places), 2))
            before, after = (older, newer) if number % 2 else (newer, older)
            await book.save(closing, "a connection that closes", name, before)
            await book.save(other, "another connection", name, after)
    for name in names:
        book.note_closed(name, "the first of the two")
        context.count("checkpoints replaced before their connection closed", least=CLOSED_MIN)
    await book.require(reader, "a reader")

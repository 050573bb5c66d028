"""What the checks of subscriptions have in common: writing, handling, dying, going on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step, Unsupported
from harness.conformance.following import Following, listed
from harness.errors import ReadFailed, StoreUnavailable
from harness.store import CheckpointStore, EventStore, NewEvent, RecordedEvent, StreamState

BATCH = 40
_RECONNECT_S = 0.1


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
    bench: Bench, streams: Sequence[str], count: int, *, through: EventStore | None = None
) -> list[NewEvent]:
    """So many events, dealt round in small appends."""
    written: list[NewEvent] = []
    size = max(1, min(BATCH, count // (2 * len(streams))))
    while len(written) < count:
        batch = bench.events(min(size, count - len(written)))
        stream = streams[len(written) // size % len(streams)]
        await (through or bench.store).append(stream, batch, expected=StreamState.ANY)
        written += batch
    return written


def once_each(follower: Following, written: Sequence[NewEvent]) -> None:
    """Everything once, whatever the order between streams. Raises `Broken`."""
    handed = follower.ids()
    missing = {event.id for event in written} - set(handed)
    twice = len(handed) - len(set(handed))
    foreign = len(set(handed) - {event.id for event in written})
    if missing or twice or foreign:
        why = f"{len(missing)} events missing, {twice} handed twice, {foreign} of others"
        raise Broken(why, [follower.seen()])


async def handle(
    bench: Bench, stream: str, *, who: str, dies_after: int, saves_last: bool
) -> list[RecordedEvent]:
    """A subscriber's life: handles, saves its checkpoint behind each, and dies at the last one."""
    store = checkpoints(bench)
    handled: list[RecordedEvent] = []
    after = await store.load_checkpoint(stream)

    async def live() -> None:
        async with aclosing(bench.store.subscribe(after=after)) as subscription:  # type: ignore[type-var]
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


def checkpoints(bench: Bench) -> CheckpointStore:
    """Where checkpoints are kept. Raises `Unsupported` where nowhere."""
    if bench.guarantees.subscription == "none":
        raise Unsupported("declares no subscriptions")
    if not isinstance(bench.store, CheckpointStore):
        raise Unsupported("keeps no checkpoints")
    return bench.store

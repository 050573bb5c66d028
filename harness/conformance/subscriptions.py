"""Subscriptions: from the past into the present, once each, and on from wherever one stopped.

All but the first run by themselves: that a reader passes over what others commit late is the
first one's to find, not everybody's.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import aclosing

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Company, Step, Unsupported, check
from harness.conformance.declared import CHECKPOINTS, FOLLOWS, SUBSCRIBES
from harness.conformance.following import Following, following, listed
from harness.conformance.subscriber import (
    append_all,
    checkpoints,
    follow_again,
    handle,
    once_each,
)
from harness.store import NewEvent, Position, RecordedEvent

WAKES_WITHIN_S = {"push": 1.0, "poll": 2.5}
"""What a subscription's kind promises: the slowest poll here is the tutorials' second."""
SETTLE_S = 0.2
"""Behind the last expected event: long enough for one too many to show up."""
IDLE_S = 0.5
SLOW_EVENTS = 3_000


@check(
    31,
    provokes="subscribes in the middle of appends and goes on until the last of them",
    leaves="what the subscriber was handed, and what was written",
    declaration=FOLLOWS,
)
async def catch_up_passes_into_live(bench: Bench) -> None:
    """Catch-up passes into live without a gap or a duplicate."""
    streams = [bench.stream() for _ in range(3)]
    written = await append_all(bench, streams, 60)
    async with following(bench, streams) as follower:
        for _ in range(40):
            written += await append_all(bench, streams, 3)
            await asyncio.sleep(0)
        await follower.until(len(written))
        await asyncio.sleep(SETTLE_S)
    once_each(follower, written)


@check(
    32,
    provokes="resumes at every position of a log, through its text, and counts what comes",
    leaves="the checkpoint and what came behind it",
    declaration=SUBSCRIBES,
    company=Company.NOBODY,
)
async def resuming_is_exclusive(bench: Bench) -> None:
    """A subscription resumes behind its checkpoint, exclusively."""
    stream = bench.stream()
    written = await append_all(bench, [stream], 6)
    async with following(bench, [stream]) as follower:
        await follower.until(len(written))
        handed = list(follower.events)
    for place, event in enumerate(handed):
        after = Position.parse(str(event.position))
        async with following(bench, [stream], after=after) as resumed:
            await resumed.until(len(handed) - place - 1)
            await asyncio.sleep(0 if place + 1 < len(handed) else SETTLE_S)
        wanted = [each.id for each in handed[place + 1 :]]
        if resumed.ids() != wanted:
            checkpoint = Step("the subscriber", f"resumed behind {event.stream}@{event.version}")
            raise Broken(
                "resuming does not go on behind the checkpoint", [checkpoint, resumed.seen()]
            )


@check(
    33,
    provokes="handles events, saves the checkpoint behind each, dies before one is saved, resumes",
    leaves="what was handled, the checkpoint, and what came after it",
    declaration=CHECKPOINTS,
    company=Company.NOBODY,
)
async def a_death_before_the_checkpoint_loses_nothing(bench: Bench) -> None:
    """A subscriber that dies between handling and checkpoint gets the event again."""
    stream = bench.stream()
    written = await append_all(bench, [stream], 5)
    handled = await handle(bench, stream, who="the first life", dies_after=3, saves_last=False)
    rest = await handle(bench, stream, who="the second life", dies_after=3, saves_last=True)
    both = {event.id for event in (*handled, *rest)}
    if missing := [event for event in written if event.id not in both]:
        lives = [Step("the first life", "handled", listed(handled)),
                 Step("the second life", "handled", listed(rest))]  # fmt: skip
        raise Broken(f"{len(missing)} events were handled in neither life", lives)


@check(
    34,
    provokes="a handler raises at the third event; the checkpoint is loaded on another connection",
    leaves="what was handled and the checkpoint",
    declaration=CHECKPOINTS,
    company=Company.NOBODY,
)
async def a_failing_handler_keeps_the_checkpoint(bench: Bench) -> None:
    """A handler that fails does not advance the checkpoint."""
    store = checkpoints(bench)
    stream = bench.stream()
    await append_all(bench, [stream], 5)
    handled = await handle(bench, stream, who="the handler", dies_after=3, saves_last=False)
    saved, last = handled[1].position, handled[2]
    loaded = await store.load_checkpoint(stream)
    if loaded != saved:
        failed = Step("the handler", f"failed at {last.stream}@{last.version}", str(last.position))
        raise Broken("the checkpoint is not the last saved one",
                     [failed, Step("a reader", "loaded the checkpoint", str(loaded))])  # fmt: skip


@check(
    35,
    provokes="leaves a subscriber idle, appends on another connection, and takes the time",
    leaves="how long it took",
    declaration=SUBSCRIBES,
    company=Company.NOBODY,
)
async def an_idle_subscriber_wakes_in_time(bench: Bench) -> None:
    """An idle subscriber wakes within the bound of its kind (push 1 s, poll 2.5 s)."""
    if bench.guarantees.subscription == "none":
        raise Unsupported("declares no subscriptions")
    stream = bench.stream()
    (writer,) = (await bench.writers(2))[1:]
    bound_s = WAKES_WITHIN_S[bench.guarantees.subscription]
    async with following(bench, [stream]) as follower:
        for number in range(3):
            await asyncio.sleep(IDLE_S)
            began = time.monotonic()
            await bench.append(stream, bench.events(1), through=writer)
            await follower.until(number + 1)
            took_s = time.monotonic() - began
            if took_s > bound_s:
                woke = Step("the subscriber", "woke", f"after {took_s:.2f} s of {bound_s:g}")
                raise Broken("an idle subscriber woke too late", [*bench.steps[-1:], woke])


@check(
    36,
    provokes=f"holds a subscriber up while {SLOW_EVENTS:,} events are appended, counts recorded "
    "events that are alive, then lets it go on",
    leaves="how many were alive, and what it was handed",
    declaration=SUBSCRIBES,
    company=Company.NOBODY,
)
async def a_slow_subscriber_keeps_memory_bounded(bench: Bench) -> None:
    """A slow subscriber loses nothing, and what waits for it does not pile up in memory."""
    if bench.guarantees.subscription == "none":
        raise Unsupported("declares no subscriptions")
    stream, beside = bench.stream(), bench.stream()
    before = _alive()
    await append_all(bench, [beside], SLOW_EVENTS)
    kept = _alive() - before
    go_on, handled = asyncio.Event(), list[RecordedEvent]()

    async def handle_slowly() -> None:
        async with aclosing(bench.store.subscribe()) as subscription:  # type: ignore[type-var]
            async for event in subscription:
                if event.stream == stream:
                    handled.append(event)
                    await go_on.wait()
                    if len(handled) == SLOW_EVENTS:
                        return

    handling = asyncio.create_task(handle_slowly())
    written = await append_all(bench, [stream], SLOW_EVENTS)
    await asyncio.sleep(IDLE_S)
    piled_up = _alive() - before - 2 * kept
    go_on.set()
    try:
        await asyncio.wait_for(handling, 2 * bench.profile.within_s)
    except TimeoutError:
        handling.cancel()
    if [event.id for event in handled] != [event.id for event in written]:
        got = Step("the slow subscriber", "was handed", f"{len(handled)} of {len(written)} events")
        raise Broken("a slow subscriber lost events", [got])
    if piled_up > SLOW_EVENTS // 2:
        alive = Step("the lab", "counted recorded events", f"{piled_up:,} waited in memory")
        raise Broken("what waits for a slow subscriber is not bounded", [alive])


def _alive() -> int:
    """Recorded events in this process, wherever they are held."""
    gc.collect()
    return sum(type(each) is RecordedEvent for each in gc.get_objects())


@check(
    37,
    provokes="restarts the server under a subscriber that resumes when its connection is lost",
    leaves="what it was handed before and after",
    declaration=SUBSCRIBES,
    company=Company.LAST,
)
async def a_subscriber_survives_a_restart(bench: Bench) -> None:
    """A subscriber goes on after a restart of the server."""
    server = bench.hurtable()
    if bench.guarantees.subscription == "none":
        raise Unsupported("declares no subscriptions")
    stream = bench.stream()
    follower = Following("the subscriber", [stream], bench.profile.within_s)
    follower.task = asyncio.create_task(follow_again(bench.store, follower))
    try:
        written = await append_all(bench, [stream], 5)
        await follower.until(len(written))
        await server.restart()
        written += await append_all(bench, [stream], 5, through=await bench.another())
        await follower.until(len(written), patience=3)
    finally:
        follower.task.cancel()
        await asyncio.gather(follower.task, return_exceptions=True)
    once_each(follower, written)


@check(
    38,
    provokes="two subscribers on one connection and one on another follow the same appends",
    leaves="what each was handed",
    declaration=SUBSCRIBES,
    company=Company.NOBODY,
)
async def subscribers_are_independent(bench: Bench) -> None:
    """Two subscribers are independent: each gets everything."""
    stream = bench.stream()
    other = await bench.another()
    async with (
        following(bench, [stream], who="the first subscriber") as first,
        following(bench, [stream], who="the second subscriber") as second,
        following(bench, [stream], who="the third subscriber", through=other) as third,
    ):
        written = await append_all(bench, [stream], 30)
        for follower in (first, second, third):
            await follower.until(len(written))
        await asyncio.sleep(SETTLE_S)
    for follower in (first, second, third):
        once_each(follower, written)


@check(
    39,
    provokes="subscribes to a category while others with longer and other-case names are written",
    leaves="what was handed and what was written",
    declaration=SUBSCRIBES,
    company=Company.NOBODY,
)
async def a_category_gets_its_own(bench: Bench) -> None:
    """A category subscription gets all of its category's events and nothing else."""
    own = bench.category("shop")
    mine = [f"{own}-1", f"{own}-2-b"]
    others = [f"{own}ping-1", f"{own.upper()}-1", f"x{own}-1", f"x-{own}-1"]
    async with following(bench, [*mine, *others], category=own) as follower:
        written: list[NewEvent] = []
        for _ in range(2):
            written += await append_all(bench, mine, 4)
            await append_all(bench, others, 4)
        await follower.until(len(written))
        await asyncio.sleep(SETTLE_S)
    once_each(follower, written)

"""Subscriptions: from the past into the present, once each, and on from wherever one stopped.

All but the first run by themselves: that a reader passes over what others commit late is the
first one's to find, not everybody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Company, Step, Unsupported, check
from harness.conformance.declared import CHECKPOINTS, FOLLOWS, GOES_ON, SUBSCRIBES
from harness.conformance.following import Following, following, listed
from harness.conformance.subscriber import (
    SHOWN,
    Sent,
    append_all,
    as_in_streams,
    checkpoints,
    follow_again,
    handle,
    once_each,
)
from harness.conformance.weighing import Weight, weighing
from harness.store import Position, RecordedEvent

WAKES_WITHIN_S = {"push": 1.0, "poll": 2.5}
"""What a subscription's kind promises: the slowest poll here is the tutorials' second."""
SETTLE_S = 0.2
"""Behind the last expected event: long enough for one too many to show up."""
IDLE_S = 0.5
PAST = 60
SLOW_EVENTS, SLOW_BYTES = 3_000, 20_000
HALF = SLOW_EVENTS // 2


@check(
    31,
    provokes=f"holds a subscriber up in the middle of {PAST} past events, appends meanwhile, lets"
    " it go on into what is being appended, and appends once more when it has everything",
    leaves="what the subscriber was handed, and what was written",
    declaration=FOLLOWS,
)
async def catch_up_passes_into_live(bench: Bench) -> None:
    """Catch-up passes into live without a gap or a duplicate."""
    streams = [bench.stream() for _ in range(3)]
    sent = await append_all(bench, streams, PAST)
    async with following(bench, streams, holds_at=PAST // 2) as follower:
        await follower.until(PAST // 2)
        sent += await append_all(bench, streams, 9)
        follower.go_on()
        for number in range(40):
            sent += await append_all(bench, [streams[number % len(streams)]], 3)
            await asyncio.sleep(0)
        await _until_all(follower, sent)
        sent += await append_all(bench, streams, 3)
        await _until_all(follower, sent)
        await asyncio.sleep(SETTLE_S)
    once_each(follower, sent)
    await as_in_streams(bench, follower, streams)


async def _until_all(follower: Following, sent: Sequence[Sent]) -> None:
    """As many as were sent; which are missing, if any are. Raises `Broken`."""
    try:
        await follower.until(len(sent))
    except Broken:
        once_each(follower, sent)
        raise


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
    sent = await append_all(bench, [stream], 6)
    async with following(bench, [stream]) as follower:
        await _until_all(follower, sent)
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
    provokes="handles events, saves the checkpoint behind each, dies before one is saved, resumes"
    " on another connection",
    leaves="what was handled, the checkpoint, and what came after it",
    declaration=CHECKPOINTS,
    company=Company.NOBODY,
)
async def a_death_before_the_checkpoint_loses_nothing(bench: Bench) -> None:
    """A subscriber that dies between handling and checkpoint gets the event again."""
    stream = bench.stream()
    sent = await append_all(bench, [stream], 5)
    handled = await handle(bench, stream, who="the first life", dies_after=3, saves_last=False)
    rest = await handle(bench, stream, who="the second life", dies_after=3, saves_last=True)
    both = {event.id for event in (*handled, *rest)}
    if missing := [each for each in sent if each.event.id not in both]:
        lives = [*(each.step() for each in missing[:SHOWN]),
                 Step("the first life", "handled", listed(handled)),
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
    stream = bench.stream()
    await append_all(bench, [stream], 5)
    handled = await handle(bench, stream, who="the handler", dies_after=3, saves_last=False)
    saved, last = handled[1].position, handled[2]
    loaded = await (await checkpoints(bench)).load_checkpoint(stream)
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
    start = await bench.append(stream, bench.events(1), through=writer)
    async with following(bench, [stream], after=start.position) as follower:
        for number in range(3):
            await asyncio.sleep(IDLE_S)
            await bench.append(stream, bench.events(1), through=writer)
            acknowledged_ms = bench.at_ms()
            await follower.until(number + 1)
            took_s = (follower.handed_ms[-1] - acknowledged_ms) / 1000
            if took_s > bound_s:
                told = f"{took_s:.2f} s after the acknowledgement, of {bound_s:g}"
                woke = Step("the subscriber", "woke", told, follower.handed_ms[-1])
                raise Broken("an idle subscriber woke too late", [*bench.steps[-1:], woke])


@check(
    36,
    provokes=f"holds a subscriber up while {SLOW_EVENTS:,} events of {SLOW_BYTES:,} bytes are"
    " appended, weighs what the second half adds to the process's memory, then lets it go on",
    leaves="how much was added, and what it was handed",
    declaration=SUBSCRIBES,
    company=Company.LAST,
)
async def a_slow_subscriber_keeps_memory_bounded(bench: Bench) -> None:
    """A slow subscriber loses nothing, and what waits for it does not pile up in memory."""
    if bench.guarantees.subscription == "none":
        raise Unsupported("declares no subscriptions")
    stream, beside = bench.stream(), bench.stream()
    go_on, handled = asyncio.Event(), list[RecordedEvent]()

    async def handle_slowly() -> None:
        async with aclosing(bench.store.subscribe()) as subscription:  # type: ignore[type-var]
            async for event in subscription:
                if event.stream == stream:
                    handled.append(event)
                    await go_on.wait()
                    if len(handled) == SLOW_EVENTS:
                        return

    with weighing() as weigh:
        _, by_the_store = await _many(bench, beside, weigh, settle_s=0)
        handling = asyncio.create_task(handle_slowly())
        sent, in_all = await _many(bench, stream, weigh, settle_s=SETTLE_S)
        piled_up = in_all - by_the_store
    go_on.set()
    try:
        await asyncio.wait_for(handling, 2 * bench.profile.within_s)
    except TimeoutError:
        handling.cancel()
    if [event.id for event in handled] != [each.event.id for each in sent]:
        got = f"{len(handled)} of {len(sent)} events"
        handed = Step("the slow subscriber", "was handed", got, bench.at_ms())
        raise Broken("a slow subscriber lost events", [sent[-1].step(), handed])
    if piled_up.events > HALF // 2 or piled_up.bytes > HALF * SLOW_BYTES // 2:
        what = f"{piled_up.events:,} recorded events and {piled_up.bytes:,} bytes more"
        weighed = Step("the lab", f"weighed what {HALF:,} events added", what, bench.at_ms())
        raise Broken("what waits for a slow subscriber is not bounded", [weighed])


async def _many(
    bench: Bench, stream: str, weigh: Callable[[], Weight], *, settle_s: float
) -> tuple[list[Sent], Weight]:
    """Append that many, and what the second half of them added."""
    data = b'"' + b"x" * (SLOW_BYTES - 2) + b'"'
    sent = await append_all(bench, [stream], HALF, data=data)
    await asyncio.sleep(settle_s)
    before = weigh()
    sent += await append_all(bench, [stream], SLOW_EVENTS - HALF, data=data)
    await asyncio.sleep(settle_s)
    return sent, weigh() - before


@check(
    37,
    provokes="restarts the server under a subscriber that resumes when its connection is lost",
    leaves="what it was handed before and after",
    declaration=GOES_ON,
    company=Company.LAST,
)
async def a_subscriber_survives_a_restart(bench: Bench) -> None:
    """A subscriber goes on after a restart of the server."""
    server = bench.hurtable()
    if bench.guarantees.subscription == "none":
        raise Unsupported("declares no subscriptions")
    stream = bench.stream()
    follower = Following(bench, [stream], "the subscriber")
    follower.task = asyncio.create_task(follow_again(bench.store, follower))
    try:
        sent = await append_all(bench, [stream], 5)
        await follower.until(len(sent))
        bench.steps.append(Step("the lab", "restarted the server", at_ms=bench.at_ms()))
        await server.restart()
        sent += await append_all(bench, [stream], 5, through=await bench.another())
        await follower.until(len(sent), patience=3)
    finally:
        follower.task.cancel()
        await asyncio.gather(follower.task, return_exceptions=True)
    once_each(follower, sent)


@check(
    38,
    provokes="two subscribers on one connection and one on another follow the same appends",
    leaves="what each was handed",
    declaration=SUBSCRIBES,
    company=Company.NOBODY,
)
async def subscribers_are_independent(bench: Bench) -> None:
    """Two subscribers are independent: each gets everything."""
    stream, other = bench.stream(), await bench.another()
    after = (await bench.append(bench.stream(), bench.events())).position
    async with (
        following(bench, [stream], who="the first subscriber", after=after) as first,
        following(bench, [stream], who="the second subscriber", after=after) as second,
        following(bench, [stream], who="the third subscriber", after=after, through=other) as third,
    ):
        sent = await append_all(bench, [stream], 30)
        for follower in (first, second, third):
            await _until_all(follower, sent)
        await asyncio.sleep(SETTLE_S)
    for follower in (first, second, third):
        once_each(follower, sent)


@check(
    39,
    provokes="subscribes to a category, after and while it and others with longer and other-case"
    " names are written",
    leaves="what was handed and what was written",
    declaration=SUBSCRIBES,
    company=Company.NOBODY,
)
async def a_category_gets_its_own(bench: Bench) -> None:
    """A category subscription gets all of its category's events and nothing else."""
    own = bench.category("shop")
    mine = [f"{own}-1", f"{own}-2-b"]
    others = [f"{own}ping-1", f"{own.upper()}-1", f"x{own}-1", f"x-{own}-1"]
    sent = await append_all(bench, mine, 4)
    await append_all(bench, others, 4)
    async with following(bench, [*mine, *others], category=own) as follower:
        for _ in range(2):
            sent += await append_all(bench, mine, 4)
            await append_all(bench, others, 4)
        await _until_all(follower, sent)
        await asyncio.sleep(SETTLE_S)
    once_each(follower, sent)

"""Subscriptions: from the past into the present, once each, and on from wherever one stopped.

All but the first run by themselves: that a reader passes over what others commit late is the
first one's to find, not everybody's.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from itertools import chain

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Company, NotReached, Step, Unsupported, check
from harness.conformance.declared import CHECKPOINTS, FOLLOWS, GOES_ON, SUBSCRIBES
from harness.conformance.following import Following, following
from harness.conformance.from_now import nothing_old_from_now
from harness.conformance.going_live import PAST, SUBSCRIBERS, go_live
from harness.conformance.racing import Attempt, attempt
from harness.conformance.restarting import restarted
from harness.conformance.slow import SLOW_BYTES, SLOW_EVENTS, bounded, in_turn, many
from harness.conformance.subscriber import (
    SETTLE_S,
    SHOWN,
    append_all,
    as_in_streams,
    checkpoints,
    follow_again,
    goes_on_in_the_middle,
    handle,
    once_each,
    until_all,
)
from harness.conformance.waking import append_once, woken
from harness.conformance.weighing import weighing
from harness.store import Position, StreamState

WAKES_WITHIN_S = {"push": 1.0, "poll": 2.5}
"""What a subscription's kind promises: the slowest poll here is the tutorials' second."""
IDLE_S = 0.5
HELD_BEHIND = 1_200
"""What others are handed while one subscriber is held up: more than a page, or a buffer."""
CATEGORY_PAST = 600
ROUNDS_MIN = 4
CHANGES_MIN = 8
"""Of twelve at least: subscribers that went live amid appends."""


@check(
    31,
    provokes=f"again and again, holds {SUBSCRIBERS} subscribers up at different places among {PAST}"
    " past events, and lets one after the other go on into what a writer appends in no rhythm",
    leaves="what a subscriber was handed, and what was written",
    declaration=FOLLOWS,
    company=Company.NOBODY,
)
async def catch_up_passes_into_live(bench: Bench) -> None:
    """Catch-up passes into live without a gap or a duplicate."""
    after, changes, amid_appends, since_s = None, 0, 0, time.monotonic()
    for number in bench.rounds():
        if number >= ROUNDS_MIN and time.monotonic() - since_s > bench.profile.seconds:
            break
        after, between = await go_live(bench, after)
        changes, amid_appends = changes + SUBSCRIBERS, amid_appends + between
    if amid_appends < CHANGES_MIN:
        told = f"only {amid_appends} of {changes} subscribers went live amid appends"
        raise NotReached(f"{told}; {CHANGES_MIN} wanted")


@check(
    32,
    provokes="resumes at every position of a log, through its text, and from now on, and counts"
    " what comes",
    leaves="what was written, the checkpoint, and what came behind it",
    declaration=SUBSCRIBES,
    company=Company.NOBODY,
)
async def resuming_is_exclusive(bench: Bench) -> None:
    """A subscription resumes behind its checkpoint, exclusively."""
    stream = bench.stream()
    sent = await append_all(bench, [stream], 6)
    async with following(bench, [stream]) as follower:
        await until_all(follower, sent)
        handed = list(follower.events)
    for place, event in enumerate(handed):
        after = Position.parse(str(event.position))
        behind = f"resumed behind {event.stream}@{event.version}"
        checkpoint = Step("the subscriber", behind, str(after), bench.at_ms())
        async with following(bench, [stream], after=after) as resumed:
            await until_all(resumed, sent[place + 1 :], told=[checkpoint])
            await asyncio.sleep(0 if place + 1 < len(handed) else SETTLE_S)
        if resumed.ids() != [each.id for each in handed[place + 1 :]]:
            raise Broken(
                "resuming does not go on behind the checkpoint",
                [*(each.step() for each in sent[place : place + 2]), checkpoint, resumed.seen()],
            )
    await nothing_old_from_now(bench, sent)


@check(
    33,
    provokes="handles events, saves the checkpoint behind each, dies before one is saved, resumes"
    " on another connection",
    leaves="what was written, and what was handled behind which checkpoint",
    declaration=CHECKPOINTS,
    company=Company.NOBODY,
)
async def a_death_before_the_checkpoint_loses_nothing(bench: Bench) -> None:
    """A subscriber that dies between handling and checkpoint gets the event again."""
    sent = await append_all(bench, [bench.stream()], 5)
    first = await handle(bench, sent, who="the first life", dies_after=3, saves_last=False)
    second = await handle(bench, sent, who="the second life", dies_after=3, saves_last=True)
    both = {event.id for event in (*first.handled, *second.handled)}
    if missing := [each for each in sent if each.event.id not in both]:
        told = [*(each.step() for each in missing[:SHOWN]), first.step(), second.step()]
        raise Broken(f"{len(missing)} events were handled in neither life", told)


@check(
    34,
    provokes="a handler raises at the third event; subscribers with a longer name, one in other"
    " case and one with another number save theirs; all are loaded on another connection",
    leaves="what was written, handled, saved and loaded",
    declaration=CHECKPOINTS,
    company=Company.NOBODY,
)
async def a_failing_handler_keeps_the_checkpoint(bench: Bench) -> None:
    """A handler that fails does not advance the checkpoint, nor do other subscribers' handlers."""
    sent = await append_all(bench, [bench.stream()], 5)
    who = sent[0].stream
    life = await handle(bench, sent, who="the handler", dies_after=3, saves_last=False)
    first, second, third = life.handled
    saved = {who: second.position, f"{who}-b": first.position, who.upper(): third.position}
    saved[bench.stream()] = first.position
    failed = f"failed at {third.stream}@{third.version}"
    told = [sent[2].step(), life.step(),
            Step(f"{life.who}, as {who!r}", f"saved, and {failed}", str(second.position),
                 bench.at_ms())]  # fmt: skip
    store, reader = await checkpoints(bench), await checkpoints(bench)
    for name in list(saved)[1:]:
        told.append(Step(f"subscriber {name!r}", "saved", str(saved[name]), bench.at_ms()))
        await store.save_checkpoint(name, saved[name])
    for name, position in saved.items():
        loaded = await reader.load_checkpoint(name)
        told.append(Step("a reader", f"loaded that of {name!r}", str(loaded), bench.at_ms()))
        if loaded != position:
            raise Broken("the checkpoint is not the last saved one", told)


@check(
    35,
    provokes="leaves a subscriber idle, appends on another connection, and from another process"
    " where that may write, and takes the time",
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
    written: list[Attempt] = []
    async with following(bench, [stream], after=start.position) as follower:
        for _ in range(3):
            await asyncio.sleep(IDLE_S)
            made = await attempt("the writer", writer, stream, bench.events(1), StreamState.ANY)
            written.append(made)
            await woken(bench, follower, written, bound_s)
        if bench.many_processes:
            await asyncio.sleep(IDLE_S)
            written += chain(*await bench.in_processes(append_once, stream))
            await woken(bench, follower, written, bound_s)


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
    async with AsyncExitStack() as stack:
        with weighing() as weigh:
            _, by_the_store = await many(bench, beside, weigh, settle_s=0)
            who, start = "the slow subscriber", await bench.head()
            held = following(bench, [stream], who=who, holds_at=1, after=start)
            slow = await stack.enter_async_context(held)
            first = await append_all(bench, [stream], 1)
            with suppress(Broken):  # that nothing ever comes is found out below
                await slow.until(1)
            holding = len(slow.events)
            sent, in_all = await many(bench, stream, weigh, settle_s=SETTLE_S)
        slow.go_on()
        await until_all(slow, first + sent, patience=2)
        once_each(slow, first + sent)
    in_turn(slow, first + sent)
    if not holding:
        raise NotReached("the slow subscriber had nothing to be held up with")
    bounded(bench, in_all - by_the_store)


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
        await until_all(follower, sent)
        restart = await restarted(bench, server)
        sent += await append_all(bench, [stream], 5, through=await bench.another())
        await until_all(follower, sent, told=[restart], patience=3)
    finally:
        follower.task.cancel()
        await asyncio.gather(follower.task, return_exceptions=True)
    once_each(follower, sent, told=[restart])


@check(
    38,
    provokes="two subscribers on one connection and one on another follow the same appends; one of"
    f" the two is held up at the first while {HELD_BEHIND:,} more come",
    leaves="what each was handed",
    declaration=SUBSCRIBES,
    company=Company.NOBODY,
)
async def subscribers_are_independent(bench: Bench) -> None:
    """Two subscribers are independent: each gets everything, however slow the other is."""
    stream, other = bench.stream(), await bench.another()
    after = (await bench.append(bench.stream(), bench.events())).position
    async with (
        following(bench, [stream], who="the first subscriber", after=after, holds_at=1) as first,
        following(bench, [stream], who="the second subscriber", after=after) as second,
        following(bench, [stream], who="the third subscriber", after=after, through=other) as third,
    ):
        sent = await append_all(bench, [stream], 1)
        await until_all(first, sent)
        held = Step(first.who, "was held up", at_ms=bench.at_ms())
        sent += await append_all(bench, [stream], HELD_BEHIND)
        for follower in (second, third):
            await until_all(follower, sent, told=[held])
        first.go_on()
        await until_all(first, sent, told=[held])
        await asyncio.sleep(SETTLE_S)
    for follower in (first, second, third):
        once_each(follower, sent)


@check(
    39,
    provokes=f"subscribes to a category, after {CATEGORY_PAST} events of it and while it and others"
    " with longer and other-case names are written, and again in the middle of it",
    leaves="what was handed and what was written",
    declaration=SUBSCRIBES,
    company=Company.NOBODY,
)
async def a_category_gets_its_own(bench: Bench) -> None:
    """A category subscription gets all of its category's events in order and nothing else."""
    own = bench.category("shop")
    mine = [f"{own}-1", f"{own}-2-b"]
    others = [f"{own}ping-1", f"{own.upper()}-1", f"x{own}-1", f"x-{own}-1"]
    sent = await append_all(bench, mine, CATEGORY_PAST)
    await append_all(bench, others, 4)
    async with following(bench, [*mine, *others], category=own) as follower:
        for _ in range(2):
            sent += await append_all(bench, mine, 12)
            await append_all(bench, others, 4)
        await until_all(follower, sent)
        await asyncio.sleep(SETTLE_S)
    once_each(follower, sent)
    await as_in_streams(bench, follower, mine)
    await goes_on_in_the_middle(bench, own, follower, sent)

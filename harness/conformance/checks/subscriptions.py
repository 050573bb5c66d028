"""Checks 31–39. Subscriptions: every event once, past into present, after every checkpoint.

The first check looks for readers that pass over late commits. The others run alone, so that they
do not fail for the same reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack, suppress
from itertools import chain

from harness.conformance.framework.check import (
    CATEGORIES,
    CHECKPOINTS,
    FOLLOWS,
    RESUMES,
    RESUMES_FROM_CHECKPOINTS,
    SUBSCRIBES,
    SURVIVES_RESTARTS,
    Isolation,
    check,
)
from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import Broken, Step, Unsupported
from harness.conformance.framework.checkpoints import (
    SavedCheckpoints,
    close_after_others_saved,
    die_and_resume,
    rewind_some,
    run_subscriber,
    save_many,
    subscribers_names,
)
from harness.conformance.framework.races import Attempt, attempt
from harness.conformance.framework.server_faults import restart
from harness.conformance.framework.subscriber_probe import (
    SETTLE_S,
    SentEvent,
    SubscriberProbe,
    require_all_delivered,
    require_delivered_once,
    require_stream_order,
    require_subscriptions,
    send_events,
    subscribed,
)
from harness.conformance.framework.subscriber_scenarios import (
    SUBSCRIBERS,
    SlowLoad,
    append_once,
    go_live,
    memory_growth,
    require_bounded,
    require_only_new_from_now,
    require_resume_in_category,
    require_sent_order,
    require_wake_up,
    resubscribe_forever,
    send_and_weigh,
)
from harness.conformance.framework.subscriber_storms import follow_storms
from harness.domain.store import EventStore, Position, RecordedEvent, StreamState

WAKES_WITHIN_S = {"push": 1.0, "poll": 2.5}
"""By kind of subscription: the slowest poll here is once a second, as in tutorials."""
IDLE_S = 0.3, 0.7
SHORT, LONG = range(6, 13), range(1_030, 1_301)
"""Events of a short stream, and of one that is longer than a page."""
PAGES = 100, 128, 256, 500, 512, 1_000, 1_024
"""Of known stores: where subscribers resume, besides drawn places."""
LIVED, SAVES_EVERY = range(300, 1_101), range(5, 61)
"""Events that a subscriber handles in two runs, and after how many it saves a checkpoint."""
HANDLED = range(90, 140)
"""Events before a handler that fails; as many positions to save for other subscribers."""
RESTART_EVENTS = range(5, 60)
"""Before a restart, and as many after it."""
MORE_THAN_PAGES = range(5_050, 6_201)
"""Events for the others while one subscriber pauses: more than pages and buffers."""
CATEGORY_PAST, FOREIGN_PAST = range(1_030, 1_301), range(2_050, 2_401)
"""Past events of a category, and of others in the middle of them: more than a page has."""
ROUNDS_MIN = 4
CHANGES_MIN = 8
"""Subscribers, of at least twelve, that must go live between two appends."""


@check(
    31,
    provokes=f"repeatedly pauses {SUBSCRIBERS} subscribers at different places among past events,"
    " and resumes them one by one while a writer appends at irregular intervals; then has"
    " subscribers begin before and amid storms of slow and fast appends to many streams, over"
    " connections and from processes: at the position before the storm, and at an event in it",
    leaves="the events received, and the events written",
    declaration=FOLLOWS,
    isolation=Isolation.EXCLUSIVE,
)
async def catch_up_passes_into_live(context: CheckContext) -> None:
    """Catch-up passes into live delivery without a gap or a duplicate."""
    after, since_s = None, time.monotonic()
    for number in context.rounds():
        if number >= ROUNDS_MIN and time.monotonic() - since_s > context.profile.seconds:
            break
        after, between = await go_live(context, after)
        context.count("subscribers that went live between two appends", between, least=CHANGES_MIN)
    await follow_storms(context)


@check(
    32,
    provokes="resumes at every position of a short stream, and at drawn ones and around the ends"
    " of pages of a long one, all parsed from text, and from now on",
    leaves="the events written, the checkpoint, and the events received after it",
    declaration=RESUMES,
    isolation=Isolation.EXCLUSIVE,
)
async def resuming_is_exclusive(context: CheckContext) -> None:
    """A subscription resumes after its checkpoint, exclusively."""
    rng = context.rng
    short, long = rng.choice(SHORT), rng.choice(LONG)
    sent = await _resume_in(context, None, short, range(short))
    places = {rng.choice((page - 1, page)) for page in PAGES}
    await _resume_in(context, await context.head(), long, places | {rng.randrange(long)})
    await require_only_new_from_now(context, sent)


async def _resume_in(
    context: CheckContext, start: Position | None, count: int, places: Collection[int]
) -> list[SentEvent]:
    """Append events to a new stream, and resume at those in these places."""
    stream = context.stream()
    sent = await send_events(context, [stream], count)
    async with subscribed(context, [stream], after=start) as probe:
        await require_all_delivered(probe, sent)
        received = list(probe.events)
    require_delivered_once(probe, sent)
    for place in sorted(places):
        await _resume_at(context, sent, received, place)
    return sent


async def _resume_at(
    context: CheckContext, sent: Sequence[SentEvent], received: Sequence[RecordedEvent], place: int
) -> None:
    """Raises `Broken` unless a subscription goes on exactly after the event in this place."""
    event, rest = received[place], sent[place + 1 :]
    after = Position.parse(str(event.position))
    did = f"resumed after {event.stream}@{event.version}"
    checkpoint = Step("the subscriber", did, str(after), context.at_ms())
    async with subscribed(context, [event.stream], after=after) as resumed:
        await require_all_delivered(resumed, rest, before=[checkpoint])
        await asyncio.sleep(0 if rest else SETTLE_S)
    if resumed.ids() != [each.id for each in received[place + 1 :]]:
        raise Broken(
            "resuming does not continue after the checkpoint",
            [*(each.step() for each in sent[place : place + 2]), checkpoint, resumed.step()],
        )
    context.count("positions, parsed from text, to resume at", least=SHORT.start + len(PAGES))
    context.count("events received after them", len(rest), least=PAGES[-1])


@check(
    33,
    provokes="handles events, saves a checkpoint after each of a short stream and after several"
    " of a long one, dies at a drawn event before it is saved, and resumes on another connection",
    leaves="the events written, and the events handled after each checkpoint",
    declaration=RESUMES_FROM_CHECKPOINTS,
    isolation=Isolation.EXCLUSIVE,
)
async def a_death_before_the_checkpoint_loses_nothing(context: CheckContext) -> None:
    """A subscriber that dies between handling and checkpoint gets the event again."""
    rng = context.rng
    await die_and_resume(context, 5, place=rng.randrange(2, 5), saves_every=1, begins_now=False)
    count, every = rng.choice(LIVED), rng.choice(SAVES_EVERY)
    place = rng.randrange(every + 1, count - 100)
    await die_and_resume(context, count, place=place, saves_every=every, begins_now=True)


@check(
    34,
    provokes="raises in a handler at a drawn event; saves checkpoints of many subscribers with"
    " similar, long and numbered names, older ones after newer ones, and on connections that"
    " close after another saved; loads all of them on other connections",
    leaves="the events written and handled, the checkpoints saved and loaded",
    declaration=CHECKPOINTS,
    isolation=Isolation.EXCLUSIVE,
)
async def a_failing_handler_keeps_the_checkpoint(context: CheckContext) -> None:
    """A failing handler does not advance its checkpoint: the last one saved of each is loaded."""
    rng, who = context.rng, context.stream()
    sent = await send_events(context, [who], rng.choice(HANDLED))
    positions = [event.position for event in await context.read(who)]
    fails_at = rng.randrange(3, len(sent))
    run = await run_subscriber(
        context, sent, who="the handler", dies_after=fails_at, saves_last=False
    )
    failed = f"failed at {run.handled[-1].stream}@{run.handled[-1].version}"
    saving = Step(f"{run.who}, as {who!r}", f"saved, and {failed}", str(positions[fails_at - 2]),
                  context.at_ms())  # fmt: skip
    book = SavedCheckpoints(context, positions)
    book.note(who, fails_at - 2, sent[fails_at - 1].step(), run.step(), saving)
    names = subscribers_names(context, who)
    places = [place for place in range(len(positions)) if place != fails_at - 2]
    await save_many(context, book, names, rng.sample(places, len(names)))
    await rewind_some(context, book)
    await close_after_others_saved(context, book, len(positions))


@check(
    35,
    provokes="leaves a subscriber idle, appends on another connection, and from another process if"
    " it may write, and measures the delay",
    leaves="the append, and the delay",
    declaration=SUBSCRIBES,
    isolation=Isolation.EXCLUSIVE,
)
async def an_idle_subscriber_wakes_in_time(context: CheckContext) -> None:
    """An idle subscriber wakes within the bound of its kind (push 1 s, poll 2.5 s)."""
    if context.guarantees.subscription == "none":
        raise Unsupported("declares no subscriptions")
    stream = context.stream()
    (writer,) = (await context.writers(2))[1:]
    bound_s = WAKES_WITHIN_S[context.guarantees.subscription]
    start = await context.append(stream, context.events(1), through=writer)
    written: list[Attempt] = []
    async with subscribed(context, [stream], after=start.position) as probe:
        for _ in range(3):
            await asyncio.sleep(context.rng.uniform(*IDLE_S))
            made = await attempt("the writer", writer, stream, context.events(1), StreamState.ANY)
            written.append(made)
            await require_wake_up(context, probe, written, bound_s)
        if context.multi_process:
            await asyncio.sleep(context.rng.uniform(*IDLE_S))
            written += chain(*await context.in_processes(append_once, stream))
            await require_wake_up(context, probe, written, bound_s)
    context.count("idle times that an append ended", len(written), least=3)


@check(
    36,
    provokes="pauses a subscriber while about 3,000 events of about 20,000 bytes are appended,"
    " measures how much memory the second half adds to the process, then resumes it",
    leaves="the memory added, and the events received",
    declaration=SUBSCRIBES,
    isolation=Isolation.DESTRUCTIVE,
)
async def a_slow_subscriber_keeps_memory_bounded(context: CheckContext) -> None:
    """A slow subscriber loses nothing, and what waits for it does not pile up in memory."""
    if context.guarantees.subscription == "none":
        raise Unsupported("declares no subscriptions")
    stream, other, load = context.stream(), context.stream(), SlowLoad.drawn(context)
    async with AsyncExitStack() as stack:
        with memory_growth() as growth:
            _, by_the_store = await send_and_weigh(context, other, load, growth, settle_s=0)
            who, start = "the slow subscriber", await context.head()
            held = subscribed(context, [stream], who=who, pauses_at=1, after=start)
            slow = await stack.enter_async_context(held)
            first = await send_events(context, [stream], 1)
            with suppress(Broken):  # if no event arrives, the count below says so
                await slow.until(1)
            holding = len(slow.events)
            sent, in_all = await send_and_weigh(context, stream, load, growth, settle_s=SETTLE_S)
        slow.resume()
        await require_all_delivered(slow, first + sent, patience=2)
        require_delivered_once(slow, first + sent)
    require_sent_order(slow, first + sent)
    waited = sum(len(event.data) for event in slow.events[holding:]) if holding else 0
    what = "bytes that waited for a paused subscriber"
    context.count(what, waited, least=load.half * load.bytes)
    if holding:
        require_bounded(context, load, in_all - by_the_store)


@check(
    37,
    provokes="restarts the server under a subscriber that resumes when its connection is lost,"
    " between drawn numbers of events",
    leaves="the events received before and after the restart",
    declaration=SURVIVES_RESTARTS,
    isolation=Isolation.DESTRUCTIVE,
)
async def a_subscriber_survives_a_restart(context: CheckContext) -> None:
    """A subscriber continues after a restart of the server."""
    server = context.controllable_server()
    if context.guarantees.subscription == "none":
        raise Unsupported("declares no subscriptions")
    stream = context.stream()
    before, after = context.rng.choice(RESTART_EVENTS), context.rng.choice(RESTART_EVENTS)
    probe = SubscriberProbe(context, [stream], "the subscriber")
    probe.task = asyncio.create_task(resubscribe_forever(context.store, probe))
    try:
        sent = await send_events(context, [stream], before)
        await require_all_delivered(probe, sent)
        restarting = await restart(context, server)
        context.count("restarts of the server under a subscriber", least=1)
        sent += await send_events(context, [stream], after, through=await context.connect())
        await require_all_delivered(probe, sent, before=[restarting], patience=3)
        await asyncio.sleep(SETTLE_S)
    finally:
        probe.task.cancel()
        await asyncio.gather(probe.task, return_exceptions=True)
    require_delivered_once(probe, sent, before=[restarting])
    context.count("events received before and after it", len(sent), least=2 * RESTART_EVENTS.start)


@check(
    38,
    provokes="subscribes twice on one connection and once on another, and pauses one of the two"
    f" at the first event while more than {MORE_THAN_PAGES.start:,} are appended; then"
    " subscribes once more, to all of them",
    leaves="the events that each received",
    declaration=RESUMES,
    isolation=Isolation.EXCLUSIVE,
)
async def subscribers_are_independent(context: CheckContext) -> None:
    """Subscribers are independent: each gets everything, however slow another is."""
    stream, other = context.stream(), await context.connect()
    after = await context.head()
    async with AsyncExitStack() as stack:

        async def begun(who: str, through: EventStore, pauses_at: int = 0) -> SubscriberProbe:
            beginning = subscribed(
                context, [stream], who=who, after=after, through=through, pauses_at=pauses_at
            )
            return await stack.enter_async_context(beginning)

        first = await begun("the first subscriber", context.store, pauses_at=1)
        second = await begun("the second subscriber", context.store)
        third = await begun("the third subscriber", other)
        sent = await send_events(context, [stream], 1)
        await require_all_delivered(first, sent)
        paused = Step(first.who, "paused", at_ms=context.at_ms())
        more = context.rng.choice(MORE_THAN_PAGES)
        sent += await send_events(context, [stream], more)
        late = await begun("a late subscriber", other)
        for probe in (second, third, late):
            await require_all_delivered(probe, sent, before=[paused])
            what = f"events that {probe.who} received while one paused"
            context.count(what, len(probe.events), least=MORE_THAN_PAGES.start)
        first.resume()
        await require_all_delivered(first, sent, before=[paused])
        await asyncio.sleep(SETTLE_S)
    for probe in (first, second, third, late):
        require_delivered_once(probe, sent)
        await require_stream_order(context, probe, [stream])


@check(
    39,
    provokes=f"subscribes to a category after more than {CATEGORY_PAST.start:,} of its events,"
    f" with {FOREIGN_PAST.start:,} of others in the middle of them, writes to it and to"
    " categories with longer names and names in other case, and subscribes again at a drawn"
    " place in it",
    leaves="the events received, and the events written",
    declaration=CATEGORIES,
    isolation=Isolation.EXCLUSIVE,
)
async def a_category_gets_its_own(context: CheckContext) -> None:
    """A category subscription gets all events of its category in order, and no others."""
    require_subscriptions(context)
    own = context.category("shop")
    mine = [f"{own}-1", f"{own}-2-b"]
    others = [f"{own}ping-1", f"{own.upper()}-1", f"x{own}-1", f"x-{own}-1"]
    past = context.rng.choice(CATEGORY_PAST)
    place, foreign = context.rng.randrange(100, past - 100), context.rng.choice(FOREIGN_PAST)
    sent = await send_events(context, mine, place)
    await send_events(context, others, foreign)
    sent += await send_events(context, mine, past - place)
    async with subscribed(context, [*mine, *others], category=own) as probe:
        for _ in range(2):
            sent += await send_events(context, mine, 12)
            await send_events(context, others, 4)
        await require_all_delivered(probe, sent)
        await asyncio.sleep(SETTLE_S)
    require_delivered_once(probe, sent)
    await require_stream_order(context, probe, mine)
    context.count("events of the category", len(probe.events), least=CATEGORY_PAST.start)
    context.count("events of others amid them", foreign, least=FOREIGN_PAST.start)
    await require_resume_in_category(context, own, probe, sent)

"""Checks 61–68. Boundaries: an append is conditional on a query instead of a version."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from uuid import UUID

from harness.conformance.framework.boundary_appends import (
    SHAPES,
    Boundary,
    BoundaryAttempt,
    ConditionalAppend,
    boundary_writers,
    by_tag,
    by_type,
    decided,
    ids_of,
    new_tag,
    read_step,
    require_outcomes,
    tagged,
    written,
)
from harness.conformance.framework.boundary_heads import (
    REFUSED_AFTER_ALL,
    REFUSED_ON_NO_CONDITION,
    require_heads,
    require_heads_amid_appends,
)
from harness.conformance.framework.boundary_model import (
    ModelledLog,
    drawn_batches,
    every_combination,
    names,
)
from harness.conformance.framework.boundary_races import (
    DISJOINT,
    MANY_TAGS,
    SKEWED,
    boundary_races,
    boundary_races_between_processes,
    disjoint_races,
    exactly_one_won,
    same,
    skewed_races,
    torn_races,
    twin_races,
)
from harness.conformance.framework.check import (
    BOUNDED,
    BOUNDED_APART,
    BOUNDED_ATOMICALLY,
    BOUNDED_IDS,
    Isolation,
    check,
)
from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import (
    Broken,
    Step,
    Unsupported,
    describe_answer,
)
from harness.conformance.framework.large_boundary import LARGE_MIN, large_and_small
from harness.conformance.framework.races import CONNECTIONS, RACERS, count_overlaps, overlapped
from harness.domain.boundaries import (
    TAGGED,
    Boundaries,
    BoundaryAppend,
    BoundaryItem,
    BoundaryRead,
)

SKEWED_MIN = 200
"""Races of two appends that hit each other's boundaries."""
SKEWED_AT_ONCE_MIN = 100
"""Of those, the ones in which both were under way at once."""
DRAWN_EVENTS = 160
LONG = (1_025, 1_400)
"""Events of a boundary that is longer than a page."""
LONG_BATCH = 100
LARGE_APPEND = 100
SIZES = (1, 3, 40)
"""Events of an append that is sent again."""
LATER = 110
"""Events between an append and its retry."""


@check(
    61,
    provokes=f"races {RACERS} appends on one condition over {CONNECTIONS} connections, and two"
    " from several processes: on boundaries by type, by tag, by both and of several items, new"
    " ones and after the head of a query; and queries them",
    leaves="two racers that were both acknowledged, the loser whose event is read, or its error",
    declaration=BOUNDED,
)
async def of_racers_for_one_boundary_exactly_one_wins(context: CheckContext) -> None:
    """Of all appends on the same condition to the same boundary, exactly one is written."""
    met = list[str]()
    async for kind, attempts in boundary_races(context):
        if exactly_one_won(attempts) and overlapped(attempts):
            met.append(kind)
    count_overlaps(context, len(met))
    _count_kinds(context, met, SHAPES)
    if context.multi_process:
        await boundary_races_between_processes(context, [same])


@check(
    62,
    provokes=f"races two appends at least {SKEWED_MIN} times over connections, and from several"
    " processes, whose boundaries are described differently and which add to each other's: tag"
    " against tag, type against tag, a narrow set of types against a wide one, types with tags"
    " against tags alone, everything against a tag",
    leaves="both appends and their conditions, and what was answered",
    declaration=BOUNDED,
    isolation=Isolation.EXCLUSIVE,
)
async def of_two_appends_that_hit_each_others_boundary_one_wins(context: CheckContext) -> None:
    """Of two appends that each add to what the other is conditional on, exactly one is written."""
    met = list[str]()
    async for kind, attempts in skewed_races(context, SKEWED_MIN):
        if exactly_one_won(attempts) and overlapped(attempts):
            met.append(kind)
        context.count("races of two", least=SKEWED_MIN)
    at_once = "races of two that were under way at once"
    context.count(at_once, len(met), least=SKEWED_AT_ONCE_MIN)
    _count_kinds(context, met, SKEWED)
    if context.multi_process:
        await boundary_races_between_processes(context, SKEWED)


@check(
    63,
    provokes=f"races {RACERS} appends over {CONNECTIONS} connections to boundaries of their own:"
    " other tags, other types, one tag of two in common, and events that share tags outside of"
    " all boundaries, in one order and in the other",
    leaves="how many were refused, one of them and one that was acknowledged",
    declaration=BOUNDED_APART,
)
async def appends_to_disjoint_boundaries_all_succeed(context: CheckContext) -> None:
    """Appends never refuse each other whose boundaries have no event in common."""
    met, sent, tries = list[str](), 0, 0
    refused, shown = 0, list[Step]()
    async for kind, attempts in disjoint_races(context):
        lost = [each for each in attempts if each.answered and not each.won]
        won = [each for each in attempts if each.won]
        sent, refused = sent + len(attempts), refused + len(lost)
        tries += sum(e.answer.tries - 1 for e in won if isinstance(e.answer, BoundaryAppend))
        if all(each.answered for each in attempts) and overlapped(attempts):
            met.append(kind)
        shown = shown or [each.step(attempts) for each in (*lost[:2], *won[:1]) if lost]
    count_overlaps(context, len(met))
    _count_kinds(context, met, DISJOINT)
    context.count("appends that were refused for no reason", refused, least=0)
    context.count("transactions made again for no reason", tries, least=0)
    if refused:
        raise Broken(f"{refused:,} of {sent:,} appends to disjoint boundaries were refused", shown)


def _count_kinds(context: CheckContext, met: Iterable[str], kinds: Collection[object]) -> None:
    """Each way to describe boundaries has to be met, and not the easy ones alone."""
    what = "ways to describe boundaries that met"
    context.count(what, len(frozenset(met)), least=len(kinds))


@check(
    64,
    provokes="appends and queries after heads that are older than an event of the boundary, that"
    " saw it and that are newer, from queries of it and of others; and queries it while several"
    " writers add to it",
    leaves="the append, the head it is conditional on, and the events on both sides of it",
    declaration=BOUNDED,
    isolation=Isolation.EXCLUSIVE,
)
async def a_head_divides_what_was_seen_from_what_is_new(context: CheckContext) -> None:
    """A condition is violated by events after its head, and by no others."""
    writer, other = await boundary_writers(context, 2)
    for shape in SHAPES:
        await require_heads(context, shape(context), writer, other)
    for shape in (by_tag, by_type):
        await require_heads_amid_appends(context, shape(context))


@check(
    65,
    provokes=f"queries {DRAWN_EVENTS} drawn events, and {LONG[0]:,} or more of one boundary, by"
    " every combination of no, one and several types and tags, by several items and by none, whole"
    " and in pages, with names that look alike, beside events of streams; and makes appends"
    " conditional on the same",
    leaves="the query, what it found and what it should find; or the append and its answer",
    declaration=BOUNDED,
    isolation=Isolation.EXCLUSIVE,
)
async def a_boundary_has_the_events_that_its_items_match(context: CheckContext) -> None:
    """An event is in a boundary if any item has its type, or none, and no tag that it lacks."""
    writer, other = await boundary_writers(context, 2)
    log = ModelledLog(context, writer, other)
    await log.begin()
    await _write_drawn(context, log)
    for number, items in enumerate(every_combination(context)):
        await log.require_query(items, context.rng.randrange(len(log.heads)) * (number % 2))
        if number % 5 == 0:
            await log.require_query(items, 0, limit=context.rng.randint(1, 60))
        newest = log.last_head_before(items)
        await log.require_condition(items, len(log.heads) - 1 if number % 2 else newest)
    await _require_long(context, log)
    await _require_in_log(context, log)


async def _write_drawn(context: CheckContext, log: ModelledLog) -> None:
    types, _ = names(context)
    for number, batch in enumerate(drawn_batches(context, DRAWN_EVENTS)):
        await log.write(batch)
        if number % 10 == 0:  # of a stream, and so of no boundary
            events = [replace(each, type=types[0]) for each in context.events(2)]
            await context.append(context.stream(), events)


async def _require_long(context: CheckContext, log: ModelledLog) -> None:
    """A boundary that is longer than a page of any store, and an event after it."""
    tag, last = new_tag(context), new_tag(context)
    kind, count = context.stream("Long"), context.rng.randint(*LONG)
    size = min(LONG_BATCH, context.guarantees.batch_limit or LONG_BATCH)
    for first in range(0, count, size):
        await log.write(tagged(context, kind, (tag,), min(size, count - first)))
    await log.write(tagged(context, kind, (tag, last)))
    by_tags, by_kind = (BoundaryItem(tags=(tag,)),), (BoundaryItem((kind,)),)
    begin = len(log.heads) - 1 - -(-count // size) - 1
    for items in (by_tags, by_kind, (BoundaryItem((kind,), (last, tag)),)):
        for at in (0, begin, begin + 1, len(log.heads) - 2):
            await log.require_query(items, at)
            await log.require_condition(items, at)
        await log.require_query(items, begin, limit=count - 1)
        await log.require_condition(items, len(log.heads) - 1)
    context.count("events of a long boundary", count + 1, least=LONG[0])


async def _require_in_log(context: CheckContext, log: ModelledLog) -> None:
    """Raises `Broken` unless the log has the same events in the same order."""
    mine = [event.id for event in log.events]
    wanted = frozenset(mine)
    try:
        ids = [event.id for event in await context.log({TAGGED}) if event.id in wanted]
    except Unsupported:
        return
    if ids != mine:
        result = f"{len(ids)} events of {len(mine)}" + ", in another order" * (
            len(ids) == len(mine)
        )
        step = Step("a reader", "read the log", result)
        raise Broken("the log differs from the boundaries", [step])


@check(
    66,
    provokes=f"sends conditional appends of {SIZES[0]} to {SIZES[-1]} events again, at once and"
    f" after {LATER} others that violate their condition, over two connections, and several times"
    " at the same time; and sends known ids with other data, other tags and beside a new one",
    leaves="the append, its retry and both answers, and the events of the boundary",
    declaration=BOUNDED_IDS,
)
async def a_retry_is_known_although_its_condition_is_violated(context: CheckContext) -> None:
    """A retry is written once and gets the first result, under a condition that it violates."""
    store, other = await boundary_writers(context, 2)
    for shape in SHAPES:
        await _send_again(context, shape(context), store, other)
    overlapping = 0
    async for boundary, attempts in twin_races(context, 4 * len(SHAPES)):
        overlapping += _require_one_result(attempts) and overlapped(attempts)
        await _require_once(other, boundary, attempts[0].sent.ids, attempts)
    count_overlaps(context, overlapping)


async def _send_again(
    context: CheckContext, boundary: Boundary, store: Boundaries, other: Boundaries
) -> None:
    originals, ids = list[BoundaryAttempt](), list[UUID]()
    for number, most in enumerate(SIZES):
        size = min(most, context.guarantees.batch_limit or most)
        head = (await store.query(boundary.items)).head
        sent = boundary.append(context, head, size=size)
        if number == 1:
            sent = boundary.unconditional(context, size=size)
        originals.append(await written(store, sent, why=REFUSED_AFTER_ALL))
        ids += sent.ids
        await _require_known(context, store, originals[-1])
    for _ in range(0, LATER, 10):
        later = boundary.unconditional(context, size=min(10, context.guarantees.batch_limit or 10))
        await written(store, later, why=REFUSED_ON_NO_CONDITION)
        ids += later.ids
    for through in (store, other):
        for each in originals:
            await _require_known(context, through, each)
    await _require_no_retry(context, store, originals[1].sent)
    await _require_once(other, boundary, ids, originals)


async def _require_no_retry(
    context: CheckContext, store: Boundaries, sent: ConditionalAppend
) -> None:
    """Known ids with anything else are no retry, whose answer they must not get."""
    first, *rest = sent.events
    others = {
        "other data": [replace(first, data=b'{"other": true}'), *rest],
        "a tag more": [replace(first, tags=(*first.tags, new_tag(context))), *rest],
        "a new event": [*tagged(context, first.type, first.tags), *rest],
    }
    if not rest:  # the store takes one event at a time
        del others["a new event"]
    for what, events in others.items():
        made = await decided("the writer, again", store, replace(sent, events=tuple(events)))
        if made.won:
            raise Broken(f"known ids with {what} were taken for a retry", [made.step()])
    context.count("known ids that were no retry", len(others), least=2 * len(SHAPES))


async def _require_known(
    context: CheckContext, through: Boundaries, original: BoundaryAttempt
) -> None:
    again = await decided("the writer, again", through, original.sent)
    both = [original.step([original]), again.step([original])]
    if not again.won:
        raise Broken("a retry was refused", both)
    _require_same_position(original, again, both)
    least = len(SHAPES) * len(SIZES) * 3
    context.count("retries that met their original", least=least)


def _require_same_position(
    one: BoundaryAttempt, other: BoundaryAttempt, shown: Sequence[Step]
) -> None:
    answers = [e.answer.position for e in (one, other) if isinstance(e.answer, BoundaryAppend)]
    if None not in answers and len(set(answers)) > 1:
        raise Broken("a retry returned another position", shown)


async def _require_once(
    store: Boundaries, boundary: Boundary, ids: Sequence[UUID], sent: Sequence[BoundaryAttempt]
) -> None:
    found = ids_of((await store.query(boundary.items)).events)
    if found != list(ids) and any(each.won for each in sent):
        result = f"{len(found)} events, {len(set(found))} different ones, of {len(ids)}"
        raise Broken(
            "a retry changed the boundary",
            [sent[-1].step(sent), read_step(boundary.items, result)],
        )


def _require_one_result(attempts: Sequence[BoundaryAttempt]) -> bool:
    """Whether the store decided all of them. Raises `Broken` if they got different results."""
    won = [each for each in attempts if each.won]
    lost = [each for each in attempts if each.answered and not each.won]
    complete = all(each.answered for each in attempts)
    if lost and complete:
        two = [each.step(attempts) for each in (*won[:1], lost[0])]
        raise Broken("a retry concurrent with its original was refused", two)
    for each in won[1:]:
        _require_same_position(won[0], each, [e.step(attempts) for e in (won[0], each)])
    return complete


@check(
    67,
    provokes=f"appends {LARGE_APPEND} events with {MANY_TAGS} tags each while readers query them;"
    " has them refused, and races them with small appends that violate their condition",
    leaves="the append, and the part of it that is read",
    declaration=BOUNDED_ATOMICALLY,
)
async def a_conditional_append_is_written_whole_or_not_at_all(context: CheckContext) -> None:
    """All events of an append are there, with all of their tags, or none of them is."""
    size = min(LARGE_APPEND, context.guarantees.batch_limit or LARGE_APPEND)
    for shape in SHAPES:
        await _whole_or_refused(context, shape(context), size)
    overlapping = 0
    async for attempts in torn_races(context, size):
        overlapping += all(each.answered for each in attempts) and overlapped(attempts)
    count_overlaps(context, overlapping)


async def _whole_or_refused(context: CheckContext, boundary: Boundary, size: int) -> None:
    writer, reader = await boundary_writers(context, 2)
    tags = tuple(dict.fromkeys([*boundary.tags, *(new_tag(context) for _ in range(MANY_TAGS))]))
    tags = tags[:MANY_TAGS]
    items = (BoundaryItem(tags=tags[-1:]),)
    sent = ConditionalAppend(tagged(context, boundary.event_type, tags, size), boundary.items, None)
    writing = asyncio.create_task(
        written(writer, sent, why="an append to a new boundary was refused")
    )
    while not writing.done():
        _require_all_or_none(sent, await reader.query(items), items)
    await writing
    read = await reader.query(items)
    _require_all_or_none(sent, read, items)
    if ids_of(read.events) != sent.ids:
        result = f"{len(read.events)} events of {size}"
        raise Broken("an acknowledged append is not found by a tag", [read_step(items, result)])
    for each in read.events:
        if each.tags != frozenset(tags):
            result = f"{len(each.tags)} tags of {len(tags)}"
            raise Broken("an event has lost tags", [read_step(items, result)])
    context.count("large appends that were written", least=len(SHAPES))
    await _require_refused_whole(context, boundary, tags, size)


async def _require_refused_whole(
    context: CheckContext, boundary: Boundary, tags: tuple[str, ...], size: int
) -> None:
    """Refused because of the events that are there, whatever it is about itself."""
    (writer,) = await boundary_writers(context, 1)
    events = tagged(context, boundary.event_type, tags, size)
    made = await decided("the writer", writer, ConditionalAppend(events, boundary.items, None))
    if not made.violated:
        raise Broken(
            f"a large append was not refused: {describe_answer(made.answer)}", [made.step()]
        )
    await require_outcomes(writer, [made])
    context.count("large appends that were refused", least=len(SHAPES))


def _require_all_or_none(
    sent: ConditionalAppend, read: BoundaryRead, items: Sequence[BoundaryItem]
) -> None:
    if read.events and len(read.events) != len(sent.events):
        result = f"{len(read.events)} events of {len(sent.events)}"
        step = Step("the writer", str(sent))
        raise Broken("a part of an append was read", [step, read_step(items, result)])


@check(
    68,
    provokes=f"writes {LARGE_MIN:,} and more events of one boundary, as many as the profile has"
    " time for, and queries and adds to small ones beside it, with its type, with its tag and with"
    " neither, in turn with the same in a log without it",
    leaves="the query and what it found, or the append that was refused",
    declaration=BOUNDED,
    isolation=Isolation.DESTRUCTIVE,
)
async def a_large_boundary_leaves_small_ones_as_they_are(context: CheckContext) -> None:
    """Small boundaries are read and added to correctly beside a very large one."""
    await large_and_small(context)

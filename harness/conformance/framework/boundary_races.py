"""Races of appends whose boundaries are the same, hit each other, or have no event in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import chain

from harness.conformance.framework.boundary_appends import (
    EVERYTHING,
    SHAPES,
    SHOWN,
    Boundary,
    BoundaryAttempt,
    ConditionalAppend,
    as_boundaries,
    attempt_if,
    boundary_writers,
    by_tag,
    log_head,
    new_tag,
    new_type,
    require_outcomes,
    tagged,
)
from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import Broken, describe_answer
from harness.conformance.framework.check_workers import Rendezvous
from harness.conformance.framework.races import (
    CONNECTIONS,
    PROCESS_ROUNDS,
    RACERS,
    count_overlaps_between,
    release_together,
)
from harness.domain.boundaries import Boundaries, BoundaryItem
from harness.domain.store import Adapter, Position

SIZES = ((1, 3), (4, 12))
"""Events of an append, drawn from these ranges in turn."""
MANY_TAGS = 20
"""Of each event of a large append."""
RACES_IN_A_ROW = 3
"""On one boundary: the first without a head, the others after the head of a query."""
TORN_MIN, TURNS_MAX = 30, 6
"""Races of a large append, and turns of the event loop by which a small one may be late."""
WIDE = 9
"""Types of a wide boundary."""

Pair = tuple[Boundary, Boundary]
PairShape = Callable[[CheckContext], Pair]
Racer = Callable[[], Awaitable[BoundaryAttempt]]
Race = tuple[str, list[BoundaryAttempt]]
"""How its boundaries are described, and its attempts."""


async def boundary_races(context: CheckContext) -> AsyncIterator[Race]:
    """Many appends at once, all on the same condition, over several connections."""
    stores = await boundary_writers(context, CONNECTIONS)
    boundary = by_tag(context)
    for number in context.rounds(RACES_IN_A_ROW * len(SHAPES)):
        after: Position | None = None
        shape = SHAPES[number // RACES_IN_A_ROW % len(SHAPES)]
        if number % RACES_IN_A_ROW == 0:
            boundary = shape(context)
        else:
            after = (await stores[0].query(boundary.items)).head
        size = batch_size(context, number)
        sent = [boundary.append(context, after, size=size) for _ in range(RACERS)]
        attempts = await race_if(stores, sent)
        await require_outcomes(stores[-1], attempts)
        yield shape.__name__, attempts


def batch_size(context: CheckContext, number: int) -> int:
    """The drawn size of append `number`, within the store's limit."""
    size = context.rng.randint(*SIZES[number % len(SIZES)])
    return min(size, context.guarantees.batch_limit or size)


async def race_if(
    stores: Sequence[Boundaries], sent: Sequence[ConditionalAppend]
) -> list[BoundaryAttempt]:
    """Release these appends at once over these connections."""
    return await release_together(
        [
            _racer(f"racer {number}", stores[number % len(stores)], each)
            for number, each in enumerate(sent)
        ]
    )


def _racer(name: str, store: Boundaries, sent: ConditionalAppend) -> Racer:
    return lambda: attempt_if(name, store, sent)


def exactly_one_won(attempts: Sequence[BoundaryAttempt]) -> bool:
    """Whether the store decided all of them.

    Raises `Broken` if several won, if certainly none did, or if a loser got another error than
    `BoundaryViolated`.
    """
    won = [each for each in attempts if each.won]
    complete = all(each.answered for each in attempts)
    if len(won) > 1:
        why = f"{len(won)} of {len(attempts)} appends that exclude each other were written"
        raise Broken(why, [each.step(attempts) for each in won[:SHOWN]])
    others = [each for each in attempts if each.answered and not (each.won or each.violated)]
    if others:
        shown = [each.step(attempts) for each in [*won, others[0]]]
        raise Broken(f"a losing append got {describe_answer(others[0].answer)}", shown)
    if not won and complete:
        shown = [each.step(attempts) for each in attempts[:SHOWN]]
        raise Broken(f"none of {len(attempts)} appends on one condition was written", shown)
    return complete


async def boundary_races_in_process(
    store: Adapter,
    rendezvous: Rendezvous,
    number: int,
    processes: int,
    races: Sequence[Sequence[ConditionalAppend]],
    elsewhere: BoundaryItem,
) -> list[BoundaryAttempt]:
    """One process's part: in each race it sends one of the appends, or waits if none is its.

    Every append is conditional on what the log was before its race.
    """
    boundaries = as_boundaries(store)
    attempts = []
    for turn, race in enumerate(races):
        await rendezvous()
        after = (await boundaries.query([elsewhere])).head
        role = (number + turn) % processes
        await rendezvous()
        if role < len(race):
            sent = ConditionalAppend(race[role].events, race[role].fail_if_match, after)
            attempts.append(await attempt_if(f"process {number}", boundaries, sent))
    return attempts


async def boundary_races_between_processes(
    context: CheckContext, shapes: Sequence[PairShape]
) -> None:
    """Raises `Broken` unless one of each two appends that exclude each other wins."""
    pairs = [shapes[turn % len(shapes)](context) for turn in range(PROCESS_ROUNDS)]
    races = [
        [each.append(context, None, size=batch_size(context, turn)) for each in pair]
        for turn, pair in enumerate(pairs)
    ]
    elsewhere = BoundaryItem(tags=(new_tag(context),))
    by_process = await context.in_processes(
        boundary_races_in_process, context.workers.size, races, elsewhere
    )
    by_first_id = {each.sent.events[0].id: each for each in chain.from_iterable(by_process)}
    for race in races:
        attempts = [by_first_id[each.events[0].id] for each in race]
        exactly_one_won(attempts)
        await require_outcomes(as_boundaries(context.store), attempts)
    count_overlaps_between(context, by_process)


def same(context: CheckContext) -> Pair:
    """Two writers of one boundary, described in a drawn way."""
    boundary = context.rng.choice(SHAPES)(context)
    return boundary, boundary


def _tag_against_tag(context: CheckContext) -> Pair:
    one, two = new_tag(context), new_tag(context)
    kind = new_type(context)
    return Boundary(_tags(one), kind, (two,)), Boundary(_tags(two), kind, (one,))


def _type_against_type(context: CheckContext) -> Pair:
    one, two = new_type(context), new_type(context)
    return Boundary(_types(one), two), Boundary(_types(two), one)


def _type_against_tag(context: CheckContext) -> Pair:
    kind, tag = new_type(context), new_tag(context)
    return Boundary(_types(kind), new_type(context), (tag,)), Boundary(_tags(tag), kind)


def _narrow_against_wide(context: CheckContext) -> Pair:
    narrow, *wide = (new_type(context) for _ in range(WIDE + 1))
    return (
        Boundary(_types(narrow), context.rng.choice(wide), (new_tag(context),)),
        Boundary(_types(*wide), narrow, (new_tag(context),)),
    )


def _overlapping_type_sets(context: CheckContext) -> Pair:
    only, shared, other = (new_type(context) for _ in range(3))
    tag = new_tag(context)
    return (
        Boundary((BoundaryItem((only, shared), (tag,)),), shared, (tag,)),
        Boundary((BoundaryItem((shared, other), (tag,)),), shared, (tag,)),
    )


def _both_against_tags(context: CheckContext) -> Pair:
    kind, (one, two) = new_type(context), (new_tag(context), new_tag(context))
    return (
        Boundary((BoundaryItem((kind,), (one, two)),), new_type(context), (one,)),
        Boundary(_tags(one), kind, (two, one)),
    )


def _both_against_type(context: CheckContext) -> Pair:
    kind, other, tag = new_type(context), new_type(context), new_tag(context)
    return (
        Boundary((BoundaryItem((kind,), (tag,)),), other, (new_tag(context),)),
        Boundary(_types(other), kind, (tag,)),
    )


def _two_tags_against_one(context: CheckContext) -> Pair:
    one, two, three = (new_tag(context) for _ in range(3))
    kind = new_type(context)
    return Boundary(_tags(one, two), kind, (three,)), Boundary(_tags(three), kind, (two, one))


def _items_against_item(context: CheckContext) -> Pair:
    tag, kind, other = new_tag(context), new_type(context), new_type(context)
    either = (
        BoundaryItem(tags=(new_tag(context),)),
        BoundaryItem((kind,)),
        BoundaryItem(tags=(tag,)),
    )
    return Boundary(either, other, (new_tag(context),)), Boundary(_types(other), kind)


def _everything_against_tag(context: CheckContext) -> Pair:
    tag = new_tag(context)
    return Boundary(EVERYTHING, new_type(context), (tag,)), Boundary(_tags(tag), new_type(context))


def _everything_against_type(context: CheckContext) -> Pair:
    kind = new_type(context)
    return (
        Boundary(EVERYTHING, kind),
        Boundary(_types(kind), new_type(context), (new_tag(context),)),
    )


SKEWED: tuple[PairShape, ...] = (
    _tag_against_tag, _type_against_type, _type_against_tag, _narrow_against_wide,
    _overlapping_type_sets, _both_against_tags, _both_against_type, _two_tags_against_one,
    _items_against_item, _everything_against_tag, _everything_against_type,
)  # fmt: skip
"""Two boundaries described differently; the writer of each adds an event to the other."""


async def skewed_races(context: CheckContext, least: int) -> AsyncIterator[Race]:
    """`least` or more races of two appends, each of which adds to the other's boundary."""
    stores = await boundary_writers(context, 2)
    for number in context.rounds(least):
        shape = SKEWED[number % len(SKEWED)]
        pair = shape(context)
        assert all(one.hits(other) for one, other in (pair, pair[::-1]))
        after = await log_head(context, stores[number % 2])
        size = batch_size(context, number // len(SKEWED))
        sent = [each.append(context, after, size=size) for each in pair]
        context.rng.shuffle(sent)
        attempts = await race_if(stores, sent)
        await require_outcomes(stores[number % 2], attempts)
        yield shape.__name__, attempts


DisjointShape = Callable[[CheckContext, int], list[Boundary]]


def _other_tags(context: CheckContext, count: int) -> list[Boundary]:
    kind = new_type(context)
    tags = [new_tag(context) for _ in range(count)]
    return [Boundary((BoundaryItem((kind,), (tag,)),), kind, (tag,)) for tag in tags]


def _other_types(context: CheckContext, count: int) -> list[Boundary]:
    tag = new_tag(context)
    types = [new_type(context) for _ in range(count)]
    return [Boundary((BoundaryItem((kind,), (tag,)),), kind, (tag,)) for kind in types]


def _types_alone(context: CheckContext, count: int) -> list[Boundary]:
    tag = new_tag(context)
    types = [new_type(context) for _ in range(count)]
    return [Boundary(_types(kind), kind, (tag,)) for kind in types]


def _tags_alone(context: CheckContext, count: int) -> list[Boundary]:
    kind = new_type(context)
    return [Boundary(_tags(tag), kind, (tag,)) for tag in (new_tag(context) for _ in range(count))]


def _one_tag_in_common(context: CheckContext, count: int) -> list[Boundary]:
    kind, common = new_type(context), new_tag(context)
    tags = [new_tag(context) for _ in range(count)]
    return [Boundary(_tags(common, tag), kind, (tag, common)) for tag in tags]


def _others_in_turned_order(context: CheckContext, count: int) -> list[Boundary]:
    """Their events share tags that are in nobody's boundary, in one order and in the other."""
    kind, shared = new_type(context), [new_tag(context) for _ in range(4)]
    tags = [new_tag(context) for _ in range(count)]
    return [
        Boundary(_tags(tag), kind, (*shared[:: 1 if turn % 2 else -1], tag))
        for turn, tag in enumerate(tags)
    ]


DISJOINT: tuple[DisjointShape, ...] = (
    _other_tags, _tags_alone, _other_types, _types_alone, _one_tag_in_common,
    _others_in_turned_order,
)  # fmt: skip
"""Boundaries of which none has an event that another's writer adds."""


async def disjoint_races(context: CheckContext) -> AsyncIterator[Race]:
    """Many appends at once over several connections, each to a boundary of its own."""
    stores = await boundary_writers(context, CONNECTIONS)
    for number in context.rounds():
        shape = DISJOINT[number % len(DISJOINT)]
        boundaries = shape(context, RACERS)
        after = None if number % 2 else await log_head(context, stores[0])
        size = batch_size(context, number // len(DISJOINT))
        sent = [each.append(context, after, size=size) for each in boundaries]
        attempts = await race_if(stores, sent)
        await require_outcomes(stores[-1], attempts)
        yield shape.__name__, attempts


async def twin_races(
    context: CheckContext, count: int
) -> AsyncIterator[tuple[Boundary, list[BoundaryAttempt]]]:
    """One append sent several times at once over several connections."""
    stores = await boundary_writers(context, CONNECTIONS)
    for number in range(count):
        boundary = SHAPES[number % len(SHAPES)](context)
        sent = boundary.append(context, None, size=batch_size(context, number))
        yield boundary, await race_if(stores, [sent] * (RACERS // 2))


async def torn_races(context: CheckContext, size: int) -> AsyncIterator[list[BoundaryAttempt]]:
    """A large append beside small ones, of which each adds to its boundary. The large one is first.

    In half of the races they begin at once, in the others the small ones begin a moment later.
    """
    stores = await boundary_writers(context, CONNECTIONS)
    for number in context.rounds(TORN_MIN):
        boundary = SHAPES[number % len(SHAPES)](context)
        tags = (*boundary.tags, *(new_tag(context) for _ in range(MANY_TAGS - len(boundary.tags))))
        large = ConditionalAppend(
            tagged(context, boundary.event_type, tags, size), boundary.items, None
        )
        small = [boundary.unconditional(context) for _ in range(2)]
        first = _racer("the large one", stores[0], large)
        turns = [context.rng.randint(0, TURNS_MAX) * (number % 2) for _ in small]
        others = zip(stores[1:], small, turns, strict=False)
        racers = [first, *(_delayed(store, each, later) for store, each, later in others)]
        attempts = await release_together(racers)
        await require_outcomes(stores[-1], attempts)
        yield attempts


def _delayed(store: Boundaries, sent: ConditionalAppend, turns: int) -> Racer:
    """An append that begins a number of turns of the event loop later."""

    async def begin() -> BoundaryAttempt:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await attempt_if("a small one", store, sent)

    return begin


def _tags(*tags: str) -> tuple[BoundaryItem]:
    return (BoundaryItem(tags=tags),)


def _types(*types: str) -> tuple[BoundaryItem]:
    return (BoundaryItem(types),)

"""Heads of boundaries: what a query saw, and what an append after it is refused for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from harness.conformance.framework.boundary_appends import (
    SHAPES,
    Boundary,
    boundary_writers,
    by_tag,
    by_type,
    decided,
    ids_of,
    log_head,
    read_step,
    written,
)
from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import Broken, describe_answer
from harness.domain.boundaries import Boundaries, BoundaryRead
from harness.domain.store import Position

STORM_WRITERS, STORM_APPENDS, STORM_READS = 3, 25, 40
BATCH_MAX = 100
REFUSED_AFTER_ALL = "an append was refused after a head that saw everything"
REFUSED_ON_NO_CONDITION = "an append on no condition was refused"


async def require_heads(
    context: CheckContext, boundary: Boundary, store: Boundaries, other: Boundaries
) -> None:
    """Each kind of head, with nothing else going on."""
    before = (await other.query(boundary.items)).head
    ids = await _added(context, store, boundary)
    await _require_refused(context, store, boundary, before)
    await _require_refused(context, store, boundary, None)
    saw = (await other.query(boundary.items)).head
    ids += await _accepted(context, store, boundary, saw)
    await _require_refused(context, store, boundary, saw)
    saw_both = (await store.query(boundary.items)).head
    await _added(context, other, by_type(context))
    ids += await _accepted(context, store, boundary, saw_both)
    newer = await log_head(context, other)
    await _added(context, store, by_tag(context))
    ids += await _accepted(context, store, boundary, newer)
    await _require_refused(context, other, boundary, newer)
    ids += await _added(context, other, boundary)
    for seen, after in enumerate((before, saw, saw_both, newer)):
        found = ids_of((await other.query(boundary.items, after=after)).events)
        if found != ids[seen:]:
            result = f"{len(found)} events of {len(ids) - seen}"
            step = read_step(boundary.items, result)
            raise Broken(
                "a query after a head does not find what is newer",
                [replace(step, did=f"{step.did} after {after}")],
            )


async def _added(context: CheckContext, store: Boundaries, boundary: Boundary) -> list[UUID]:
    """On no condition, so nothing may refuse it."""
    sent = boundary.unconditional(context)
    await written(store, sent, why=REFUSED_ON_NO_CONDITION)
    return sent.ids


async def _accepted(
    context: CheckContext, store: Boundaries, boundary: Boundary, after: Position | None
) -> list[UUID]:
    sent = boundary.append(context, after)
    await written(store, sent, why=REFUSED_AFTER_ALL)
    context.count("appends after a head that saw everything", least=3 * len(SHAPES))
    return sent.ids


async def _require_refused(
    context: CheckContext, store: Boundaries, boundary: Boundary, after: Position | None
) -> None:
    made = await decided("the writer", store, boundary.append(context, after))
    if not made.violated:
        answer = describe_answer(made.answer)
        why = f"an append after a head that is too old was not refused: {answer}"
        raise Broken(why, [made.step()])
    context.count("appends after a head that is too old", least=4 * len(SHAPES))


async def require_heads_amid_appends(context: CheckContext, boundary: Boundary) -> None:
    """Raises `Broken` if a head covers an event that its query did not find, or the other way."""
    reader, *writers = await boundary_writers(context, 1 + STORM_WRITERS)

    async def write(store: Boundaries) -> None:
        for number in range(STORM_APPENDS):
            size = min(1 + 7 * (number % 4), context.guarantees.batch_limit or BATCH_MAX)
            await written(
                store, boundary.unconditional(context, size=size),
                why=REFUSED_ON_NO_CONDITION,
            )  # fmt: skip

    writing = asyncio.gather(*map(write, writers))
    reads = list[BoundaryRead]()
    while not writing.done() and len(reads) < STORM_READS:
        reads.append(await reader.query(boundary.items))
    await writing
    in_the_end = ids_of((await reader.query(boundary.items)).events)
    for each in reads:
        seen = ids_of(each.events)
        newer = ids_of((await reader.query(boundary.items, after=each.head)).events)
        amid = 0 < len(seen) < len(in_the_end)
        if not _divided(in_the_end, seen, newer):
            result = f"{len(seen)} events, {len(newer)} after its head, {len(in_the_end)} in all"
            raise Broken(
                "the head of a query does not fit the events that it found",
                [read_step(boundary.items, result)],
            )
        if amid and newer:
            await _require_old(context, reader, boundary, each.head)
        context.count("queries amid appends", amid, least=4)


def _divided(whole: Sequence[UUID], seen: Sequence[UUID], newer: Sequence[UUID]) -> bool:
    """Whether each event is in one of the two parts, in the order of the whole.

    An append that was under way during a query may come before one that the query found.
    """
    first = set(seen)
    return [each for each in whole if each in first] == [*seen] and [
        each for each in whole if each not in first
    ] == [*newer]


async def _require_old(
    context: CheckContext, store: Boundaries, boundary: Boundary, head: Position | None
) -> None:
    made = await decided("the writer", store, boundary.append(context, head))
    if not made.violated:
        raise Broken(
            f"an append after a head amid appends: {describe_answer(made.answer)}", [made.step()]
        )

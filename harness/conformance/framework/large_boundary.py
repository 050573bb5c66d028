"""Small boundaries beside a very large one, compared with the same in a log without it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from uuid import UUID

from harness.conformance.framework.boundary_appends import (
    Boundary,
    as_boundaries,
    ids_of,
    new_tag,
    new_type,
    read_step,
    tagged,
    written,
)
from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import Broken
from harness.domain.boundaries import Boundaries, BoundaryItem

LARGE_MIN, LARGE_MAX = 12_000, 1_000_000
"""The fewest events of the large boundary; it has no more than the aim."""
SHARE_OF_TIME, THOROUGH_SHARE = 2, 24
"""How many times the profile's seconds the writing may take."""
BATCH = 2_000
PAGE = 100_000
"""Events of the large boundary in one query."""
SMALL_ROUNDS = 20
"""Queries and appends of each small boundary, beside the large one and without it."""


@dataclass(slots=True)
class SmallBoundary:
    """A boundary with few events, in one log."""

    store: Boundaries
    boundary: Boundary
    ids: list[UUID] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)

    async def add(self, context: CheckContext) -> None:
        """Query it and append to it on that condition. Raises `Broken` if either goes wrong."""
        began_s = time.perf_counter()
        read = await self.store.query(self.boundary.items)
        sent = self.boundary.append(context, read.head)
        await written(self.store, sent, why="an append to a small boundary was wrongly refused")
        self.took_s.append(time.perf_counter() - began_s)
        found = ids_of(read.events)
        if found != self.ids:
            result = f"{len(found)} events of {len(self.ids)}"
            raise Broken(
                "a query of a small boundary finds wrong events",
                [read_step(self.boundary.items, result)],
            )
        self.ids += sent.ids


@dataclass(frozen=True, slots=True)
class LargeBoundary:
    """A type and a tag that very many events have."""

    event_type: str
    tag: str

    def small_ones(self, context: CheckContext, store: Boundaries) -> list[SmallBoundary]:
        """Small boundaries that have nothing, the type, or the tag in common with it."""
        one, two, three = (new_tag(context) for _ in range(3))
        other = new_type(context)
        boundaries = [
            Boundary((BoundaryItem(tags=(one,)),), other, (one,)),
            Boundary((BoundaryItem((self.event_type,), (two,)),), self.event_type, (two,)),
            Boundary((BoundaryItem(tags=(self.tag, three)),), other, (three, self.tag)),
        ]
        return [SmallBoundary(store, each) for each in boundaries]

    async def write(
        self, context: CheckContext, store: Boundaries, smalls: Sequence[SmallBoundary]
    ) -> list[UUID]:
        """Append to it until the time is over; to the small ones as well, in between."""
        ids = list[UUID]()
        share = THOROUGH_SHARE if context.profile.thorough else SHARE_OF_TIME
        until_s = time.monotonic() + share * context.profile.seconds
        size = min(BATCH, context.guarantees.batch_limit or BATCH)
        while len(ids) < LARGE_MIN or (time.monotonic() < until_s and len(ids) < LARGE_MAX):
            if len(ids) % (LARGE_MIN // 4) < size:
                for each in smalls:
                    await each.add(context)
            batch = tagged(context, self.event_type, (self.tag,), size)
            await store.append_if(batch, fail_if_match=None)
            ids += (event.id for event in batch)
        return ids

    async def require_whole(self, store: Boundaries, ids: Sequence[UUID]) -> None:
        """Raises `Broken` unless queries of it find these events; in pages if it is very large."""
        items = (BoundaryItem((self.event_type,), (self.tag,)),)
        if len(ids) <= PAGE:
            found = ids_of((await store.query(items)).events)
        else:
            found, after = [], None
            while len(found) <= len(ids):
                page = await store.query(items, after=after, limit=PAGE)
                if not page.events:
                    break
                found, after = found + ids_of(page.events), page.head
        if found != list(ids):
            result = f"{len(found)} events of {len(ids)}"
            raise Broken(
                "a query of the large boundary finds wrong events", [read_step(items, result)]
            )


async def compare(
    context: CheckContext, beside: Sequence[SmallBoundary], alone: Sequence[SmallBoundary]
) -> float:
    """How long the small ones take beside the large one, where 1 is as long as without it.

    Each round has both, so that a busy machine slows both.
    """
    for each in (*beside, *alone):
        each.took_s.clear()
    for turn in range(SMALL_ROUNDS):
        for pair in zip(beside, alone, strict=True):
            for each in pair if turn % 2 else pair[::-1]:
                await each.add(context)
    return max(
        median(one.took_s) / median(other.took_s) for one, other in zip(beside, alone, strict=True)
    )


async def large_and_small(context: CheckContext) -> None:
    """Raises `Broken` if small boundaries beside a large one, or it, are read wrongly."""
    store = as_boundaries(context.store)
    large = LargeBoundary(new_type(context), new_tag(context))
    factory = context.factory.in_namespace(f"{context.factory.endpoint.namespace}_alone")
    async with factory.set_up() as without:
        beside = large.small_ones(context, store)
        alone = large.small_ones(context, as_boundaries(without))
        ids = await large.write(context, store, beside)
        for each in alone:
            while len(each.ids) < len(beside[0].ids):
                await each.add(context)
        ratio = await compare(context, beside, alone)
    await large.require_whole(store, ids)
    context.count("events of a large boundary", len(ids), least=LARGE_MIN)
    small = sum(len(each.ids) for each in beside)
    context.count("appends to small boundaries beside it", small, least=SMALL_ROUNDS)
    context.count("% of its time without it that a small one takes", round(ratio * 100), least=0)

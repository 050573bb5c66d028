"""Watchers: readers that poll streams and the log while appends to them are under way."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from uuid import UUID

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import Broken, Step
from harness.conformance.framework.races import Attempt
from harness.domain.errors import ReadFailed, StreamNotFound
from harness.domain.store import Adapter, Position, RecordedEvent

LOG = "the log"


@dataclass(frozen=True, slots=True)
class Look:
    """One read of a watcher: what was new in it, and when it was made."""

    where: str
    """The stream, or `LOG`."""
    began_s: float
    ended_s: float
    events: Sequence[RecordedEvent]

    def step(self, result: str, began_s: float) -> Step:
        """A line of evidence; its time counts from `began_s`."""
        did = "read the log" if self.where == LOG else f"read {self.where!r}"
        return Step("a watcher", did, result, (self.began_s - began_s) * 1000)


class _Spans:
    """The times that reads or appends took; there are tens of thousands of reads."""

    def __init__(self, taken: Iterable[Look | Attempt]) -> None:
        spans = sorted((each.began_s, each.ended_s) for each in taken)
        self._begins = [began_s for began_s, _ in spans]
        self._last_ends = [*accumulate((ended_s for _, ended_s in spans), max)]
        """Of all that began no later."""

    def meet(self, other: Look | Attempt) -> bool:
        """Whether one of them overlaps with the other."""
        begun = bisect_right(self._begins, other.ended_s)
        return begun > 0 and self._last_ends[begun - 1] >= other.began_s


def _by_place(taken: Iterable[tuple[str, Look | Attempt]]) -> dict[str, _Spans]:
    found = defaultdict[str, list[Look | Attempt]](list)
    for where, each in taken:
        found[where].append(each)
    return {where: _Spans(of_place) for where, of_place in found.items()}


@dataclass(slots=True)
class Watcher:
    """Reads streams and the log in turn, each from where the last read of it ended.

    It never sleeps, so that what is visible for a moment is read.
    """

    store: Adapter
    streams: Sequence[str]
    after: Position | None
    """Where it begins in the log."""
    log: bool
    """Whether it reads the log."""
    looks: list[Look] = field(default_factory=list)
    _next: dict[str, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Read until cancelled. A read that fails is not counted."""
        while True:
            for stream in self.streams:
                await self._look(stream)
            if self.log:
                await self._look(LOG)
            await asyncio.sleep(0)

    async def _look(self, where: str) -> None:
        began_s, events = time.monotonic(), list[RecordedEvent]()
        try:
            if where == LOG:
                read = self.store.read_all(after=self.after)
            else:
                read = self.store.read_stream(where, start=self._next.get(where, 0))
            async for event in read:
                events.append(event)
        except StreamNotFound:
            self._next.pop(where, None)
        except ReadFailed:
            return
        self.looks.append(Look(where, began_s, time.monotonic(), events))
        if events and where == LOG:
            self.after = events[-1].position
        elif events:
            self._next[where] = events[-1].version + 1

    def reads_during(self, attempts: Collection[Attempt]) -> int:
        """The reads that overlap in time with one of these appends, of their stream or the log."""
        taken = _by_place((where, each) for each in attempts for where in (each.stream, LOG))
        return sum(look.where in taken and taken[look.where].meet(look) for look in self.looks)

    def met(self, attempts: Collection[Attempt]) -> int:
        """The appends that overlap in time with a read of their stream or the log."""
        taken = _by_place((look.where, look) for look in self.looks)
        return sum(
            any(where in taken and taken[where].meet(each) for where in (each.stream, LOG))
            for each in attempts
        )

    def require_whole_batches(self, attempts: Sequence[Attempt]) -> None:
        """Raises `Broken` if a read has some events of a batch and not the others."""
        batch_of = {event.id: each for each in attempts for event in each.batch}
        for look in self.looks:
            sizes = Counter[UUID]()
            for event in look.events:
                if event.id in batch_of:
                    sizes[batch_of[event.id].batch[0].id] += 1
            for first, count in sizes.items():
                each = batch_of[first]
                if count < len(each.batch):
                    what = f"{count} of the batch's {len(each.batch)} events, and the rest later"
                    read = look.step(what, min(one.began_s for one in attempts))
                    raise Broken("a batch is visible in part", [each.step(attempts), read])


@asynccontextmanager
async def watched(
    context: CheckContext, streams: Sequence[str], *, after: Position | None, log: bool
) -> AsyncIterator[Watcher]:
    """A watcher on a connection of its own, for the block; it reads `log` where there is one."""
    store = (await context.writers(2))[1]
    reads_log = log and context.guarantees.global_order != "none"
    watcher = Watcher(store, streams, after, reads_log)
    watching = asyncio.create_task(watcher.run())
    try:
        yield watcher
        await asyncio.sleep(0)
        if watching.done():
            watching.result()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

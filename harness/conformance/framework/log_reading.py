"""Readers of the global log: one that tails it during races, and what they must have read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from uuid import UUID

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import (
    Broken,
    Step,
    Unsupported,
    describe_versions,
)
from harness.conformance.framework.history_oracle import require_history
from harness.conformance.framework.open_transactions import meanwhile, open_transaction
from harness.conformance.framework.races import Attempt
from harness.conformance.framework.storms import (
    WRITERS,
    Write,
    by_processes,
    count_crossings,
    fiercest_way,
    refusals,
    storm_of,
    streams_of,
    ways_to_write,
)
from harness.domain.errors import ReadTimeout, StoreError, UnsupportedByStore
from harness.domain.store import EventStore, Position, RecordedEvent, StreamState
from harness.verification import Kind

ANY = StreamState.ANY
GRACE_S = 0.5
"""How long to wait for an event that should precede another that was read already."""
REFUSED_MIN = 10
"""Refused appends among those that are kept; fewer prove nothing."""
FOREIGN_MIN = 20
"""Appends of a stranger, or beside one; fewer prove nothing."""
_POLL_S = 0.005


class TailingReader:
    """Reads the log again and again, after the last event that it has, and records some streams.

    It never sleeps: a reader that does would often miss the moment at which events are missed.
    """

    def __init__(
        self, store: EventStore, streams: Collection[str], after: Position | None, within_s: float
    ) -> None:
        self.events: list[RecordedEvent] = []
        self.ids: set[UUID] = set()
        """Of these events."""
        self.timeouts = 0
        """Reads that ran out of time; the reader goes on from where it is."""
        self._within_s = within_s
        self._store, self._streams, self._after = store, frozenset(streams), after
        self._task: asyncio.Task[None] | None = None

    @property
    def position(self) -> Position | None:
        """Of the last event that it has: its checkpoint."""
        return self._after

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            try:
                async for event in self._store.read_all(after=self._after):
                    self._after = event.position
                    if event.stream in self._streams:
                        self.events.append(event)
                        self.ids.add(event.id)
            except ReadTimeout:
                self.timeouts += 1
            await asyncio.sleep(0)

    def start(self) -> asyncio.Task[None]:
        self._task = asyncio.create_task(self.run())
        return self._task

    async def sees(self, wanted: Collection[UUID], *, within_s: float | None = None) -> bool:
        """Whether all of these events are read within `within_s`, by default the profile's.

        Raises the error of a reader that has ended.
        """
        until = time.monotonic() + (self._within_s if within_s is None else within_s)
        while not self.ids.issuperset(wanted):
            if time.monotonic() > until:
                return False
            if self._task is not None and self._task.done():
                self._task.result()
            await asyncio.sleep(_POLL_S)
        return True

    async def must_see(self, wanted: Collection[UUID], steps: list[Step]) -> None:
        """Raises `Broken` if one of them is not read; the evidence begins with `steps`."""
        if await self.sees(wanted):
            return
        missing = [str(each) for each in wanted if each not in self.ids]
        what = f"{len(missing)} of {len(wanted)} events, the first is {missing[0]}"
        raise Broken("the reader never read " + what, [*steps, self.step()])

    def step(self) -> Step:
        """Its events, as a line of evidence."""
        return Step("the tailing reader", "read the log", describe_versions(self.events))


@asynccontextmanager
async def tailing(
    context: CheckContext, streams: Collection[str], *, after: Position | None = None
) -> AsyncIterator[TailingReader]:
    """A tailing reader on its own connection. Raises `Unsupported` if there is no log."""
    await require_log(context)
    store = (await context.writers(2))[1]
    tail = TailingReader(store, streams, after, context.profile.within_s)
    task = tail.start()
    try:
        yield tail
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, StoreError):
            await task


async def require_log(context: CheckContext) -> None:
    """Raises `Unsupported` if there is no log to read, whatever its declared order."""
    try:
        async for _ in context.store.read_all(limit=1):
            break
    except UnsupportedByStore as error:
        raise Unsupported(str(error)) from error


async def tail_storms(
    context: CheckContext, *, refused: bool = False, writes: Sequence[Write] = ()
) -> None:
    """Raises `Broken` if a reader that tails the log misses an event of a storm, or repeats one.

    One storm over connections and one from processes, unless `writes` names others. The reader
    never sleeps, so that it comes by while a later event is visible and an earlier one is not.
    """
    for write in writes or ways_to_write(context):
        storm = storm_of(context, refused=refused)
        streams = streams_of(context, storm)
        start = await context.append(context.stream(), context.events())
        async with tailing(context, streams, after=start.position) as tail:
            attempts = await write(context, storm)
            await require_complete(tail, attempts)
        count_crossings(context, attempts, await context.log(streams, after=start.position))
        if refused:
            context.count("refused appends among them", refusals(attempts), least=REFUSED_MIN)


async def require_storms_in_order(context: CheckContext, *, writes: Sequence[Write] = ()) -> None:
    """Raises `Broken` if the log inverts a stream of a storm, or lacks an event of it."""
    for write in writes or ways_to_write(context):
        storm = storm_of(context)
        start, attempts = await context.head(), await write(context, storm)
        log = await _whole_log(context, streams_of(context, storm), attempts, after=start)
        for kind in (Kind.INVERTED, Kind.MISPLACED, Kind.LOST):
            require_history(attempts, log, kind)
        count_crossings(context, attempts, log)


async def _whole_log(
    context: CheckContext,
    streams: Collection[str],
    attempts: Sequence[Attempt],
    *,
    after: Position | None,
) -> list[RecordedEvent]:
    """These streams' part of the log, as soon as it has all events, or time is up.

    A log that lacks an event looks like one that inverts it.
    """
    wanted = {event.id for each in attempts if each.won for event in each.batch}
    until = time.monotonic() + context.profile.within_s
    while True:
        log = await context.log(list(streams), after=after)
        if wanted <= {event.id for event in log} or time.monotonic() > until:
            return log
        await asyncio.sleep(GRACE_S)


async def tail_beside_a_foreign_storm(context: CheckContext) -> None:
    """Raises `Broken` if a reader misses an event while another namespace is written.

    Its slow appends are the open transactions of a stranger who does not touch this log.
    """
    name = f"{context.factory.endpoint.namespace}_{context.number}_foreign"
    foreign = context.factory.in_namespace(name)
    async with foreign.set_up() as store:
        stores = [store] if context.guarantees.writers != "many" else [
            store, await context.opened(foreign)]  # fmt: skip
        storm = replace(storm_of(context), seconds=2 * context.profile.seconds)
        writing = meanwhile(storm.write(stores, WRITERS, "a stranger"))
        try:
            await tail_storms(context, writes=[fiercest_way(context)])
        finally:
            written = await writing
        won = sum(each.won for each in written)
        context.count("appends of a stranger to another namespace", won, least=FOREIGN_MIN)


async def tail_during_a_foreign_transaction(context: CheckContext, held_s: float) -> None:
    """Write a storm while a foreign transaction is open for `held_s`, and tail on after its end."""
    write, storm = fiercest_way(context), storm_of(context)
    streams = streams_of(context, storm)
    start = await context.append(context.stream(), context.events())
    async with (
        tailing(context, streams, after=start.position) as tail,
        open_transaction(context, early=True) as tx,
    ):
        writing = meanwhile(write(context, storm))
        if write is by_processes:
            await context.workers.first_rendezvous(writing)
        await asyncio.sleep(held_s)
        seen, ended_s = len(tail.events), time.monotonic()
        await tx.commit(by="the stranger")
        attempts = await writing
        await require_complete(tail, attempts)
    began = sum(each.began_s < ended_s for each in attempts)
    context.count("appends during a foreign transaction", began, least=FOREIGN_MIN)
    context.count("events that were read during it", seen, least=0)
    context.count("reads that ran out of time during it", tail.timeouts, least=0)


async def require_complete(tail: TailingReader, attempts: Sequence[Attempt]) -> None:
    """Raises `Broken` unless each acknowledged event is read once, in its stream's order."""
    wanted = [event.id for each in attempts if each.won for event in each.batch]
    if not await tail.sees(wanted):
        lost = [each for each in attempts if each.won and each.batch[0].id not in tail.ids]
        raise Broken(
            f"{len(set(wanted) - tail.ids)} of {len(wanted)} acknowledged events were never read",
            [*(each.step(attempts) for each in lost[:3]), tail.step()],
        )
    require_history(attempts, tail.events, Kind.DUPLICATED, Kind.INVERTED)

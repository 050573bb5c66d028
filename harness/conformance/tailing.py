"""A reader of the global log that comes back again and again, each time behind what it had."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step, Unsupported
from harness.conformance.following import listed
from harness.errors import StoreError, UnsupportedByStore
from harness.store import EventStore, Position, RecordedEvent

GRACE_S = 0.5
"""How long a check waits for an event that should have come before another that has been read."""
_EVERY_S = 0.005


class Tail:
    """What the reader has read of the streams that it is asked about."""

    def __init__(
        self, store: EventStore, streams: Collection[str], after: Position | None, within_s: float
    ) -> None:
        self.events: list[RecordedEvent] = []
        self._within_s = within_s
        self._store, self._streams, self._after = store, frozenset(streams), after
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            async for event in self._store.read_all(after=self._after):
                self._after = event.position
                if event.stream in self._streams:
                    self.events.append(event)
            await asyncio.sleep(_EVERY_S)

    def start(self) -> asyncio.Task[None]:
        """Begin to read beside the check."""
        self._task = asyncio.create_task(self.run())
        return self._task

    async def sees(self, wanted: Collection[UUID], *, within_s: float | None = None) -> bool:
        """Whether all of these events are read in time, which is the profile's unless given.

        Raises what ended the reader.
        """
        until = time.monotonic() + (self._within_s if within_s is None else within_s)
        left = set(wanted)
        while True:
            left -= {event.id for event in self.events}
            if not left or time.monotonic() > until:
                return not left
            if self._task is not None and self._task.done():
                self._task.result()
            await asyncio.sleep(_EVERY_S)

    async def must_see(self, wanted: Collection[UUID], steps: list[Step]) -> None:
        """Raises `Broken` if one of them is never read, with these steps before it."""
        if await self.sees(wanted):
            return
        missing = [str(each) for each in wanted if each not in {e.id for e in self.events}]
        what = f"{len(missing)} of {len(wanted)} events, the first is {missing[0]}"
        raise Broken("the reader never came upon " + what, [*steps, self.step()])

    def step(self) -> Step:
        """What was read, as a line of evidence."""
        return Step("the tailing reader", "read the log", listed(self.events))


@asynccontextmanager
async def tailing(
    bench: Bench, streams: Collection[str], *, after: Position | None = None
) -> AsyncIterator[Tail]:
    """A reader on a connection of its own. `Unsupported` where there is no log."""
    await require_log(bench)
    store = (await bench.writers(2))[1]
    tail = Tail(store, streams, after, bench.profile.within_s)
    task = tail.start()
    try:
        yield tail
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, StoreError):
            await task


async def require_log(bench: Bench) -> None:
    """Raises `Unsupported` where there is no log to read, whatever is declared of its order."""
    try:
        async for _ in bench.store.read_all(limit=1):
            break
    except UnsupportedByStore as error:
        raise Unsupported(str(error)) from error

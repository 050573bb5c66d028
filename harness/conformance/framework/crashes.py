"""Load that a crash cuts off, and what is read of it afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import NotReached, OutOfReach
from harness.conformance.framework.races import Attempt, abandoned_attempt, attempt
from harness.domain.durability import Durability
from harness.domain.errors import NoServer, StoreError, StreamNotFound
from harness.domain.faults import FaultKind
from harness.domain.server import Server, UnsupportedByServer, UsedByProcesses
from harness.domain.store import Adapter, EventStore, RecordedEvent, StreamState

WRITERS = 8
CONNECTIONS = 2
ENDED_WITHIN_S = 5.0
CLOSED_WITHIN_S = 5.0
TORN_DOWN_WITHIN_S = 10.0
LOAD_LIMIT_S = 1.0
IN_MEMORY = "keeps everything in memory, which a crash empties"
SIZES = (1, 2, 3)
"""Events of an append, in turn: one that is torn shows itself in those of several."""


@dataclass(slots=True)
class Writer:
    """One writer, its stream and its attempts."""

    name: str
    stream: str
    sizes: Sequence[int] = (1,)
    attempts: list[Attempt] = field(default_factory=list)
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)

    async def next_acknowledgement(self, within_s: float) -> None:
        """Wait for an acknowledgement from now on, at most `within_s`."""
        self.acknowledged.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.acknowledged.wait(), within_s)

    async def write(self, context: CheckContext, store: EventStore, killed: asyncio.Event) -> None:
        """Append one batch after another until the server is gone, or should be."""
        began_after_the_kill = False
        while not began_after_the_kill:
            size = self.sizes[len(self.attempts) % len(self.sizes)]
            batch, began_after_the_kill = context.events(size), killed.is_set()
            try:
                made = await attempt(self.name, store, self.stream, batch, StreamState.ANY)
            except asyncio.CancelledError:
                self.attempts.append(abandoned_attempt(self.name, self.stream, batch))
                return
            self.attempts.append(made)
            if not made.won:
                return
            self.acknowledged.set()


@dataclass(frozen=True, slots=True)
class CutOff:
    """What a crash under load leaves to be judged."""

    attempts: Sequence[Attempt]
    at_s: float
    """When it began, by the machine's monotonic clock."""

    @property
    def telling(self) -> bool:
        """Whether something was acknowledged before, and a writer was cut off."""
        return any(made.won for made in self.attempts) and self._cut_off_a_writer

    @property
    def _cut_off_a_writer(self) -> bool:
        return any(made.ended_s > self.at_s and not made.won for made in self.attempts)

    def require_telling(self) -> None:
        """Raises `NotReached` where nothing was acknowledged before, or no writer was cut off.

        Asked when the server is up again: what follows needs it, whatever came of this.
        """
        if not any(made.won for made in self.attempts):
            raise NotReached("nothing was acknowledged before the crash")
        if not self._cut_off_a_writer:
            raise NotReached("no writer was cut off by the crash")


async def cut_off(
    context: CheckContext,
    crash: Callable[[], Awaitable[None]],
    *,
    after_s: float = 0.0,
    acknowledgements: int = 1,
) -> CutOff:
    """Write, and crash `after_s` after a number of acknowledgements of the first writer."""
    writers = [Writer(f"writer {n}", context.stream(), SIZES) for n in range(WRITERS)]
    stores, killed = await _writers_stores(context), asyncio.Event()
    writing = [
        asyncio.create_task(writer.write(context, stores[number % len(stores)], killed))
        for number, writer in enumerate(writers)
    ]
    for _ in range(acknowledgements):
        await writers[0].next_acknowledgement(context.profile.within_s)
    await asyncio.sleep(after_s)
    at_s = time.monotonic()
    await crash()
    killed.set()
    await asyncio.wait(writing, timeout=ENDED_WITHIN_S)
    for task in writing:
        task.cancel()
    await asyncio.gather(*writing, return_exceptions=True)
    await _closed(store for store in stores if store is not context.store)
    attempts = [made for writer in writers for made in writer.attempts]
    return CutOff(attempts, at_s)


async def _writers_stores(context: CheckContext) -> Sequence[Adapter]:
    """Connections that end with the crash; the only one where no other may write."""
    if context.guarantees.writers != "many":
        return [context.store]
    return [await context.factory.open() for _ in range(CONNECTIONS)]


async def _closed(stores: Iterable[Adapter]) -> None:
    """What a dead connection says to its end is of no interest."""
    for store in stores:
        with suppress(Exception):
            async with asyncio.timeout(CLOSED_WITHIN_S):
                await store.aclose()


async def read_or_nothing(store: EventStore, stream: str) -> list[RecordedEvent]:
    """The stream; nothing where there is none."""
    try:
        return [event async for event in store.read_stream(stream)]
    except StreamNotFound:
        return []


def written_streams(attempts: Iterable[Attempt]) -> list[str]:
    """Each stream once, in the order of writing."""
    return list(dict.fromkeys(made.stream for made in attempts))


async def server_again(context: CheckContext, server: Server) -> None:
    """Start it on what it kept, and open the check's store on it again. Raises `NoServer`."""
    await server.restart()
    context.factory = context.factory.at(server.endpoint.address)
    context.store = await context.connect()


@asynccontextmanager
async def on_lab_disk(context: CheckContext, kind: FaultKind) -> AsyncIterator[CheckContext]:
    """The check on a server whose disk can have this fault, in a namespace of its own there.

    That server is another one, so that no other check runs on such a disk, and none after it on
    one that did not start again. Raises `OutOfReach` where there is none.
    """
    server = context.server
    if server is not None and not server.controllable:
        raise OutOfReach(server.why_not(kind))
    if context.lab_disk is None:
        reason = server.why_not(kind) if server else "no disk that the lab could hurt"
        if reason:
            raise OutOfReach(reason)
        yield context
        return
    try:
        endpoint, server = await context.lab_disk()
    except (NoServer, UnsupportedByServer) as error:
        raise OutOfReach(str(error)) from None
    if reason := server.why_not(kind):
        raise OutOfReach(reason)
    place = replace(endpoint, namespace=context.factory.endpoint.namespace)
    moved = replace(context, factory=replace(context.factory, endpoint=place), server=server)
    async with moved.factory.opened() as store:
        await store.setup()
    if context.server is not None:  # of a library, the lab's process may not hold a file open
        moved.store = await moved.connect()
    try:
        yield moved
    finally:
        await _torn_down(moved)


async def _torn_down(context: CheckContext) -> None:
    """As far as the server lets it: it may have ended for good, and goes with its disk."""
    with suppress(StoreError, TimeoutError, OSError):
        async with asyncio.timeout(TORN_DOWN_WITHIN_S), context.factory.opened() as store:
            await store.teardown()


def load_s(context: CheckContext) -> float:
    """How long a load lasts at most before it is cut off."""
    return min(LOAD_LIMIT_S, context.profile.seconds)


def require_kept(context: CheckContext) -> None:
    """Raises `OutOfReach` where no kill could leave anything to judge."""
    if context.guarantees.durability is Durability.MEMORY:
        raise OutOfReach(IN_MEMORY)


async def server_or_library_again(context: CheckContext, server: Server) -> None:
    """As `server_again`; a library starts with whoever opens it."""
    if not isinstance(server, UsedByProcesses):
        await server_again(context, server)


def started(context: CheckContext) -> Server:
    assert context.server is not None, "there is a server wherever there is a disk"
    return context.server

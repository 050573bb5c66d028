"""Clients that append over a network that fails, and the answers that they get."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import Broken, Step
from harness.conformance.framework.history_oracle import require_history
from harness.conformance.framework.races import Attempt, attempt
from harness.conformance.framework.retries import EXACT
from harness.conformance.framework.server_faults import Network
from harness.domain.store import Adapter, AppendResult, ExpectedVersion, RecordedEvent, StreamState
from harness.verification import Kind

CLIENTS = 8
CONNECTIONS = 2
DEADLINE_S = 0.8
REST_S = 0.05
"""After an append that was not acknowledged."""
BATCH_MAX = 3
LOAD_MIN_S, LOAD_MAX_S = 0.1, 0.4
"""The fault comes at a seeded moment between them, once every client is served."""
FAULT_S = 1.2
"""Longer than the clients' deadline, so that appends end while the network fails."""
SETTLED_S = 0.3
"""Once the network is back, for what waited in it."""
WRONG_ANSWERS = (Kind.LOST, Kind.DUPLICATED, Kind.FOREIGN, Kind.WRITTEN_THOUGH_REFUSED, Kind.TORN)
NO_STREAM, ANY, EXISTS = StreamState.NO_STREAM, StreamState.ANY, StreamState.EXISTS
T = TypeVar("T")


@dataclass(slots=True)
class Client:
    """One writer over a failing network, the streams that it alone writes, and its attempts."""

    name: str
    context: CheckContext
    store: Adapter
    attempts: list[Attempt] = field(default_factory=list)
    served: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by each acknowledgement."""
    _stream: str = ""
    _head: int | None = None

    async def append(self, kind: ExpectedVersion) -> Attempt:
        """One append, under this expectation where its stream has events already.

        After an unknown outcome nobody knows the stream's version, so it begins another one.
        """
        if not self._stream or kind is NO_STREAM:
            self._stream, self._head = self.context.stream(), None
        if self._head is None and kind is not NO_STREAM:
            kind = ANY
        expected = self._head if kind == EXACT and self._head is not None else kind
        batch = self.context.events(self.context.rng.randint(1, BATCH_MAX))
        made = await attempt(self.name, self.store, self._stream, batch, expected)
        self.attempts.append(made)
        if isinstance(made.answer, AppendResult):
            self._head = made.answer.version
            self.served.set()
        elif made.unknown:
            self._stream = ""
        return made

    def taken(self) -> Sequence[Attempt]:
        """Its attempts, which it forgets together with its stream."""
        attempts, self.attempts, self._stream = self.attempts, [], ""
        return attempts

    async def keep_on(self, kinds: Sequence[ExpectedVersion], over: asyncio.Event) -> None:
        """Append under drawn expectations until it is over."""
        while not over.is_set():
            made = await self.append(self.context.rng.choice(kinds))
            if not made.won:
                await asyncio.sleep(REST_S)

    async def append_until_lost(self, kind: ExpectedVersion, lost: asyncio.Event) -> Attempt:
        """Append until one is not acknowledged though answers are lost by now; that one."""
        while True:
            made = await self.append(kind)
            if not made.won and lost.is_set():
                return made

    async def again(self, first: Attempt) -> Attempt:
        """Send it again until the store decides. Raises `Broken` if it does not in time."""
        within_s = self.context.profile.again_within_s
        until_s = time.monotonic() + within_s
        while True:
            made = await attempt(
                f"{self.name}, again", self.store, first.stream, first.batch, first.expected
            )
            if made.answered:
                return made
            if time.monotonic() > until_s:
                why = f"answers arrive again, and for {within_s:g} s a client gets none"
                raise Broken(why, [each.step([first, made]) for each in (first, made)])
            await asyncio.sleep(REST_S)


async def clients_over(context: CheckContext, network: Network) -> Sequence[Client]:
    """Clients that reach the server over the network, with few connections."""
    count = CONNECTIONS if context.guarantees.writers == "many" else 1
    address = network.endpoint.address
    stores = [await context.connect(address=address, deadline_s=DEADLINE_S) for _ in range(count)]
    return [
        Client(f"client {number}", context, stores[number % count]) for number in range(CLIENTS)
    ]


async def not_served(clients: Sequence[Client]) -> Sequence[Client]:
    """Wait until each gets an acknowledgement from now on; those that get none in time."""
    for each in clients:
        each.served.clear()
    waiting = {asyncio.create_task(each.served.wait()): each for each in clients}
    _, late = await asyncio.wait(waiting, timeout=clients[0].context.profile.again_within_s)
    for task in late:
        task.cancel()
    return [waiting[task] for task in late]


async def results_of(clients: Sequence[Client], working: Sequence[asyncio.Task[T]]) -> list[T]:
    """What the clients' last appends lead to. Raises `Broken` if one has no end."""
    within_s = clients[0].context.profile.again_within_s
    _, endless = await asyncio.wait(working, timeout=within_s)
    for task in endless:
        task.cancel()
    if endless:
        names = [each.name for each, task in zip(clients, working, strict=True) if task in endless]
        waits = f"neither an answer nor an error for {within_s:g} s"
        raise Broken("an append has no end", [Step(", ".join(names), "append", waits)])
    return list(await asyncio.gather(*working))


@asynccontextmanager
async def under_load(
    clients: Sequence[Client], kinds: Sequence[ExpectedVersion]
) -> AsyncIterator[None]:
    """All of them append inside the block, and nothing of theirs is under way after it."""
    over = asyncio.Event()
    working = started(each.keep_on(kinds, over) for each in clients)
    try:
        yield
        over.set()
        await results_of(clients, working)
    finally:
        for task in working:
            task.cancel()


def started(works: Iterable[Coroutine[Any, Any, T]]) -> list[asyncio.Task[T]]:
    """Begin all of them."""
    return [asyncio.create_task(each) for each in works]


async def past_the_network(
    context: CheckContext, attempts: Sequence[Attempt]
) -> Sequence[RecordedEvent]:
    """Every stream that was written, read over a sound connection."""
    streams = dict.fromkeys(each.stream for each in attempts)
    return [event for stream in streams for event in await context.read_or_empty(stream)]


async def appended_over_a_cut(
    context: CheckContext, network: Network, clients: Sequence[Client], *, breaks: bool
) -> Sequence[Attempt]:
    """The appends that met a cut of the network.

    Raises `Broken` if a client is not served afterwards, or an answer that it got is not true.
    """
    kinds = (ANY,) if context.guarantees.occ == "none" else (ANY, EXACT, NO_STREAM)
    async with under_load(clients, kinds):
        await not_served(clients)
        await asyncio.sleep(context.rng.uniform(LOAD_MIN_S, LOAD_MAX_S))
        await network.cut()
        began_s = time.monotonic()
        await asyncio.sleep(FAULT_S)
        if breaks:
            await network.reset()
        await network.restore()
        ended_s = time.monotonic()
        late = await not_served(clients)
    await asyncio.sleep(SETTLED_S)
    if late:
        within_s = context.profile.again_within_s
        why = f"the network is back, and for {within_s:g} s a client is not served"
        raise Broken(why, [made.step([made]) for made in late[0].attempts[-1:]])
    attempts = [made for each in clients for made in each.taken()]
    require_history(attempts, await past_the_network(context, attempts), *WRONG_ANSWERS)
    return [made for made in attempts if made.began_s < ended_s and made.ended_s > began_s]


async def lost_answers(
    context: CheckContext, network: Network, clients: Sequence[Client], kind: ExpectedVersion
) -> Sequence[Attempt]:
    """Each client's append to which no answer arrived. Raises `Unsupported` like the store."""
    for _ in range(2):  # the second has a stream to expect something of
        await clients[0].append(kind)
    lost = asyncio.Event()
    working = started(each.append_until_lost(kind, lost) for each in clients)
    try:
        await not_served(clients)
        await asyncio.sleep(context.rng.uniform(LOAD_MIN_S, LOAD_MAX_S))
        await network.lose_answers()
        lost.set()
        await asyncio.sleep(FAULT_S)
        await network.restore()
        return await results_of(clients, working)
    finally:
        for task in working:
            task.cancel()


async def repaired(
    context: CheckContext, clients: Sequence[Client], lost: Sequence[Attempt]
) -> int:
    """How many of these were written and not answered, once all were sent again.

    Raises `Broken` unless each retry is acknowledged and each event is there once.
    """
    await asyncio.sleep(SETTLED_S)
    attempts = [made for each in clients for made in each.taken()]
    before = await past_the_network(context, lost)
    require_history(
        [each for each in attempts if each.stream in {made.stream for made in lost}],
        before, Kind.WRITTEN_THOUGH_REFUSED, Kind.TORN, Kind.FOREIGN,
    )  # fmt: skip
    retries = (each.again(made) for each, made in zip(clients, lost, strict=True))
    again = await asyncio.gather(*retries)
    for first, retry in zip(lost, again, strict=True):
        if not retry.won:
            raise Broken("the retry was refused", [each.step([first]) for each in (first, retry)])
    mended = [
        replace(first, racer=f"{first.racer}, at last", answer=retry.answer, ended_s=retry.ended_s)
        for first, retry in zip(lost, again, strict=True)
    ]
    others = [each for each in attempts if each not in lost]
    read = await past_the_network(context, attempts)
    require_history([*others, *mended], read, Kind.LOST, Kind.DUPLICATED, Kind.FOREIGN, Kind.TORN)
    there = {event.id for event in before}
    return sum(made.unknown and made.batch[0].id in there for made in lost)

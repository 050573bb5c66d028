"""Storms: many writers over many streams, connections and processes, so that commits cross.

A position that is handed out before its append commits is passed over by a reader only while a
later position is visible already. That takes appends of *different* streams, since a stream's own
key makes its writers take turns, and slow appends beside fast ones. A storm is just that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, pairwise
from random import Random
from typing import Any
from uuid import UUID

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import Unsupported
from harness.conformance.framework.check_workers import Rendezvous
from harness.conformance.framework.races import Attempt, attempt
from harness.domain.errors import NotWritten
from harness.domain.store import (
    Adapter,
    EventStore,
    ExpectedVersion,
    NewEvent,
    RecordedEvent,
    StreamState,
)

WRITERS = 8
"""Concurrent writers of the lab's own process, over `STORM_CONNECTIONS` connections."""
STORM_CONNECTIONS = 4
PROCESS_WRITERS = 4
"""Concurrent writers of each worker process, over its one connection."""
SHARED_STREAMS = 2
"""Streams that all writers append to; each has one of its own as well."""
SHARED = 0.3
"""How often a writer appends to a shared stream."""
SLOW_BATCH, SLOW_BYTES = 40, 600
SLOW = 0.15
"""How often an append is slow: `SLOW_BATCH` events of `SLOW_BYTES` bytes."""
STALE = 0.15
"""How often, where asked for, an append is one that the store has to refuse."""
APPENDS_MAX = 80
"""By each writer of one storm."""
CROSSED_MIN = 30
"""Appends that begin while another stream's is under way; fewer prove nothing."""
ANY = StreamState.ANY


@dataclass(frozen=True, slots=True)
class Storm:
    """The part of a storm that one process writes; it can be sent to another."""

    prefix: str
    """Of the streams' names."""
    seconds: float
    batch: int
    """Events of a slow append."""
    refused: bool = False
    """Whether some appends are such as the store has to refuse."""
    metadata: bytes = b""
    appends_max: int = APPENDS_MAX
    """By each writer."""
    until_a_failure: bool = False
    """Whether a writer ends when the store decided nothing, as after a crash."""

    @property
    def shared(self) -> Sequence[str]:
        """The streams that all writers have in common."""
        return [f"{self.prefix}-shared-{number}" for number in range(SHARED_STREAMS)]

    def streams(self, writers: Mapping[str, int]) -> frozenset[str]:
        """All of its streams; `writers` has the number of writers by process."""
        own = (
            f"{self.prefix}-{process}-{number}"
            for process, count in writers.items()
            for number in range(count)
        )
        return frozenset(chain(self.shared, own))

    async def write(
        self, stores: Sequence[EventStore], writers: int, process: str
    ) -> list[Attempt]:
        """Every append of this process, in the order of their ends by writer."""
        until_s = time.monotonic() + self.seconds
        by_writer = await asyncio.gather(
            *(
                self._write(stores[number % len(stores)], process, number, until_s)
                for number in range(writers)
            )
        )
        return list(chain.from_iterable(by_writer))

    async def _write(
        self, store: EventStore, process: str, number: int, until_s: float
    ) -> list[Attempt]:
        rng = Random(f"{self.prefix}/{process}/{number}")
        own, attempts = f"{self.prefix}-{process}-{number}", list[Attempt]()
        name = f"writer {number} of {process}"
        while len(attempts) < self.appends_max and time.monotonic() < until_s:
            stream = rng.choice(self.shared) if rng.random() < SHARED else own
            batch = self._batch(rng)
            if self.refused and attempts and rng.random() < STALE:
                attempts += await self._refused(name, store, attempts, batch)
                continue
            attempts.append(await attempt(name, store, stream, batch, ANY))
            if self.until_a_failure and not attempts[-1].answered:
                break
        return attempts

    async def _refused(
        self,
        name: str,
        store: EventStore,
        attempts: Sequence[Attempt],
        batch: Sequence[NewEvent],
    ) -> list[Attempt]:
        """An append that expects a stream to be missing that is there; none where unsupported."""
        there = next((each.stream for each in attempts if each.won), None)
        if there is None:
            return []
        expected: ExpectedVersion = StreamState.NO_STREAM
        with suppress(Unsupported):
            return [await attempt(name, store, there, batch, expected)]
        return []

    def _batch(self, rng: Random) -> list[NewEvent]:
        slow = rng.random() < SLOW
        data = b'"' + b"x" * SLOW_BYTES + b'"' if slow else b'{"n": 1}'
        return [
            NewEvent(UUID(int=rng.getrandbits(128), version=4), "OrderPlaced", data, self.metadata)
            for _ in range(self.batch if slow else 1 + rng.randrange(2))
        ]


def storm_of(context: CheckContext, *, refused: bool = False) -> Storm:
    """A storm on streams of this check's own, as long as the profile's races."""
    guarantees = context.guarantees
    return Storm(
        context.stream(),
        context.profile.seconds,
        min(SLOW_BATCH, guarantees.batch_limit or SLOW_BATCH),
        refused=refused and guarantees.occ != "none",
        metadata=b'{"by": "eslab"}' if guarantees.keeps_metadata else b"",
    )


async def by_connections(context: CheckContext, storm: Storm) -> list[Attempt]:
    """Write the storm in this process, over several connections."""
    stores = await context.writers(STORM_CONNECTIONS)
    return await storm.write(stores, WRITERS, "this process")


async def by_processes(context: CheckContext, storm: Storm) -> list[Attempt]:
    """Write the storm from several processes at once. Raises `OutOfReach` where one may write."""
    by_process = await context.in_processes(write_in_process, storm)
    return list(chain.from_iterable(by_process))


async def write_in_process(
    store: Adapter, rendezvous: Rendezvous, number: int, storm: Storm
) -> list[Attempt]:
    """One process's part."""
    await rendezvous()
    return await storm.write([store], PROCESS_WRITERS, f"process {number}")


def streams_of(context: CheckContext, storm: Storm) -> frozenset[str]:
    """Every stream that the storm may write, from this process and the others."""
    processes = {f"process {number}": PROCESS_WRITERS for number in range(context.workers.size)}
    return storm.streams({"this process": WRITERS, **processes})


Write = Callable[[CheckContext, Storm], Coroutine[Any, Any, list[Attempt]]]


def ways_to_write(context: CheckContext) -> Iterator[Write]:
    """Over connections, and from processes where several may write."""
    yield by_connections
    if context.multi_process:
        yield by_processes


def fiercest_way(context: CheckContext) -> Write:
    """From processes where several may write, else over connections."""
    return by_processes if context.multi_process else by_connections


def count_crossings(
    context: CheckContext, attempts: Sequence[Attempt], log: Sequence[RecordedEvent]
) -> None:
    """Count what the storm provoked; `log` has its events in the order of the log."""
    what = "appends that began during one of another stream"
    context.count(what, crossed(attempts), least=CROSSED_MIN)
    context.count("commits out of the log's order", out_of_order(attempts, log), least=0)


def crossed(attempts: Sequence[Attempt]) -> int:
    """Appends that begin while that of another stream, begun just before, is under way."""
    by_start = sorted(attempts, key=lambda each: each.began_s)
    return sum(
        later.stream != earlier.stream and later.began_s < earlier.ended_s
        for earlier, later in pairwise(by_start)
    )


def out_of_order(attempts: Sequence[Attempt], log: Sequence[RecordedEvent]) -> int:
    """Appends that were acknowledged after one that stands later in the log."""
    ended_s = {event.id: each.ended_s for each in attempts if each.won for event in each.batch[-1:]}
    in_log = [ended_s[event.id] for event in log if event.id in ended_s]
    count, first_later_s = 0, float("inf")
    for at_s in reversed(in_log):
        count += at_s > first_later_s
        first_later_s = min(first_later_s, at_s)
    return count


def refusals(attempts: Sequence[Attempt]) -> int:
    """Appends that the store refused."""
    return sum(isinstance(each.answer, NotWritten) for each in attempts)

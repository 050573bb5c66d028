"""Readers of the log beside many writers, and what the log must look like afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import chain

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, NotReached
from harness.conformance.holding import held, while_open
from harness.conformance.judged import judge
from harness.conformance.racing import (
    A_STREAM,
    CONNECTIONS,
    Attempt,
    append_alone,
    enough,
    enough_between,
    race,
    sort_out,
)
from harness.conformance.tailing import Tail, tailing
from harness.history import Kind
from harness.store import StreamState

ANY = StreamState.ANY
PROCESSES_S = 5.0
"""How long an open transaction outlasts the beginning of the processes' appends, at most."""


async def in_order(bench: Bench, *, last: bool) -> bool:
    """Whether races are all in the log, in order. Raises `Broken` where they are inverted.

    Where events are gone, so are their places: that they are is told at the `last` try alone.
    """
    stores, streams = await bench.writers(CONNECTIONS), [bench.stream() for _ in range(A_STREAM)]
    start, attempts = await bench.head(), list[Attempt]()
    for number in bench.rounds():
        attempts += await race(bench, stores, streams[number % A_STREAM], ANY, size=1 + number % 2)
    by_process: list[list[Attempt]] = []
    if bench.many_processes:
        streams.append(bench.stream())
        by_process = await bench.in_processes(append_alone, streams[-1])
    log = await bench.log(streams, after=start)
    everything = [*attempts, *chain.from_iterable(by_process)]
    judge(everything, log, Kind.INVERTED)
    judge(everything, log, Kind.MISPLACED)
    try:
        judge(everything, log, Kind.LOST)
    except Broken:
        if last:
            raise
        return False
    enough(sort_out(attempts))
    if bench.many_processes:
        enough_between(by_process)
    return True


async def read_while_many_write(bench: Bench) -> list[Attempt]:
    """Races over several connections while a reader tails. Raises `Broken` if it misses one."""
    stores, start = (
        await bench.writers(CONNECTIONS),
        await bench.append(bench.stream(), bench.events()),
    )
    streams = [bench.stream() for _ in range(A_STREAM)]
    attempts: list[Attempt] = []
    async with tailing(bench, streams, after=start.position) as tail:
        for number in bench.rounds():
            stream = streams[number % A_STREAM]
            attempts += await race(bench, stores, stream, ANY, size=1 + number % 3)
        await complete(tail, attempts)
    return attempts


async def read_while_processes_write(bench: Bench) -> None:
    """The same from several processes, to one stream."""
    start = await bench.append(bench.stream(), bench.events())
    stream = bench.stream()
    async with tailing(bench, [stream], after=start.position) as tail:
        by_process = await bench.in_processes(append_alone, stream)
        await complete(tail, [each for attempts in by_process for each in attempts])
    enough_between(by_process)


async def processes_beside_a_stranger(bench: Bench) -> None:
    """The same while somebody else's transaction is open, and after it has ended."""
    start, stream = await bench.append(bench.stream(), bench.events()), bench.stream()
    async with (
        tailing(bench, [stream], after=start.position) as tail,
        held(bench, early=True) as tx,
    ):
        beside = while_open(bench.in_processes(append_alone, stream))
        await bench.crew.met(beside)
        await asyncio.wait([beside], timeout=PROCESSES_S)
        ended_s = time.monotonic()
        await tx.commit(by="the stranger")
        by_process = await beside
        await complete(tail, list(chain.from_iterable(by_process)))
    began_before(ended_s, by_process)
    enough_between(by_process)


def began_before(ended_s: float, by_process: Sequence[Sequence[Attempt]]) -> None:
    """Raises `NotReached` unless each process had begun to append by then."""
    late = sum(attempts[0].began_s >= ended_s for attempts in by_process)
    if late:
        raise NotReached(f"{late} processes had not begun before the stranger's commit")


async def complete(tail: Tail, attempts: Sequence[Attempt]) -> None:
    """Everything that was acknowledged is read, once, and each stream in its order."""
    wanted = [event.id for each in attempts if each.won for event in each.batch]
    if not await tail.sees(wanted):
        read = {event.id for event in tail.events}
        lost = [each for each in attempts if each.won and each.batch[0].id not in read]
        raise Broken(
            f"{len(set(wanted) - read)} of {len(wanted)} acknowledged events were never read",
            [*(each.step(attempts) for each in lost[:3]), tail.step()],
        )
    judge(attempts, tail.events, Kind.DUPLICATED, Kind.INVERTED)

"""A store without a server, written by a process of its own that is killed."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Sequence
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.races import (
    Attempt,
    abandoned_attempt,
    attempt,
    process_events,
)
from harness.domain.factory import StoreFactory
from harness.domain.interruption import left_to_the_lab
from harness.domain.orphans import end_with_parent, outlive_a_terminal
from harness.domain.store import NewEvent, StreamState

STARTED_WITHIN_S = 30.0
LOAD_S = 0.5
WRITERS = 4
ANY = StreamState.ANY


async def write_until_killed(context: CheckContext) -> list[Attempt]:
    """Every append of a process that was killed while it wrote; the last ones have no answer."""
    streams = [context.stream() for _ in range(WRITERS)]
    spawn = multiprocessing.get_context("spawn")
    outlive_a_terminal()
    ours, theirs = spawn.Pipe(duplex=False)
    started = spawn.Event()
    arguments = (context.factory, streams, theirs, started)
    process = spawn.Process(target=_write, args=arguments, daemon=True)
    await asyncio.to_thread(process.start)
    theirs.close()
    reporting = asyncio.create_task(asyncio.to_thread(_reported, ours))
    try:
        await asyncio.to_thread(started.wait, STARTED_WITHIN_S)
        await asyncio.sleep(LOAD_S)
    finally:
        process.kill()
        await asyncio.to_thread(process.join)
    return await reporting


def _reported(pipe: Connection) -> list[Attempt]:
    """What it reports until it dies: each append when it begins, and its answer."""
    begun, answered = dict[tuple[str, int], Attempt](), dict[tuple[str, int], Attempt]()
    while True:
        try:
            stream, number, made = pipe.recv()
        except (EOFError, OSError):
            break
        place = begun if made is None else answered
        batch = _batch(stream, number)
        place[stream, number] = made or abandoned_attempt("a killed writer", stream, batch)
    return [*answered.values(), *(begun[key] for key in begun.keys() - answered.keys())]


def _batch(stream: str, number: int) -> list[NewEvent]:
    return process_events(f"{stream}/{number}", 1 + number % 3)


def _write(factory: StoreFactory, streams: Sequence[str], pipe: Connection, started: Event) -> None:
    left_to_the_lab()
    end_with_parent()
    asyncio.run(_write_all(factory, streams, pipe, started))


async def _write_all(
    factory: StoreFactory, streams: Sequence[str], pipe: Connection, started: Event
) -> None:
    async with factory.opened() as store:
        started.set()

        async def write(stream: str) -> None:
            for number in count():
                pipe.send((stream, number, None))
                batch = _batch(stream, number)
                made = await attempt("a killed writer", store, stream, batch, ANY)
                pipe.send((stream, number, made))
                if not made.won:
                    return

        await asyncio.gather(*map(write, streams))

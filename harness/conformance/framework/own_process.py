"""A store without a server, written by a process of its own that is killed.

It tells how far it is through a pipe or a flag in shared memory: what has a lock, as an event of
`multiprocessing` does, is locked for ever by a process that dies while it sets it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from ctypes import c_bool
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing.connection import Connection

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


@dataclass(frozen=True, slots=True)
class OfAProcess:
    """What a process of its own wrote until it ended."""

    attempts: list[Attempt]
    """The last ones have no answer, if it was killed."""
    at_s: float
    """When its end began, by the machine's monotonic clock."""
    exit_code: int
    """Negative: the signal that ended it."""


async def write_until_killed(context: CheckContext) -> list[Attempt]:
    """Every append of a process that was killed while it wrote."""
    return (await write_until(context, nothing_else)).attempts


async def nothing_else(_: int) -> None:
    """The process is killed after this in any case."""


async def write_until(
    context: CheckContext,
    end: Callable[[int], Awaitable[None]],
    *,
    after_s: float = LOAD_S,
    data_bytes: int = 0,
) -> OfAProcess:
    """Let a process write for so long; then await `end(pid)`, and kill it if it still runs."""
    streams = [context.stream() for _ in range(WRITERS)]
    spawn = multiprocessing.get_context("spawn")
    outlive_a_terminal()
    ours, theirs = spawn.Pipe(duplex=False)
    started = threading.Event()
    arguments = (context.factory, streams, theirs, data_bytes)
    process = spawn.Process(target=_write, args=arguments, daemon=True)
    await asyncio.to_thread(process.start)
    theirs.close()
    reporting = asyncio.create_task(asyncio.to_thread(_reported, ours, started, data_bytes))
    at_s = time.monotonic()
    try:
        await asyncio.to_thread(started.wait, STARTED_WITHIN_S)
        await asyncio.sleep(after_s)
        at_s = time.monotonic()
        assert process.pid is not None
        await end(process.pid)
    finally:
        process.kill()
        await asyncio.to_thread(process.join)
    return OfAProcess(await reporting, at_s, process.exitcode or 0)


async def kill_while_it_opens(context: CheckContext, after_s: float) -> bool:
    """Let a process die so long after it began to open the store; whether it was still at it.

    Its own alarm ends it, as abruptly as a kill: a signal from here would come too late.
    """
    spawn = multiprocessing.get_context("spawn")
    outlive_a_terminal()
    opening, opened = spawn.RawValue(c_bool), spawn.RawValue(c_bool)
    arguments = (context.factory, opening, opened, after_s)
    process = spawn.Process(target=_open, args=arguments, daemon=True)
    await asyncio.to_thread(process.start)
    try:
        await asyncio.to_thread(process.join, STARTED_WITHIN_S)
    finally:
        process.kill()
        await asyncio.to_thread(process.join)
    return opening.value and not opened.value


def _open(factory: StoreFactory, opening: c_bool, opened: c_bool, after_s: float) -> None:
    left_to_the_lab()
    end_with_parent()
    asyncio.run(_open_and_wait(factory, opening, opened, after_s))


async def _open_and_wait(
    factory: StoreFactory, opening: c_bool, opened: c_bool, after_s: float
) -> None:
    opening.value = True
    signal.setitimer(signal.ITIMER_REAL, after_s)
    async with factory.opened():
        opened.value = True
        await asyncio.Event().wait()


def _reported(pipe: Connection, started: threading.Event, data_bytes: int) -> list[Attempt]:
    """What it reports until it dies: each append when it begins, and its answer.

    Sets `started` at its first word, or where it dies without one.
    """
    begun, answered = dict[tuple[str, int], Attempt](), dict[tuple[str, int], Attempt]()
    while True:
        try:
            stream, number, made = pipe.recv()
        except (EOFError, OSError):
            break
        finally:
            started.set()
        place = begun if made is None else answered
        batch = _batch(stream, number, data_bytes)
        place[stream, number] = made or abandoned_attempt("a killed writer", stream, batch)
    return [*answered.values(), *(begun[key] for key in begun.keys() - answered.keys())]


def _batch(stream: str, number: int, data_bytes: int) -> list[NewEvent]:
    batch = process_events(f"{stream}/{number}", 1 + number % 3)
    if not data_bytes:
        return batch
    return [replace(event, data=b'"%s"' % (b"x" * data_bytes)) for event in batch]


def _write(
    factory: StoreFactory,
    streams: Sequence[str],
    pipe: Connection,
    data_bytes: int,
) -> None:
    left_to_the_lab()
    end_with_parent()
    asyncio.run(_write_all(factory, streams, pipe, data_bytes))


async def _write_all(
    factory: StoreFactory,
    streams: Sequence[str],
    pipe: Connection,
    data_bytes: int,
) -> None:
    async with factory.opened() as store:

        async def write(stream: str) -> None:
            for number in count():
                pipe.send((stream, number, None))
                batch = _batch(stream, number, data_bytes)
                made = await attempt("a killed writer", store, stream, batch, ANY)
                pipe.send((stream, number, made))
                if not made.won:
                    return

        await asyncio.gather(*map(write, streams))

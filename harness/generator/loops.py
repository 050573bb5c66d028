"""Offering load: a closed loop of clients, or an open loop that keeps intended start times."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.generator.client import Client, Clock, Offered
from harness.generator.pacing import NS_A_SECOND, Pacer
from harness.outcome import Outcome

REFUSED_PAUSE_S = 0.01
"""A closed-loop client that is refused waits this long, so that a dead server is not hammered."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a loop did: its bounds on the trial's clock, and how many operations it scheduled."""

    started_ns: int
    ended_ns: int
    scheduled: int


class ClosedSource:
    """An operation whenever a client is free, until time or operations run out."""

    queues = False

    def __init__(self, ops: Iterator[int], clock: Clock, end_ns: int) -> None:
        self.scheduled = 0
        self._ops = ops
        self._clock = clock
        self._end_ns = end_ns
        self._exhausted = False

    async def more(self) -> bool:
        """Whether there is time and are operations left."""
        return not self._exhausted and self._clock() < self._end_ns

    def take(self) -> Iterator[Offered]:
        """The next operation, intended for just now."""
        ops, clock, end_ns = self._ops, self._clock, self._end_ns
        while (now_ns := clock()) < end_ns:
            op = next(ops, None)
            if op is None:
                self._exhausted = True
                return
            self.scheduled += 1
            yield op, now_ns, now_ns

    async def refused(self) -> None:
        """Don't hammer a server that says no."""
        await asyncio.sleep(REFUSED_PAUSE_S)


async def closed_loop(
    clients: Sequence[Client],
    ops: Iterator[int],
    clock: Clock,
    *,
    duration_s: float | None,
    operations: int | None,
) -> Window:
    """Each client performs one operation after another until time or operations run out."""
    started_ns = clock()
    end_ns = _NEVER_NS if duration_s is None else started_ns + round(duration_s * NS_A_SECOND)
    source = ClosedSource(itertools.islice(ops, operations), clock, end_ns)
    try:
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.serve(source))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return Window(started_ns, clock(), source.scheduled)


_NEVER_NS = 1 << 62


class OpenSource:
    """A queue of dispatched operations; a client that finds it empty waits for the next."""

    queues = True

    def __init__(self, unfinished: int, clock: Clock, deadline_s: float | None) -> None:
        self.queue: deque[Offered] = deque()
        self.overdue: list[Offered] = []
        self.all_done = asyncio.Event()
        self._unfinished = unfinished
        self._clock = clock
        self._deadline_ns = None if deadline_s is None else round(deadline_s * NS_A_SECOND)
        self._idle: list[asyncio.Future[None]] = []
        if not unfinished:
            self.all_done.set()

    def offer(self, offered: Offered) -> None:
        """Queue an operation and wake a client that waits for one."""
        self.queue.append(offered)
        while self._idle:
            idle = self._idle.pop()
            if not idle.done():
                idle.set_result(None)
                return

    async def more(self) -> bool:
        """Wait until an operation is queued; clients are cancelled when the load is over."""
        while not self.queue:
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle
        return True

    def take(self) -> Iterator[Offered]:
        """Queued operations in their order; those over the deadline are set aside."""
        while self.queue:
            offered = self.queue.popleft()
            if self._is_overdue(offered):
                self.overdue.append(offered)
            else:
                yield offered
            self._unfinished -= 1
            if not self._unfinished:
                self.all_done.set()

    async def refused(self) -> None:
        """The next one comes at its own time."""

    def _is_overdue(self, offered: Offered) -> bool:
        _, intended_ns, _ = offered
        return self._deadline_ns is not None and self._clock() - intended_ns > self._deadline_ns


async def open_loop(
    clients: Sequence[Client],
    intended: NDArray[np.int64],
    ops: Iterator[int],
    *,
    pacer: Pacer,
    clock: Clock,
    deadline_s: float | None,
    drain_s: float,
    start_ns: int | None = None,
) -> Window:
    """Dispatch each operation at its intended time, then wait at most `drain_s` for the last.

    Intended times count from `start_ns` on the clock; from now if it is not given.
    """
    started_ns = clock() if start_ns is None else start_ns
    source = OpenSource(len(intended), clock, deadline_s)
    tasks = [asyncio.create_task(client.serve(source)) for client in clients]
    dispatching = asyncio.create_task(_dispatch(source, intended + started_ns, ops, pacer, clock))
    finishing = asyncio.create_task(source.all_done.wait())
    try:
        await _first_of(dispatching, *tasks)
        if dispatching.done():
            await _first_of(finishing, *tasks, within_s=drain_s)
    finally:
        await _stop([dispatching, finishing, *tasks])
        for offered in source.overdue:
            clients[0].skip(offered, Outcome.DROPPED)
        for offered in source.queue:
            clients[0].skip(offered, Outcome.UNFINISHED)
    return Window(started_ns, clock(), len(intended))


async def _dispatch(
    source: OpenSource,
    due: NDArray[np.int64],
    ops: Iterator[int],
    pacer: Pacer,
    clock: Clock,
) -> None:
    for due_ns in due.tolist():
        await pacer.until(due_ns)
        source.offer((next(ops), due_ns, clock()))


async def _first_of(*tasks: asyncio.Task[object], within_s: float | None = None) -> None:
    await asyncio.wait(tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)


async def _stop(tasks: Sequence[asyncio.Task[object]]) -> None:
    """Cancel what still runs, and let a bug out."""
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, BaseException) and not isinstance(ended, asyncio.CancelledError):
            raise ended

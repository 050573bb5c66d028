"""Clients that perform operations, and the closed and the open loop that drive them."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.domain import expected_version
from harness.domain.cancellation import raise_if_cancelled, together
from harness.domain.errors import StoreError, UnsupportedByStore
from harness.domain.expected_version import code_of
from harness.domain.outcome import Outcome, outcome_of
from harness.domain.store import EventStore, ExpectedVersion, NewEvent, StreamState
from harness.domain.workload import Workload
from harness.load.column_buffer import SampleBuffer
from harness.load.events import Chooser, EventFactory
from harness.load.pacing import NS_A_SECOND, Pacer
from harness.load.recording_store import NOTHING, AppendRecorder, RecordingStore

Clock = Callable[[], int]
Offered = tuple[int, int, int]
"""Number of the operation, its intended start and its dispatch, in ns on the trial's clock."""

_ANY = StreamState.ANY
_ANY_CODE = expected_version.ANY
_NOTHING = NOTHING
_OK = Outcome.OK
_REFUSED = Outcome.REFUSED
_CONFLICT = Outcome.CONFLICT


@dataclass(frozen=True, slots=True)
class ClientContext:
    """The shared state of the clients of one worker process."""

    store: EventStore
    workload: Workload
    factory: EventFactory
    choose: Chooser
    appends: AppendRecorder
    clock: Clock
    seed: str


class OperationCycle:
    """The `Cycle` of one client."""

    def __init__(self, context: ClientContext, recorder: RecordingStore) -> None:
        self.choose_stream = context.choose
        self.new_events = context.factory.new_events
        self.events_read = 0
        self.sent_ns = 0
        self._recorder = recorder
        self._clock = context.clock

    def count_events(self, count: int) -> None:
        """Add to the events that this operation read."""
        self.events_read += count

    def saw(self, stream: str, version: int) -> None:
        """Record it with the time at which that read began."""
        self._recorder.saw(stream, version)

    async def think(self, seconds: float) -> None:
        """Sleep, if there is anything to think about."""
        if seconds > 0:
            await asyncio.sleep(seconds)

    def within(self, seconds: float) -> bool:
        """Whether the operation was sent less than that ago."""
        return self._clock() - self.sent_ns < seconds * NS_A_SECOND

    def found(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion, version: int
    ) -> None:
        """Count its events as written by this operation."""
        self.events_read += len(events)
        self._recorder.found(stream, events, expected=expected, version=version)


class Source(Protocol):
    """Source of a client's operations: at once in a closed loop, at set times in an open one."""

    queues: bool
    """Whether an operation may wait for a client; if not, it is sent when it is dispatched."""

    async def more(self) -> bool:
        """Wait until there is an operation to take; `False` when the load is over."""
        ...

    def take(self) -> Iterator[Offered]:
        """Operations that may be sent now, one by one, as long as there are any."""
        ...

    async def refused(self) -> None:
        """What to do after a refusal, before the next operation."""
        ...


class Client:
    """Runs the workload's operations for one worker slot and records each of them."""

    def __init__(self, number: int, context: ClientContext, samples: SampleBuffer) -> None:
        self.number = number
        self.acknowledged = 0
        """Events in the operations' last acknowledged appends, warm-up included."""
        self._recorder = RecordingStore(context.store, context.appends, context.clock)
        self._cycle = OperationCycle(context, self._recorder)
        self._rng = Random(f"{context.seed}/{number}")
        self._run = context.workload.run
        self._clock = context.clock
        self._add = samples.add_operation
        self._base = context.appends.base
        self._numbers = context.appends.numbers
        self._failed = context.appends.failed

    async def serve(self, source: Source) -> None:
        """Perform what the source offers until the load is over.

        Raises `UnsupportedByStore`, and a bug, which is no `StoreError`. Both end the trial.
        One loop without a call per operation: at 300,000 a second a call takes noticeable time.
        """
        recorder, cycle, rng = self._recorder, self._cycle, self._rng
        run, clock, add = self._run, self._clock, self._add
        number, numbers, base = self.number, self._numbers, self._base
        queues = source.queues
        while await source.more():
            for op, intended_ns, dispatched_ns in source.take():
                recorder.op = op
                recorder.attempts = recorder.written_before = cycle.events_read = 0
                recorder.version = _NOTHING
                outcome = _OK
                cycle.sent_ns = sent_ns = clock() if queues else dispatched_ns
                try:
                    await run(recorder, cycle, rng)
                except UnsupportedByStore:
                    raise
                except StoreError as error:
                    raise_if_cancelled()
                    outcome = outcome_of(error)
                    if op >= 0 and outcome is not _CONFLICT:
                        self._failed(error)
                except asyncio.CancelledError:
                    self._record_unwritten(
                        op, intended_ns, dispatched_ns, sent_ns, Outcome.UNFINISHED
                    )
                    raise
                if recorder.version == _NOTHING:
                    self._record_unwritten(op, intended_ns, dispatched_ns, sent_ns, outcome)
                else:
                    events = recorder.events
                    count = len(events)
                    self.acknowledged += count
                    expected = recorder.expected
                    add(
                        op,
                        number,
                        intended_ns,
                        dispatched_ns,
                        sent_ns,
                        clock(),
                        outcome,
                        recorder.attempts,
                        count + recorder.written_before + cycle.events_read,
                        numbers[recorder.stream],
                        events[0].id.int - base,
                        count,
                        _ANY_CODE if expected is _ANY else code_of(expected),
                        recorder.version,
                    )
                if outcome is _REFUSED:
                    await source.refused()

    def skip(self, offered: Offered, outcome: Outcome) -> None:
        """Record an operation that was never sent: dropped, or left over at the end."""
        self._recorder.attempts = self._recorder.written_before = self._cycle.events_read = 0
        self._record_unwritten(*offered, self._clock(), outcome)

    def _record_unwritten(
        self, op: int, intended_ns: int, dispatched_ns: int, sent_ns: int, outcome: Outcome
    ) -> None:
        self._add(
            op,
            self.number,
            intended_ns,
            dispatched_ns,
            sent_ns,
            self._clock(),
            outcome,
            self._recorder.attempts,
            self._cycle.events_read,
        )


REFUSED_PAUSE_S = 0.01
"""Pause of a closed-loop client after a refusal, so that a dead server is not flooded."""


@dataclass(frozen=True, slots=True)
class Window:
    """The result of a loop: its bounds on the trial's clock, and the number of its operations."""

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
        """Whether time and operations remain."""
        return not self._exhausted and self._clock() < self._end_ns

    def take(self) -> Iterator[Offered]:
        """The next operation, intended for now."""
        ops, clock, end_ns = self._ops, self._clock, self._end_ns
        while (now_ns := clock()) < end_ns:
            op = next(ops, None)
            if op is None:
                self._exhausted = True
                return
            self.scheduled += 1
            yield op, now_ns, now_ns

    async def refused(self) -> None:
        """Pause, so as not to flood a server that refuses."""
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
    async with together() as group:
        for client in clients:
            group.create_task(client.serve(source))
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
        """Do nothing: the next operation has its own time."""

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
    """Dispatch each operation at its intended time, then wait up to `drain_s` for the last.

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
    """Cancel clients that still run, and raise the bug of any client."""
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, BaseException) and not isinstance(ended, asyncio.CancelledError):
            raise ended

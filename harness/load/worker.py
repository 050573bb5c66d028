"""One worker process's part of a trial, step by step: prefill, warm up, offer the load, drain."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import math
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.domain.cancellation import raise_if_cancelled, together
from harness.domain.costs import (
    GENERATOR_CPU_S,
    GENERATOR_KERNEL_S,
    Costed,
    Counted,
    Counts,
    DeferredCounts,
    Usage,
)
from harness.domain.errors import StoreError
from harness.domain.outcome import Outcome
from harness.domain.store import EventStore, StreamState
from harness.domain.workload import Counting, Subscribing, Workload
from harness.load.column_buffer import ColumnBuffer, SampleBuffer
from harness.load.events import EventFactory, chooser
from harness.load.loops import Client, ClientContext, Clock, Window, closed_loop, open_loop
from harness.load.pacing import NS_A_SECOND, pacer_named, schedule
from harness.load.progress import Ticker, Watcher
from harness.load.recording_store import (
    APPEND_COLUMNS,
    NOTHING,
    PREFILL_OP,
    READ_COLUMNS,
    WARM_UP_OP,
    AppendRecorder,
    Failure,
    RecordingStore,
)
from harness.load.stalls import LoopWatch
from harness.load.subscribers import DELIVERY_COLUMNS, Subscribers
from harness.load.trial_files import Sinks
from harness.scenario.model import ClosedLoop, OpenLoop, Trial


@asynccontextmanager
async def frozen_garbage() -> AsyncIterator[None]:
    """Hide existing objects from the garbage collector during the measurement.

    What somebody has hidden for longer stays so.
    """
    hidden_before = gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    await asyncio.sleep(0)
    try:
        yield
    finally:
        if not hidden_before:
            gc.unfreeze()


_LOG = logging.getLogger(__name__)


def cpu_counts() -> dict[str, float]:
    """CPU time of this process so far, and the part of it in the kernel, in seconds."""
    return {GENERATOR_CPU_S: time.process_time(), GENERATOR_KERNEL_S: _kernel_s()}


if sys.platform == "win32":

    def _kernel_s() -> float:
        return os.times().system

else:
    import resource

    def _kernel_s() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_stime  # os.times() counts whole ticks


class Meter:
    """Counts costs of the store and of this process; counts that fail are left out."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    def here(self) -> Counts:
        """CPU of this process and its connections' own counts: quick, taken next to the window."""
        known = self._store.costs() if isinstance(self._store, Costed) else {}
        return {**cpu_counts(), **known}

    async def settled(self) -> Counts:
        """Bring the store to rest, then let it count."""
        if not isinstance(self._store, Counted):
            return {}
        settle, counts = self._store.settle, self._store.counts

        async def both() -> Counts:
            await settle()
            return await counts()

        return await _answered(both)

    async def counted(self) -> Counts:
        """What the store counts now."""
        return await _answered(self._store.counts) if isinstance(self._store, Counted) else {}

    async def tell(self) -> Counts:
        """Report this process's connections to other processes; returns what reporting used."""
        return (
            await _answered(self._store.report_counts)
            if isinstance(self._store, DeferredCounts)
            else {}
        )


async def _answered(ask: Callable[[], Awaitable[Counts]]) -> Counts:
    try:
        return await ask()
    except StoreError as error:
        raise_if_cancelled()
        _LOG.info("costs are not counted: %s", error)
        return {}


_EVENTS_BITS = 40
"""Sequence numbers that each process has to itself; an event's payload has room for 48 bits."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number` of `of`: clients, operations and intended times are dealt round in turn."""

    number: int = 0
    of: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process does the steps that run once: prefilling, following, counting."""
        return self.number == 0

    @property
    def first_event(self) -> int:
        """Where this process's sequence numbers of events begin."""
        return self.number << _EVENTS_BITS

    def share(self, count: int) -> range:
        """Which of `count` items belong to this process."""
        return range(self.number, count, self.of)

    def numbers(self) -> Iterator[int]:
        """This process's operation numbers, endlessly."""
        return itertools.count(self.number, self.of)


ALONE = Shard()


BATCH = 49
"""Events in one append: within the limit of every store that has one."""
APPENDERS = 16


@dataclass(frozen=True, slots=True)
class Prefiller:
    """Appends the same number of events to each stream, a few streams at a time."""

    store: EventStore
    factory: EventFactory
    appends: AppendRecorder
    samples: SampleBuffer
    clock: Clock

    async def fill(self, names: Sequence[str], length: int) -> int:
        """Append `length` events to each stream; how many were written in all.

        Raises the store's `StoreError`: a trial cannot start half filled.
        """
        waiting = iter(names if length else ())
        async with together() as group:
            for _ in range(APPENDERS):
                group.create_task(self._appender(waiting, length))
        return len(names) * length

    async def _appender(self, waiting: Iterator[str], length: int) -> None:
        recorder = RecordingStore(self.store, self.appends, self.clock)
        for stream in waiting:
            for start in range(0, length, BATCH):
                await self._append(recorder, stream, min(BATCH, length - start))

    async def _append(self, recorder: RecordingStore, stream: str, count: int) -> None:
        events = self.factory.new_events(count)
        sent_ns = self.clock()
        result = await recorder.append(stream, events, expected=StreamState.ANY)
        recorder.version = NOTHING
        self.samples.add_operation(
            PREFILL_OP,
            -1,
            sent_ns,
            sent_ns,
            sent_ns,
            self.clock(),
            Outcome.OK,
            1,
            count,
            self.appends.numbers[stream],
            events[0].id.int - self.appends.base,
            count,
            -1,
            result.version,
        )


@dataclass(frozen=True, slots=True)
class WorkerResult:
    """A worker's result in the measured window. Times are ns on the monotonic clock."""

    window: Window
    usage: Usage
    """Costs of this process: its CPU time, and its connections' counts of their calls."""
    acknowledged: int
    """Events, warm-up included."""
    doubted: int
    """Events of appends that got no answer, warm-up included."""
    failures: dict[str, Failure]
    new_streams: list[str]
    """Met beyond those of the scenario, in the order of their numbers."""
    pacer: str
    stalled_ns: int
    """How long its event loop stood still."""
    counts: Counts
    """What the workload counted; empty for one that counts nothing."""


class Worker:
    """Runs one trial, or its share of one, against one open store in this process.

    One method per step, called in this order; `close` in any case.
    """

    def __init__(
        self,
        trial: Trial,
        store: EventStore,
        workload: Workload,
        sinks: Sinks,
        shard: Shard = ALONE,
        watcher: Watcher | None = None,
    ) -> None:
        self._trial, self._store, self._workload, self._shard = trial, store, workload, shard
        self._watcher = watcher
        self._clock = time.monotonic_ns
        self._names = trial.streams.names
        self._factory = EventFactory(trial.events, trial.seed, first=shard.first_event)
        self._samples = SampleBuffer(sinks.samples)
        self._reads = ColumnBuffer(READ_COLUMNS, sinks.reads)
        self._appends = AppendRecorder(
            ColumnBuffer(APPEND_COLUMNS, sinks.appends),
            reads=self._reads,
            base=self._factory.base,
            streams=self._names,
            shard=shard.number,
            of=shard.of,
        )
        self._deliveries = ColumnBuffer(DELIVERY_COLUMNS, sinks.deliveries)
        load = trial.load
        self._pacer = pacer_named(
            load.pacer if isinstance(load, OpenLoop) else "sleep", self._clock
        )
        self._clients = self._make_clients()
        self._meter = Meter(store)
        self._window = AsyncExitStack()
        subscribing = workload if isinstance(workload, Subscribing) and shard.is_first else None
        self._subscribers = Subscribers(
            subscribing, store, self._deliveries, self._appends, self._clock
        )

    async def fill(self) -> int:
        """Prefill the streams, before any load; how many events were written."""
        prefiller = Prefiller(self._store, self._factory, self._appends, self._samples, self._clock)
        return await prefiller.fill(self._names, self._trial.streams.prefill)

    async def prepare(self) -> None:
        """Let the workload read the prefilled streams."""
        await self._workload.prepare(self._store)

    async def warm_up(self) -> None:
        """Start the subscribers, and offer load that is not measured."""
        self._subscribers.start()
        await self._offer(itertools.repeat(WARM_UP_OP), self._trial.warm_up_s, None, None)

    async def tell(self) -> Counts:
        """Bring the server's statistics up to date with this process's connections."""
        return await self._meter.tell()

    async def settle(self) -> Counts:
        """Bring the store to rest; returns its counts before the window."""
        return await self._meter.settled()

    async def steady(self) -> None:
        """Keep the garbage collector out of the window; from here on the watcher gets snapshots."""
        await self._window.enter_async_context(frozen_garbage())
        ticker = Ticker(self._samples, self._clock, self._watcher)
        await self._window.enter_async_context(ticker)

    async def offer(self, start_ns: int | None = None) -> WorkerResult:
        """Offer the declared load and record it, from `start_ns` on; at once without it."""
        async with self._window, LoopWatch(self._clock) as watch:
            before, counted = self._meter.here(), self._counted()
            window = await self._offer(
                self._shard.numbers(), self._trial.duration_s, self._trial.operations, start_ns
            )
            usage = Usage(before, self._meter.here())
        return WorkerResult(
            window=window,
            usage=usage,
            acknowledged=sum(client.acknowledged for client in self._clients),
            doubted=self._appends.doubted,
            failures=self._appends.failures,
            new_streams=list(itertools.islice(self._appends.numbers, len(self._names), None)),
            pacer=self._pacer.name,
            stalled_ns=watch.stalled_ns,
            counts=Usage(counted, self._counted()).all_used(),
        )

    async def count(self) -> Counts:
        """What the store counts after the window."""
        return await self._meter.counted()

    async def drain(self, events: int) -> list[str]:
        """Wait until every subscriber has `events` events, or nothing comes any more.

        Returns the streams that they met, as `new_streams`.
        """
        try:
            await self._subscribers.caught_up(events, within_s=self._trial.drain_s)
        finally:
            await self._subscribers.stop()
        return list(itertools.islice(self._appends.numbers, len(self._names), None))

    async def close(self) -> None:
        """Write every row to disk. Raises the errors of writing."""
        await self._window.aclose()
        await self._subscribers.stop()
        self._pacer.close()
        for rows in (self._samples, self._appends.rows, self._deliveries, self._reads):
            rows.close()

    def _counted(self) -> Counts:
        return dict(self._workload.counts()) if isinstance(self._workload, Counting) else {}

    def _make_clients(self) -> list[Client]:
        load = self._trial.load
        context = ClientContext(
            store=self._store,
            workload=self._workload,
            factory=self._factory,
            choose=chooser(self._trial.streams, self._names),
            appends=self._appends,
            clock=self._clock,
            seed=self._trial.seed,
        )
        count = load.workers if isinstance(load, ClosedLoop) else load.in_flight_max
        return [Client(number, context, self._samples) for number in self._shard.share(count)]

    async def _offer(
        self,
        ops: Iterator[int],
        duration_s: float | None,
        operations: int | None,
        start_ns: int | None,
    ) -> Window:
        load = self._trial.load
        if isinstance(load, ClosedLoop):
            if start_ns is not None:
                await self._pacer.until(start_ns)
            mine = None if operations is None else len(self._shard.share(operations))
            return await closed_loop(
                self._clients, ops, self._clock, duration_s=duration_s, operations=mine
            )
        seed = self._trial.seed + ("/warm-up" if isinstance(ops, itertools.repeat) else "")
        intended = intended_times(load, duration_s, operations, seed)
        return await open_loop(
            self._clients,
            intended[self._shard.number :: self._shard.of],
            ops,
            pacer=self._pacer,
            clock=self._clock,
            deadline_s=load.deadline_s,
            drain_s=self._trial.drain_s,
            start_ns=start_ns,
        )


def intended_times(
    load: OpenLoop, duration_s: float | None, operations: int | None, seed: str
) -> NDArray[np.int64]:
    """The open loop's intended start times: of `operations`, or of all within the duration."""
    if operations is not None:
        return schedule(load, operations, seed)
    assert duration_s is not None
    assert load.rate_per_s
    mean = load.rate_per_s * duration_s
    drawn = schedule(load, math.ceil(mean + 10 * math.sqrt(mean) + 10), seed)
    return drawn[drawn < duration_s * NS_A_SECOND]

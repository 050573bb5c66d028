"""One worker process's part of a trial, step by step: prefill, warm up, offer the load, drain."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.costs import Bill, Counts
from harness.generator import loops
from harness.generator.choice import chooser, stream_names
from harness.generator.client import Client, Surroundings
from harness.generator.collector import frozen_garbage
from harness.generator.events import EventFactory
from harness.generator.files import Sinks
from harness.generator.following import DELIVERY_COLUMNS, Followers
from harness.generator.journal import APPEND_COLUMNS, WARM_UP_OP, AppendLog
from harness.generator.meter import Meter
from harness.generator.pacing import NS_A_SECOND, pacer_named, schedule
from harness.generator.prefill import Prefiller
from harness.generator.progress import Ticker, Watcher
from harness.generator.recording import Rows
from harness.generator.samples import SampleRows
from harness.generator.shard import ALONE, Shard
from harness.scenario.types import ClosedLoop, OpenLoop, Trial
from harness.store import EventStore
from harness.workload import Subscribing, Workload


@dataclass(frozen=True, slots=True)
class Offered:
    """What a worker did in the measured window. Times are ns on the monotonic clock."""

    window: loops.Window
    bill: Bill
    """What this process used: its CPU, and what its connections know of their calls."""
    acknowledged: int
    """Events, warm-up included."""
    refusals: dict[str, int]
    new_streams: list[str]
    """Met beyond those of the scenario, in the order of their numbers."""
    pacer: str


class Worker:
    """Runs one trial, or its share of one, against one open store in this process.

    A step a method, in the order in which they stand here; `close` in any case.
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
        self._names = stream_names(trial.streams)
        self._factory = EventFactory(trial.events, trial.seed, first=shard.first_event)
        self._samples = SampleRows(sinks.samples)
        self._appends = AppendLog(
            Rows(APPEND_COLUMNS, sinks.appends), base=self._factory.base, streams=self._names
        )
        self._deliveries = Rows(DELIVERY_COLUMNS, sinks.deliveries)
        load = trial.load
        self._pacer = pacer_named(
            load.pacer if isinstance(load, OpenLoop) else "sleep", self._clock
        )
        self._clients = self._make_clients()
        self._meter = Meter(store)
        self._window = AsyncExitStack()
        following = workload if isinstance(workload, Subscribing) and shard.is_first else None
        self._followers = Followers(following, store, self._deliveries, self._appends, self._clock)

    async def fill(self) -> int:
        """Prefill the streams, before any load; how many events were written."""
        prefiller = Prefiller(self._store, self._factory, self._appends, self._samples, self._clock)
        return await prefiller.fill(self._names, self._trial.streams.prefill)

    async def prepare(self) -> None:
        """Let the workload see what prefilling has left."""
        await self._workload.prepare(self._store)

    async def warm_up(self) -> None:
        """Start the subscribers, and offer load that is not measured."""
        self._followers.start()
        await self._offer(itertools.repeat(WARM_UP_OP), self._trial.warm_up_s, None, None)

    async def tell(self) -> Counts:
        """Bring the server's statistics up to date with this process's connections."""
        return await self._meter.tell()

    async def settle(self) -> Counts:
        """Bring the store to rest; what it counts before the window."""
        return await self._meter.settled()

    async def steady(self) -> None:
        """Put what disturbs out of the way; from here on the watcher is told."""
        await self._window.enter_async_context(frozen_garbage())
        ticker = Ticker(self._samples, self._clock, self._watcher)
        await self._window.enter_async_context(ticker)

    async def offer(self, start_ns: int | None = None) -> Offered:
        """Offer the declared load and record it, from `start_ns` on; at once without it."""
        async with self._window:
            before = self._meter.here()
            window = await self._offer(
                self._shard.numbers(), self._trial.duration_s, self._trial.operations, start_ns
            )
            bill = Bill(before, self._meter.here())
        return Offered(
            window=window,
            bill=bill,
            acknowledged=sum(client.acknowledged for client in self._clients),
            refusals=dict(self._appends.refusals),
            new_streams=list(itertools.islice(self._appends.numbers, len(self._names), None)),
            pacer=self._pacer.name,
        )

    async def count(self) -> Counts:
        """What the store counts behind the window."""
        return await self._meter.counted()

    async def drain(self, events: int) -> list[str]:
        """Let every subscriber get so many events; streams met meanwhile, as `new_streams`."""
        try:
            await self._followers.caught_up(events, within_s=self._trial.drain_s)
        finally:
            await self._followers.stop()
        return list(itertools.islice(self._appends.numbers, len(self._names), None))

    async def close(self) -> None:
        """Bring every row to disk. Raises what went wrong there."""
        await self._window.aclose()
        await self._followers.stop()
        self._pacer.close()
        for rows in (self._samples, self._appends.rows, self._deliveries):
            rows.close()

    def _make_clients(self) -> list[Client]:
        load = self._trial.load
        around = Surroundings(
            store=self._store,
            workload=self._workload,
            factory=self._factory,
            choose=chooser(self._trial.streams, self._names),
            appends=self._appends,
            clock=self._clock,
            seed=self._trial.seed,
        )
        count = load.workers if isinstance(load, ClosedLoop) else load.in_flight_max
        return [Client(number, around, self._samples) for number in self._shard.share(count)]

    async def _offer(
        self,
        ops: Iterator[int],
        duration_s: float | None,
        operations: int | None,
        start_ns: int | None,
    ) -> loops.Window:
        load = self._trial.load
        if isinstance(load, ClosedLoop):
            if start_ns is not None:
                await self._pacer.until(start_ns)
            mine = None if operations is None else len(self._shard.share(operations))
            return await loops.closed_loop(
                self._clients, ops, self._clock, duration_s=duration_s, operations=mine
            )
        seed = self._trial.seed + ("/warm-up" if isinstance(ops, itertools.repeat) else "")
        intended = intended_times(load, duration_s, operations, seed)
        return await loops.open_loop(
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
    """The open loop's intended start times: so many operations, or all within the duration."""
    if operations is not None:
        return schedule(load, operations, seed)
    assert duration_s is not None
    mean = load.rate_per_s * duration_s
    drawn = schedule(load, math.ceil(mean + 10 * math.sqrt(mean) + 10), seed)
    return drawn[drawn < duration_s * NS_A_SECOND]

"""One worker process's part of a trial: prefill, warm up, measure, let subscribers catch up."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.costs import Bill
from harness.generator import loops
from harness.generator.choice import chooser, stream_names
from harness.generator.client import Client, Surroundings
from harness.generator.collector import frozen_garbage
from harness.generator.events import EventFactory
from harness.generator.following import DELIVERY_COLUMNS, Followers
from harness.generator.journal import APPEND_COLUMNS, WARM_UP_OP, AppendLog
from harness.generator.meter import Meter, ServerCounts
from harness.generator.pacing import NS_A_SECOND, pacer_named, schedule
from harness.generator.prefill import Prefiller
from harness.generator.progress import Ticker, Watcher
from harness.generator.recording import Rows, Sink
from harness.generator.samples import SampleRows
from harness.scenario.types import ClosedLoop, OpenLoop, Trial
from harness.store import EventStore
from harness.workload import Subscribing, Workload


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where a trial's rows go; `None` forgets them."""

    samples: Sink | None
    appends: Sink | None
    deliveries: Sink | None


@dataclass(frozen=True, slots=True)
class Measured:
    """What a worker process did. Times are ns on its monotonic clock."""

    window: loops.Window
    streams: Sequence[str]
    refusals: dict[str, int]
    bill: Bill
    """What the window cost, generator and server."""
    prefilled_events: int
    pacer: str


class Worker:
    """Runs one trial against one open store in this process."""

    def __init__(self, trial: Trial, store: EventStore, workload: Workload, sinks: Sinks) -> None:
        self._trial = trial
        self._workload = workload
        self._store = store
        self._clock = time.monotonic_ns
        self._names = stream_names(trial.streams)
        self.factory = EventFactory(trial.events, trial.seed)
        self._samples = SampleRows(sinks.samples)
        self._appends = AppendLog(
            Rows(APPEND_COLUMNS, sinks.appends), base=self.factory.base, streams=self._names
        )
        self._deliveries = Rows(DELIVERY_COLUMNS, sinks.deliveries)
        load = trial.load
        self._pacer = pacer_named(
            load.pacer if isinstance(load, OpenLoop) else "sleep", self._clock
        )
        self._clients = self._make_clients()
        self._prefilled = 0

    @property
    def subscribers(self) -> int:
        """How many follow while the load runs."""
        return self._workload.subscribers if isinstance(self._workload, Subscribing) else 0

    async def fill(self) -> None:
        """Prefill the streams; before any load."""
        prefiller = Prefiller(self._store, self.factory, self._appends, self._samples, self._clock)
        self._prefilled = await prefiller.fill(self._names, self._trial.streams.prefill)
        await self._workload.prepare(self._store)

    async def measure(
        self,
        watcher: Watcher | None = None,
        server_counts: ServerCounts = dict,
    ) -> Measured:
        """Warm up, then offer the declared load and record it.

        `server_counts` tells what is seen of the server; it is asked before and after.
        """
        meter = Meter(self._store, server_counts)
        async with self._followers() as followers:
            await self._offer(itertools.repeat(WARM_UP_OP), self._trial.warm_up_s, None)
            async with frozen_garbage(), Ticker(self._samples, self._clock, watcher):
                await meter.begin()
                window = await self._offer(
                    itertools.count(), self._trial.duration_s, self._trial.operations
                )
                bill = await meter.end()
            wanted = self._prefilled + sum(client.acknowledged for client in self._clients)
            await followers.caught_up(wanted, within_s=self._trial.drain_s)
        return Measured(
            window=window,
            streams=list(self._appends.numbers),
            refusals=dict(self._appends.refusals),
            bill=bill,
            prefilled_events=self._prefilled,
            pacer=self._pacer.name,
        )

    def close(self) -> None:
        """Bring every row to disk. Raises what went wrong there."""
        self._pacer.close()
        for rows in (self._samples, self._appends.rows, self._deliveries):
            rows.close()

    def _make_clients(self) -> list[Client]:
        load = self._trial.load
        around = Surroundings(
            store=self._store,
            workload=self._workload,
            factory=self.factory,
            choose=chooser(self._trial.streams, self._names),
            appends=self._appends,
            clock=self._clock,
            seed=self._trial.seed,
        )
        count = load.workers if isinstance(load, ClosedLoop) else load.in_flight_max
        return [Client(number, around, self._samples) for number in range(count)]

    @asynccontextmanager
    async def _followers(self) -> AsyncIterator[Followers]:
        followers = Followers(
            self._workload, self._store, self._deliveries, self._appends, self._clock
        )
        try:
            yield followers
        finally:
            await followers.stop()

    async def _offer(
        self, ops: Iterator[int], duration_s: float | None, operations: int | None
    ) -> loops.Window:
        load = self._trial.load
        if isinstance(load, ClosedLoop):
            return await loops.closed_loop(
                self._clients, ops, self._clock, duration_s=duration_s, operations=operations
            )
        seed = self._trial.seed + ("/warm-up" if isinstance(ops, itertools.repeat) else "")
        intended = intended_times(load, duration_s, operations, seed)
        return await loops.open_loop(
            self._clients,
            intended,
            ops,
            pacer=self._pacer,
            clock=self._clock,
            deadline_s=load.deadline_s,
            drain_s=self._trial.drain_s,
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

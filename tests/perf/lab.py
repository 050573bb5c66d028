"""A native server, a store on it, and one trial of the lab's generator, without a run folder."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from uuid import uuid4

from harness.domain.costs import GENERATOR_CPU_S
from harness.domain.factory import StoreFactory
from harness.domain.workload import WorkloadKind
from harness.load.coordinator import Measured, coordinate, inline_workers
from harness.load.events import EventFactory
from harness.load.trial_files import TrialFiles
from harness.load.worker import frozen_garbage
from harness.scenario.model import (
    ClosedLoop,
    EventShape,
    Streams,
    Trial,
)
from harness.scenario.names import StoreRef
from harness.servers import Server, serving
from harness.workloads.append import WORKLOAD as APPEND

if TYPE_CHECKING:  # an older harness, too, is measured with this file
    from harness.domain.store import (
        Adapter,
        BareAppend,
        BareLoop,
        Endpoint,
        EventStore,
        NewEvent,
        StoreKind,
    )

TRIAL = Trial(
    number=1,
    scenario="perf",
    store=StoreRef("null"),
    workload="append",
    parameters=APPEND.parameters(),
    load=ClosedLoop(workers=16),
    processes=1,
    events=EventShape(types={"OrderPlaced": 3.0, "OrderPaid": 1.0}),
    streams=Streams(),
    verify=None,
    conformance=False,
    server_settings=MappingProxyType({}),
    added_rtt_ms=0.0,
    point=MappingProxyType({}),
    warm_up_s=0.3,
    duration_s=3.0,
    operations=None,
    drain_s=5.0,
    repetition=1,
    seed="perf",
)

BARE_EVENTS = 400_000
"""Made before the bare callers begin; several times what drivers take in these seconds."""

Loop = Callable[[int, float], Awaitable[int]]
"""`loop(caller, until_s)`: call the driver until then; how many operations."""


@dataclass(frozen=True)
class Ran:
    """What one trial came to."""

    per_s: float
    client_cpu_us: float
    """An operation."""


@asynccontextmanager
async def serving_alone(technology: str, **settings: str) -> AsyncIterator[Server]:
    """A native server, for these measurements alone."""
    with tempfile.TemporaryDirectory() as scratch:
        serve = serving(technology, way="native", scratch=Path(scratch), settings=settings)
        async with serve as server:
            yield server


@asynccontextmanager
async def served(technology: str, **settings: str) -> AsyncIterator[Endpoint]:
    """Where such a server is."""
    async with serving_alone(technology, **settings) as server:
        yield server.endpoint


def opened(
    kind: StoreKind, endpoint: Endpoint, variant: str = "", namespace: str = "", **options: object
) -> AbstractAsyncContextManager[Adapter]:
    """The store, set up in a namespace of its own and torn down at the end."""
    place = replace(endpoint, namespace=namespace or f"eslab_{uuid4().hex[:8]}")
    return StoreFactory(kind.variants[variant], place, kind.options(**options)).set_up()


async def run(
    trial: Trial,
    store: EventStore,
    watcher: Callable[[object], None] | None = None,
    kind: WorkloadKind = APPEND,
) -> Ran:
    """Offer the trial's load with full recording, into files that are thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        measured = await offered(trial, store, files_in(Path(folder)), watcher, kind)
    window = measured.window
    return Ran(
        window.scheduled / (window.ended_ns - window.started_ns) * 1e9,
        measured.usage.used(GENERATOR_CPU_S) / window.scheduled * 1e6,
    )


async def offered(
    trial: Trial,
    store: EventStore,
    files: TrialFiles,
    watcher: Callable[[object], None] | None = None,
    kind: WorkloadKind = APPEND,
) -> Measured:
    """The trial's load with full recording, in this process."""
    workload, sinks = kind.make(trial.parameters), files.sinks(deliveries=False)
    async with inline_workers(trial, store, workload, sinks, watcher) as workers:
        return await coordinate(workers, trial)


def files_in(folder: Path) -> TrialFiles:
    """A trial's without subscribers."""
    return TrialFiles(*(folder / name for name in ("samples", "appends", "none")))


async def bare_appends(store: Adapter, loop: BareLoop, callers: int) -> Ran:
    """The store's own bare loop, with events made before: nothing kept, nothing counted."""
    made = iter(EventFactory(TRIAL.events, f"bare/{uuid4()}").new_events(BARE_EVENTS))
    names = TRIAL.streams.names
    streams = [[f"{name}/{caller}" for name in names] for caller in range(callers)]
    async with loop(store, callers) as appends:

        async def append_on(caller: int, until_s: float) -> int:
            return await _append_until(until_s, appends[caller], streams[caller], made)

        return await bare(append_on, callers)


async def bare(loop: Loop, callers: int) -> Ran:
    """The loop in as many tasks as the lab has clients, after a warm-up of the same length."""
    await asyncio.gather(
        *(loop(caller, time.perf_counter() + TRIAL.warm_up_s) for caller in range(callers))
    )
    async with frozen_garbage():
        began_s, cpu_s = time.perf_counter(), time.process_time()
        until_s = began_s + TRIAL.duration_s
        counts = await asyncio.gather(*(loop(caller, until_s) for caller in range(callers)))
        spent_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    return Ran(sum(counts) / spent_s, cpu_s / sum(counts) * 1e6)


async def _append_until(
    until_s: float, append: BareAppend, streams: Sequence[str], made: Iterator[NewEvent]
) -> int:
    count = 0
    while time.perf_counter() < until_s:
        await append(streams[count % len(streams)], next(made))
        count += 1
    return count

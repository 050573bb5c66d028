"""The steps of a trial in their order, over one worker process or several."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from harness.domain.cancellation import together
from harness.domain.costs import GENERATOR_CPU_S, Counts, Usage
from harness.domain.store import EventStore
from harness.domain.workload import Workload
from harness.load.loops import Window
from harness.load.progress import Watcher
from harness.load.recording_store import Failure
from harness.load.stalls import LoopWatch
from harness.load.trial_files import Sinks
from harness.load.worker import Worker, WorkerResult
from harness.scenario.model import Trial

T = TypeVar("T")
Step = Callable[[Worker], Awaitable[T]]
"""A method of `Worker`, its arguments filled in by `functools.partial`; can be pickled."""


class WorkerGroup(Protocol):
    """The workers of one trial. A group on many machines would be another implementation."""

    @property
    def size(self) -> int:
        """How many workers."""
        ...

    @property
    def lead_ns(self) -> int:
        """The longest time that it takes to send all of them the start time."""
        ...

    def cpu_s(self) -> float:
        """CPU time of all of its processes so far."""
        ...

    async def first(self, step: Step[T]) -> T:
        """Let the first worker take a step."""
        ...

    async def others(self, step: Step[T]) -> list[T]:
        """Let all but the first take a step, at once."""
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """The joint result of a trial's workers. Times are ns on the monotonic clock."""

    window: Window
    streams: Sequence[str]
    """By their numbers; of several processes two may have numbered the same one."""
    failures: dict[str, Failure]
    """By the class of the error."""
    usage: Usage
    """Costs of the window, of generator and server."""
    prefilled_events: int
    pacer: str
    processes: int
    busiest_cpu_s: float
    """CPU time in the window of the busiest worker process."""
    stalled_ns: int = 0
    """The longest time that the loop of a worker, or of the lab itself, stood still in it."""
    counts: Counts = field(default_factory=dict)
    """What the workload counted in it, by the names of columns."""


async def nothing() -> None:
    """Nothing between prefilling and the warm-up."""


async def coordinate(
    workers: WorkerGroup,
    trial: Trial,
    *,
    between: Callable[[], Awaitable[None]] = nothing,
    during: Callable[[int], AbstractAsyncContextManager[None]] | None = None,
    server_counts: Callable[[], Counts] = dict,
) -> Measured:
    """Run the trial. `between` runs when the streams are filled, before the warm-up.

    `during` is entered with the start of the load, in ns on the monotonic clock, and left after it.

    `server_counts` counts the server's costs from outside. It is called right before and after
    the window, slower counts farther from it, so that CPU times exclude counting.
    """
    prefilled = await workers.first(Worker.fill)
    await between()
    await every(workers, Worker.prepare)
    await every(workers, Worker.warm_up)
    await workers.others(Worker.tell)
    counted = await workers.first(Worker.settle)
    await every(workers, Worker.steady)
    before = server_counts()
    start_ns = time.monotonic_ns() + workers.lead_ns if workers.size > 1 or during else None
    trouble = during(start_ns) if during and start_ns is not None else nullcontext()
    async with LoopWatch(time.monotonic_ns) as watch, trouble:
        offered = await every(workers, partial(Worker.offer, start_ns=start_ns))
    after = server_counts()
    reporting = await workers.others(Worker.tell)
    counted_after = _less(await workers.first(Worker.count), reporting)
    wanted = prefilled + sum(each.acknowledged + each.doubted for each in offered)
    met = await workers.first(partial(Worker.drain, events=wanted))
    usage = Usage(
        {**counted, **_sum(each.usage.before for each in offered), **before},
        {**counted_after, **_sum(each.usage.after for each in offered), **after},
    )
    return Measured(
        window=_joined([each.window for each in offered]),
        streams=[*trial.streams.names, *_dealt(met, offered[1:])],
        failures=_added(each.failures for each in offered),
        usage=usage,
        prefilled_events=prefilled,
        pacer=offered[0].pacer,
        processes=workers.size,
        busiest_cpu_s=max(each.usage.used(GENERATOR_CPU_S) or 0.0 for each in offered),
        stalled_ns=max(watch.stalled_ns, *(each.stalled_ns for each in offered)),
        counts=_sum(each.counts for each in offered),
    )


async def every(workers: WorkerGroup, step: Step[T]) -> list[T]:
    """Let all workers take a step at once; the first one's result is the first."""
    async with together() as group:
        first = group.create_task(workers.first(step))
        others = group.create_task(workers.others(step))
    return [first.result(), *others.result()]


def _sum(each: Iterable[Counts]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for counts in each:
        total.update(counts)
    return dict(total)


def _less(counts: Counts, reporting: Iterable[Counts]) -> dict[str, float]:
    """Counts without the use of the other processes for reporting."""
    spent = _sum(reporting)
    return {name: count - spent.get(name, 0.0) for name, count in counts.items()}


def _joined(windows: Sequence[Window]) -> Window:
    return Window(
        min(window.started_ns for window in windows),
        max(window.ended_ns for window in windows),
        sum(window.scheduled for window in windows),
    )


def _dealt(met: Sequence[str], others: Sequence[WorkerResult]) -> Iterator[str]:
    """Streams beyond the scenario's in the order of their numbers, which the processes deal out.

    `met` are those of the first process. A number that nobody has used has no name.
    """
    of_each = [met, *(each.new_streams for each in others)]
    for names in itertools.zip_longest(*of_each, fillvalue=""):
        yield from names


@dataclass(frozen=True, slots=True)
class InlineWorkers:
    """One worker in the lab's own process: its steps are plain calls."""

    worker: Worker
    size: int = 1
    lead_ns: int = 0

    def cpu_s(self) -> float:
        """CPU time of this process so far."""
        return time.process_time()

    async def first(self, step: Step[T]) -> T:
        """Let the worker take the step."""
        return await step(self.worker)

    async def others(self, step: Step[T]) -> list[T]:  # noqa: ARG002 - the protocol's
        """There are none."""
        return []


@asynccontextmanager
async def inline_workers(
    trial: Trial,
    store: EventStore,
    workload: Workload,
    sinks: Sinks,
    watcher: Watcher | None = None,
) -> AsyncIterator[InlineWorkers]:
    """A group of one; its rows are on disk after the block."""
    worker = Worker(trial, store, workload, sinks, watcher=watcher)
    try:
        yield InlineWorkers(worker)
    finally:
        await worker.close()


def _added(of_workers: Iterable[Mapping[str, Failure]]) -> dict[str, Failure]:
    """Counts add up; the message is that of the first worker that has one."""
    added: dict[str, Failure] = {}
    for failures in of_workers:
        for reason, failure in failures.items():
            known = added.setdefault(reason, Failure(failure.message))
            known.count += failure.count
    return added

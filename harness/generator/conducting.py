"""A trial's steps in their order, over one worker process or several."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from harness.costs import GENERATOR_CPU_S, Bill, Counts
from harness.generator.choice import stream_names
from harness.generator.loops import Window
from harness.generator.worker import Offered, Worker
from harness.scenario.types import Trial

T = TypeVar("T")
Step = Callable[[Worker], Awaitable[T]]
"""A method of `Worker`, with its arguments filled in by `functools.partial`; it pickles."""


class Crew(Protocol):
    """The workers of one trial. A crew on many machines would be another implementation."""

    @property
    def size(self) -> int:
        """How many workers."""
        ...

    @property
    def lead_ns(self) -> int:
        """How long it takes at most to tell all of them when to start."""
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
    """What the workers of a trial did together. Times are ns on the monotonic clock."""

    window: Window
    streams: Sequence[str]
    refusals: dict[str, int]
    bill: Bill
    """What the window cost, generator and server."""
    prefilled_events: int
    pacer: str
    processes: int
    busiest_cpu_s: float
    """CPU time in the window of the worker process that used most."""


async def nothing() -> None:
    """Nothing between prefilling and the warm-up."""


async def conduct(
    crew: Crew,
    trial: Trial,
    *,
    between: Callable[[], Awaitable[None]] = nothing,
    server_counts: Callable[[], Counts] = dict,
) -> Measured:
    """Carry the trial out. `between` runs when the streams are filled, before the warm-up.

    `server_counts` tells what is seen of the server from outside; it is asked next to the
    window, slow questions farther from it, so that CPU times don't hold the cost of counting.
    """
    prefilled = await crew.first(Worker.fill)
    await between()
    await every(crew, Worker.prepare)
    await every(crew, Worker.warm_up)
    await crew.others(Worker.tell)
    counted = await crew.first(Worker.settle)
    await every(crew, Worker.steady)
    before = server_counts()
    start_ns = time.monotonic_ns() + crew.lead_ns if crew.size > 1 else None
    offered = await every(crew, partial(Worker.offer, start_ns=start_ns))
    after = server_counts()
    told = await crew.others(Worker.tell)
    counted_after = _less(await crew.first(Worker.count), told)
    wanted = prefilled + sum(each.acknowledged for each in offered)
    met = await crew.first(partial(Worker.drain, events=wanted))
    bill = Bill(
        {**counted, **_sum(each.bill.before for each in offered), **before},
        {**counted_after, **_sum(each.bill.after for each in offered), **after},
    )
    return Measured(
        window=_joined([each.window for each in offered]),
        streams=[*stream_names(trial.streams), *_agreed(met, offered)],
        refusals=dict(sum((Counter(each.refusals) for each in offered), Counter())),
        bill=bill,
        prefilled_events=prefilled,
        pacer=offered[0].pacer,
        processes=crew.size,
        busiest_cpu_s=max(each.bill.used(GENERATOR_CPU_S) or 0.0 for each in offered),
    )


async def every(crew: Crew, step: Step[T]) -> list[T]:
    """Let all workers take a step at once; the first one's result is the first."""
    try:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(crew.first(step))
            others = group.create_task(crew.others(step))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [first.result(), *others.result()]


def _sum(each: Iterable[Counts]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for counts in each:
        total.update(counts)
    return dict(total)


def _less(counts: Counts, told: Iterable[Counts]) -> dict[str, float]:
    """Without what the other processes used to tell theirs."""
    spent = _sum(told)
    return {name: count - spent.get(name, 0.0) for name, count in counts.items()}


def _joined(windows: Sequence[Window]) -> Window:
    return Window(
        min(window.started_ns for window in windows),
        max(window.ended_ns for window in windows),
        sum(window.scheduled for window in windows),
    )


def _agreed(met: Sequence[str], offered: Sequence[Offered]) -> Sequence[str]:
    """Streams beyond the scenario's: only the process that follows can meet any."""
    assert not any(each.new_streams for each in offered[1:]), "a stream that nobody knows"
    return met

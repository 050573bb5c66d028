"""Does the generator measure correctly? Compare it with queues whose answer is known."""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from harness.analysis.percentiles import values_at
from harness.domain.errors import UnsupportedByStore
from harness.domain.store import (
    AppendResult,
    EventStore,
    ExpectedVersion,
    NewEvent,
    Position,
    RecordedEvent,
    StreamState,
)
from harness.domain.workload import Cycle
from harness.load.column_buffer import SAMPLE_COLUMNS, ColumnBuffer, SampleBuffer
from harness.load.events import EventFactory, chooser
from harness.load.loops import Client, ClientContext, open_loop
from harness.load.pacing import NS_A_SECOND, Pacer, pacer_named, schedule
from harness.load.recording_store import APPEND_COLUMNS, AppendRecorder
from harness.load.stalls import coreless_ns
from harness.load.worker import frozen_garbage
from harness.scenario.model import EventShape, OpenLoop, Streams

ERROR_P50_MAX_NS = 150_000
ERROR_P99_MAX_NS = 500_000
RATE_PER_S = 1000.0
LOADS = (0.3, 0.5, 0.7, 0.9)
STALL_LOAD = 0.5


@dataclass(frozen=True, slots=True)
class QueueCheck:
    """One queue: its service times, servers, and the share of their time that is in use."""

    service: str
    servers: int
    load: float
    rate_per_s: float = RATE_PER_S

    @property
    def mean_service_s(self) -> float:
        """The rate that gives this load."""
        return self.load * self.servers / self.rate_per_s


def queue_checks() -> Iterator[QueueCheck]:
    """Fixed and exponential service with one server and four, and a stall of a second."""
    for service in ("fixed", "exponential"):
        for servers in (1, 4):
            for load in LOADS:
                yield QueueCheck(service, servers, load)
    yield QueueCheck("stall", 1, STALL_LOAD)


Seconds = NDArray[np.float64]


def departures(arrivals: Seconds, services: Seconds, servers: int = 1) -> Seconds:
    """When each customer leaves a first-come-first-served queue. All times in the same unit."""
    free = [0.0] * servers
    left = np.empty(len(arrivals))
    for number, (arrival, service) in enumerate(
        zip(arrivals.tolist(), services.tolist(), strict=True)
    ):
        left[number] = max(arrival, free[0]) + service
        heapq.heapreplace(free, float(left[number]))
    return left


def mean_wait(load: float, service: float, servers: int, *, exponential: bool) -> float | None:
    """Mean time in the queue before service, by theory, for Poisson arrivals.

    `load` is the share of the servers' time that is in use. Exact for M/M/c and for M/D/1;
    `None` where theory has no formula (M/D/c).
    """
    if exponential:
        return _erlang_c(load * servers, servers) * service / (servers * (1 - load))
    return load * service / (2 * (1 - load)) if servers == 1 else None


def draw(kind: str, mean: float, count: int, seed: Sequence[int]) -> Seconds:
    """Service times: `fixed`, `exponential`, or `stall` (fixed, and one of a whole second)."""
    if kind == "exponential":
        return np.random.default_rng(seed).exponential(mean, count)
    services = np.full(count, mean)
    if kind == "stall":
        services[count // 2] = 1.0
    return services


def _erlang_c(offered: float, servers: int) -> float:
    """Probability that a customer of M/M/c waits."""
    below = sum(offered**k / math.factorial(k) for k in range(servers))
    all_busy = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return all_busy / (below + all_busy)


class SyntheticStore:
    """Answers its n-th append at the n-th of the given moments, or at once if that has passed.

    The moments follow from intended arrivals, not from the actual calls: a call that is late by
    less than its response time changes nothing, and lateness never accumulates.
    """

    def __init__(self, pacer: Pacer, clock: Callable[[], int]) -> None:
        self._due_ns: Sequence[int] = ()
        self._pacer = pacer
        self._clock = clock
        self._calls = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._more = asyncio.Event()
        self._answering = asyncio.create_task(self._answer())

    def answer_at(self, due_ns: Sequence[int]) -> None:
        """The moments, on the clock, for the calls to come."""
        self._due_ns = due_ns

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Wait for this call's moment."""
        del stream, events, expected
        number, self._calls = self._calls, self._calls + 1
        due_ns = self._due_ns[number]
        if due_ns > self._clock():
            answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            first = not self._waiting or due_ns < self._waiting[0][0]
            heapq.heappush(self._waiting, (due_ns, number, answer))
            if first:
                self._more.set()
            await answer
        return AppendResult(number, None)

    async def aclose(self) -> None:
        """Stop answering."""
        self._answering.cancel()
        await asyncio.gather(self._answering, return_exceptions=True)
        self._pacer.close()

    async def _answer(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._waiting:
                await self._until_due()

    async def _until_due(self) -> None:
        """Wait for the earliest moment, or until an earlier one is added."""
        waking = asyncio.create_task(self._pacer.until(self._waiting[0][0]))
        sooner = asyncio.create_task(self._more.wait())
        await asyncio.wait((waking, sooner), return_when=asyncio.FIRST_COMPLETED)
        for task in (waking, sooner):
            task.cancel()
        self._more.clear()
        now_ns = self._clock()
        while self._waiting and self._waiting[0][0] <= now_ns:
            _, _, answer = heapq.heappop(self._waiting)
            if not answer.done():
                answer.set_result(None)

    def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """Raises `UnsupportedByStore`."""
        del stream, start, limit, backwards
        raise UnsupportedByStore("the synthetic store keeps nothing to read")

    def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Raises `UnsupportedByStore`."""
        del after, limit
        raise UnsupportedByStore("the synthetic store keeps nothing to read")

    def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Raises `UnsupportedByStore`."""
        del after, category
        raise UnsupportedByStore("the synthetic store keeps nothing to follow")


IN_FLIGHT_MAX = 4096
_LEAD_NS = 200_000_000
"""Between making everything ready and the first arrival."""
_SHAPE = EventShape(types={"Calibrated": 1.0}, size_bytes=64, content="random")
_STREAMS = Streams(count=16, category="calibration")
Loop = Callable[..., Awaitable[object]]


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """One queue: its times by recursion, by theory and as measured. In ns."""

    check: QueueCheck
    operations: int
    expected_p50_ns: float
    expected_p99_ns: float
    measured_p50_ns: float
    measured_p99_ns: float
    error_p50_ns: float
    error_p99_ns: float
    expected_wait_ns: float
    theory_wait_ns: float | None
    pacer: str
    coreless_ns: int | None = None
    """How long the generator was ready to run and had no core, where the system counts that."""

    @property
    def excused(self) -> bool:
        """Whether a miss may be the machine's: the generator had no core for as long as it takes.

        For half of the operations to be late by the one bound, or one in a hundred by the other,
        it must have been without a core for that long in all, unless one wait delayed several.
        """
        late_p50 = self.error_p50_ns > ERROR_P50_MAX_NS
        share, bound_ns = (0.5, ERROR_P50_MAX_NS) if late_p50 else (0.01, ERROR_P99_MAX_NS)
        without = self.coreless_ns is not None and self.coreless_ns >= (
            share * self.operations * bound_ns
        )
        return not self.passed and without

    @property
    def passed(self) -> bool:
        """Whether the measurement agrees with recursion and theory."""
        return self.error_p50_ns <= ERROR_P50_MAX_NS and self.error_p99_ns <= ERROR_P99_MAX_NS


async def calibrate(
    check: QueueCheck, *, seconds: float, seed: int = 1, loop: Loop = open_loop
) -> CalibrationResult:
    """Offer seeded arrivals to a queue with seeded services, and compare each response with it."""
    clock = time.monotonic_ns
    load = OpenLoop(rate_per_s=check.rate_per_s, in_flight_max=IN_FLIGHT_MAX)
    intended = schedule(load, round(check.rate_per_s * seconds), f"calibrate/{seed}")
    services = NS_A_SECOND * draw(check.service, check.mean_service_s, len(intended), [seed, 7])
    leaving = departures(intended.astype(float), services, check.servers)
    kept = _Kept()
    rows = SampleBuffer(kept)
    store = SyntheticStore(pacer_named("auto", clock), clock)
    clients = _clients(store, rows, clock)
    before_ns, start_ns = coreless_ns(), clock() + _LEAD_NS
    store.answer_at((leaving.astype(np.int64) + start_ns).tolist())
    pacer = pacer_named("auto", clock)
    try:
        async with frozen_garbage():
            await loop(
                clients,
                intended,
                iter(range(len(intended))),
                pacer=pacer,
                clock=clock,
                deadline_s=None,
                drain_s=60.0,
                start_ns=start_ns,
            )
        after_ns = coreless_ns()
    finally:
        pacer.close()
        await store.aclose()
        rows.close()
    compared = _compared(check, kept.columns(), intended, leaving, services, pacer.name)
    if before_ns is None or after_ns is None:
        return compared
    return replace(compared, coreless_ns=after_ns - before_ns)


def _clients(store: SyntheticStore, rows: SampleBuffer, clock: Callable[[], int]) -> list[Client]:
    factory = EventFactory(_SHAPE, "calibrate")
    names = _STREAMS.names
    context = ClientContext(
        store=store,
        workload=_Appending(),
        factory=factory,
        choose=chooser(_STREAMS, names),
        appends=AppendRecorder(
            ColumnBuffer(APPEND_COLUMNS, None), base=factory.base, streams=names
        ),
        clock=clock,
        seed="calibrate",
    )
    return [Client(number, context, rows) for number in range(IN_FLIGHT_MAX)]


class _Appending:
    """The plainest workload: one append an operation."""

    async def prepare(self, store: EventStore) -> None:
        """Nothing to prepare."""

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        """One append."""
        stream, events = cycle.choose_stream(rng), cycle.new_events(1)
        await store.append(stream, events, expected=StreamState.ANY)


class _Kept:
    """Keeps rows in memory: a calibration has few."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.int64]] = []

    def write(self, block: NDArray[np.int64]) -> None:
        """Keep a copy: the buffer is used again."""
        self._blocks.append(block.copy())

    def close(self) -> None:
        """Nothing to finish."""

    def columns(self) -> dict[str, NDArray[np.int64]]:
        """All rows, by column."""
        return dict(zip(SAMPLE_COLUMNS, np.concatenate(self._blocks).T, strict=True))


def _compared(
    check: QueueCheck,
    samples: dict[str, NDArray[np.int64]],
    intended: NDArray[np.int64],
    leaving: NDArray[np.float64],
    services: NDArray[np.float64],
    pacer: str,
) -> CalibrationResult:
    order = np.argsort(samples["op"])
    measured = (samples["done_ns"] - samples["intended_ns"])[order]
    expected = leaving - intended
    error = np.abs(measured - expected)
    expected_p50_ns, expected_p99_ns = values_at(expected, (50, 99))
    measured_p50_ns, measured_p99_ns = values_at(measured, (50, 99))
    error_p50_ns, error_p99_ns = values_at(error, (50, 99))
    return CalibrationResult(
        check=check,
        operations=len(intended),
        expected_p50_ns=expected_p50_ns,
        expected_p99_ns=expected_p99_ns,
        measured_p50_ns=measured_p50_ns,
        measured_p99_ns=measured_p99_ns,
        error_p50_ns=error_p50_ns,
        error_p99_ns=error_p99_ns,
        expected_wait_ns=float(np.mean(expected - services)),
        theory_wait_ns=_theory_wait_ns(check),
        pacer=pacer,
    )


def _theory_wait_ns(check: QueueCheck) -> float | None:
    if check.service == "stall":
        return None
    exponential = check.service == "exponential"
    wait_s = mean_wait(check.load, check.mean_service_s, check.servers, exponential=exponential)
    return None if wait_s is None else wait_s * NS_A_SECOND

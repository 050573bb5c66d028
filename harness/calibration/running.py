"""Drive the whole generator against a known queue, and compare operation by operation."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from harness.calibration.checking import ERROR_P50_MAX_NS, ERROR_P99_MAX_NS, Check
from harness.calibration.queues import departures, draw, mean_wait
from harness.calibration.synthetic import SyntheticStore
from harness.generator import loops
from harness.generator.choice import chooser, stream_names
from harness.generator.client import Client, Surroundings
from harness.generator.collector import frozen_garbage
from harness.generator.events import EventFactory
from harness.generator.journal import APPEND_COLUMNS, AppendLog
from harness.generator.pacing import NS_A_SECOND, pacer_named, schedule
from harness.generator.recording import Rows
from harness.generator.samples import SAMPLE_COLUMNS, SampleRows
from harness.scenario.types import DataSize, EventShape, OpenLoop, StreamChoice, Streams
from harness.store import EventStore, StreamState
from harness.workload import Cycle

IN_FLIGHT_MAX = 4096
_LEAD_NS = 200_000_000
"""Between making everything ready and the first arrival."""
_SHAPE = EventShape(
    MappingProxyType({"Calibrated": 1.0}), DataSize("fixed", 64, 0.0, 64, 64), "random"
)
_STREAMS = Streams(16, "calibration", StreamChoice("uniform"), 0, "warm")
Loop = Callable[..., Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One queue: what recursion, theory and measurement say of it. Times in ns."""

    check: Check
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

    @property
    def passed(self) -> bool:
        """Whether the generator measured what was there."""
        return self.error_p50_ns <= ERROR_P50_MAX_NS and self.error_p99_ns <= ERROR_P99_MAX_NS


async def calibrate(
    check: Check, *, seconds: float, seed: int = 1, loop: Loop = loops.open_loop
) -> Outcome:
    """Offer seeded arrivals to a queue with seeded services, and hold each response against it."""
    clock = time.monotonic_ns
    load = OpenLoop(check.rate_per_s, "poisson", IN_FLIGHT_MAX)
    intended = schedule(load, round(check.rate_per_s * seconds), f"calibrate/{seed}")
    services = NS_A_SECOND * draw(check.service, check.mean_service_s, len(intended), [seed, 7])
    leaving = departures(intended.astype(float), services, check.servers)
    kept = _Kept()
    rows = SampleRows(kept)
    store = SyntheticStore(pacer_named("auto", clock), clock)
    clients = _clients(store, rows, clock)
    start_ns = clock() + _LEAD_NS
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
    finally:
        pacer.close()
        await store.aclose()
        rows.close()
    return _compared(check, kept.columns(), intended, leaving, services, pacer.name)


def _clients(store: SyntheticStore, rows: SampleRows, clock: Callable[[], int]) -> list[Client]:
    factory = EventFactory(_SHAPE, "calibrate")
    names = stream_names(_STREAMS)
    around = Surroundings(
        store=store,
        workload=_Appending(),
        factory=factory,
        choose=chooser(_STREAMS, names),
        appends=AppendLog(Rows(APPEND_COLUMNS, None), base=factory.base, streams=names),
        clock=clock,
        seed="calibrate",
    )
    return [Client(number, around, rows) for number in range(IN_FLIGHT_MAX)]


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
    check: Check,
    found: dict[str, NDArray[np.int64]],
    intended: NDArray[np.int64],
    leaving: NDArray[np.float64],
    services: NDArray[np.float64],
    pacer: str,
) -> Outcome:
    order = np.argsort(found["op"])
    measured = (found["done_ns"] - found["intended_ns"])[order]
    expected = leaving - intended
    error = np.abs(measured - expected)
    expected_p50_ns, expected_p99_ns = np.percentile(expected, [50, 99]).tolist()
    measured_p50_ns, measured_p99_ns = np.percentile(measured, [50, 99]).tolist()
    error_p50_ns, error_p99_ns = np.percentile(error, [50, 99]).tolist()
    return Outcome(
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


def _theory_wait_ns(check: Check) -> float | None:
    if check.service == "stall":
        return None
    exponential = check.service == "exponential"
    wait_s = mean_wait(check.load, check.mean_service_s, check.servers, exponential=exponential)
    return None if wait_s is None else wait_s * NS_A_SECOND

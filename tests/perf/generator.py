"""The generator by itself: what recording costs, its ceiling on the null store, flat memory."""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import psutil
import uvloop
from numpy.typing import NDArray
from table import Table

from harness.domain.factory import StoreFactory
from harness.domain.store import Endpoint
from harness.load.calibration import calibrate, queue_checks
from harness.load.column_buffer import SAMPLE_COLUMNS, SampleBuffer
from harness.load.coordinator import Measured, coordinate, inline_workers
from harness.load.trial_files import TrialFiles, read_columns
from harness.load.worker import ALONE
from harness.load.worker_processes import WorkerSpec, worker_processes
from harness.results import TableWriter
from harness.run.trial_metrics import trial_metrics
from harness.run.trial_samples import TrialSamples
from harness.scenario.model import (
    ClosedLoop,
    EventShape,
    OpenLoop,
    Streams,
    Trial,
)
from harness.scenario.names import StoreRef
from harness.stores.null import STORE as NULL
from harness.workloads.append import WORKLOAD as APPEND

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


def recording(table: Table) -> None:
    """ns a column value, into preallocated buffers that are spilled to Parquet."""
    costs = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            rows = SampleBuffer(TableWriter(Path(folder) / "rows.parquet", SAMPLE_COLUMNS))
            add, clock, count = rows.add_operation, time.perf_counter_ns, 300_000
            started_ns = clock()
            for op in range(count):
                add(
                    op, 1, started_ns, started_ns, started_ns, started_ns, 0, 1, 1, 7, op, 1, -1, op
                )
            costs.append((clock() - started_ns) / count / len(SAMPLE_COLUMNS))
            rows.close()
    table.add("recording, a column value", "≤ 100 ns", costs, " ns")


def null_store(table: Table) -> None:
    """Operations a second on the null store with full recording, closed, 16 workers."""
    rates = [_null_rate(TRIAL)[0] for _ in range(5)]
    table.add("null store, 16 workers, one process, a second", "≥ 400,000", rates)


def processes(table: Table) -> None:
    """Two worker processes against one on the null store, interleaved."""
    ratios = [_shared_rate(2) / _shared_rate(1) for _ in range(3)]
    table.add("null store, two processes ÷ one", "≥ 1.8", ratios, " ×")


def open_loop(table: Table) -> None:
    """How late operations are dispatched, and whether a high rate is held."""
    found = [_dispatched(5_000, 5.0) for _ in range(3)]
    for name, goal, percentile in (("p50", "≤ 60 µs", 50), ("p99", "≤ 300 µs", 99)):
        late = [float(np.percentile(each, percentile)) / 1e3 for each in found]
        table.add(f"open loop at 5,000/s, lateness {name}", goal, late, " µs")
    (drifting,) = [_dispatched(5_000, 60.0)]
    tenth = len(drifting) // 10
    drift = np.median(drifting[-tenth:]) - np.median(drifting[:tenth])
    table.add("lateness after 60 s less that at the beginning", "0", [float(drift) / 1e3], " µs")
    held = [float(np.median(_dispatched(40_000, 5.0)[-20_000:])) / 1e3 for _ in range(3)]
    table.add("open loop at 40,000/s, lateness at the end, p50", "held", held, " µs")


def summary(table: Table) -> None:
    """The row of a trial of ten million operations, from its files."""
    trial = replace(TRIAL, duration_s=None, operations=10_000_000)
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        files = _files(Path(folder))
        measured = runner.run(_measured(trial, files))
        times = []
        for _ in range(3):
            started = time.perf_counter()
            samples = TrialSamples.read(trial.load, measured.window, files)
            trial_metrics(trial.load, measured, samples, files)
            del samples
            times.append(time.perf_counter() - started)
    table.add("summary of a 10-million-operation trial", "≤ 0.5 s", times, " s")
    table.add("peak memory of the process", "≤ 250 MiB", [_peak_mib()], " MiB")


def calibration(table: Table) -> None:
    """Queues that are measured within the bounds, and misses that no wait for a core explains."""
    found = [asyncio.run(calibrate(check, seconds=5.0)) for check in queue_checks()]
    passed = sum(each.passed for each in found)
    table.add(f"queues measured within the bounds, of {len(found)}", str(len(found)), [passed])
    missed = sum(not each.passed and not each.excused for each in found)
    table.add("misses although the generator had a core", "0", [missed])


def memory(table: Table) -> None:
    """Growth of the process over a run of ten million operations, from its first tenth on."""
    trial = replace(TRIAL, duration_s=None, operations=10_000_000)
    seen = _null_rate(trial, watch=True)[1]
    settled = seen[max(1, len(seen) // 10) :]
    table.add("resident memory in a 10-million-operation run", "flat", settled, " MiB")


def _null_rate(trial: Trial, *, watch: bool = False) -> tuple[float, list[float]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_run_null(trial, Path(folder), watch=watch))


async def _run_null(trial: Trial, folder: Path, *, watch: bool) -> tuple[float, list[float]]:
    store = await NULL.variants[""].connect(Endpoint(), NULL.options())
    files = _files(folder)
    workload, sinks = APPEND.make(trial.parameters), files.sinks(deliveries=False)
    seen: list[float] = []
    process = psutil.Process()
    watcher = (lambda _: seen.append(process.memory_info().rss / 2**20)) if watch else None
    async with inline_workers(trial, store, workload, sinks, watcher) as workers:
        measured = await coordinate(workers, trial)
    window = measured.window
    return window.scheduled / (window.ended_ns - window.started_ns) * 1e9, seen


def _files(folder: Path) -> TrialFiles:
    return TrialFiles(*(folder / name for name in ("samples", "appends", "none")))


async def _measured(trial: Trial, files: TrialFiles) -> Measured:
    store = await NULL.variants[""].connect(Endpoint(), NULL.options())
    workload, sinks = APPEND.make(trial.parameters), files.sinks(deliveries=False)
    async with inline_workers(trial, store, workload, sinks) as workers:
        return await coordinate(workers, trial)


def _dispatched(rate_per_s: float, seconds: float) -> NDArray[np.int64]:
    """Dispatch delays in ns, in the order of the operations."""
    trial = replace(
        TRIAL,
        load=OpenLoop(rate_per_s=rate_per_s, arrivals="uniform", in_flight_max=64),
        duration_s=seconds,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        files = _files(Path(folder))
        runner.run(_measured(trial, files))
        found = read_columns(files.samples, ("op", "intended_ns", "dispatched_ns"))
    order = np.argsort(found["op"])
    late = (found["dispatched_ns"] - found["intended_ns"])[order]
    return late[found["op"][order] >= 0]


def _shared_rate(count: int) -> float:
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_run_shared(count, Path(folder)))


async def _run_shared(count: int, folder: Path) -> float:
    files = _files(folder)
    spec = WorkerSpec(
        trial=TRIAL,
        how=StoreFactory(NULL.variants[""], Endpoint(), NULL.options()),
        kind=APPEND,
        files=files,
        shard=ALONE,
        watched=False,
        errors=folder / "worker.log",
        loop=uvloop.Loop,
    )
    async with worker_processes(spec, count, files, None) as workers:
        window = (await coordinate(workers, TRIAL)).window
    return window.scheduled / (window.ended_ns - window.started_ns) * 1e9


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

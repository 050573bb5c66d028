"""The generator by itself: what recording costs, its ceiling on the null store, flat memory."""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import lab
import numpy as np
import psutil
import uvloop
from numpy.typing import NDArray
from table import Table

from harness.domain.factory import StoreFactory
from harness.domain.store import Endpoint
from harness.load.calibration import calibrate, queue_checks
from harness.load.column_buffer import SAMPLE_COLUMNS, SampleBuffer
from harness.load.coordinator import Measured, coordinate
from harness.load.trial_files import TrialFiles, read_columns
from harness.load.worker import ALONE
from harness.load.worker_processes import WorkerSpec, worker_processes
from harness.results import TableWriter
from harness.run.trial_metrics import trial_metrics
from harness.run.trial_samples import TrialSamples
from harness.scenario.model import OpenLoop, Trial
from harness.stores.null import STORE as NULL
from harness.workloads.append import WORKLOAD as APPEND


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
    rates = [_null_rate(lab.TRIAL)[0] for _ in range(5)]
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
    trial = replace(lab.TRIAL, duration_s=None, operations=10_000_000)
    with tempfile.TemporaryDirectory() as folder:
        files = lab.files_in(Path(folder))
        measured = _measured(trial, files)
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
    trial = replace(lab.TRIAL, duration_s=None, operations=10_000_000)
    seen = _null_rate(trial, watch=True)[1]
    settled = seen[max(1, len(seen) // 10) :]
    table.add("resident memory in a 10-million-operation run", "flat", settled, " MiB")


def _null_rate(trial: Trial, *, watch: bool = False) -> tuple[float, list[float]]:
    seen: list[float] = []
    process = psutil.Process()
    watcher = (lambda _: seen.append(process.memory_info().rss / 2**20)) if watch else None

    async def ran() -> lab.Ran:
        async with lab.opened(NULL, Endpoint()) as store:
            return await lab.run(trial, store, watcher)

    return uvloop.run(ran()).per_s, seen


def _measured(trial: Trial, files: TrialFiles) -> Measured:
    async def measured() -> Measured:
        async with lab.opened(NULL, Endpoint()) as store:
            return await lab.offered(trial, store, files)

    return uvloop.run(measured())


def _dispatched(rate_per_s: float, seconds: float) -> NDArray[np.int64]:
    """Dispatch delays in ns, in the order of the operations."""
    trial = replace(
        lab.TRIAL,
        load=OpenLoop(rate_per_s=rate_per_s, arrivals="uniform", in_flight_max=64),
        duration_s=seconds,
    )
    with tempfile.TemporaryDirectory() as folder:
        files = lab.files_in(Path(folder))
        _measured(trial, files)
        found = read_columns(files.samples, ("op", "intended_ns", "dispatched_ns"))
    order = np.argsort(found["op"])
    late = (found["dispatched_ns"] - found["intended_ns"])[order]
    return late[found["op"][order] >= 0]


def _shared_rate(count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return uvloop.run(_run_shared(count, Path(folder)))


async def _run_shared(count: int, folder: Path) -> float:
    files = lab.files_in(folder)
    spec = WorkerSpec(
        trial=lab.TRIAL,
        how=StoreFactory(NULL.variants[""], Endpoint(), NULL.options()),
        kind=APPEND,
        files=files,
        shard=ALONE,
        watched=False,
        errors=folder / "worker.log",
        loop=uvloop.Loop,
    )
    async with worker_processes(spec, count, files, None) as workers:
        window = (await coordinate(workers, lab.TRIAL)).window
    return window.scheduled / (window.ended_ns - window.started_ns) * 1e9


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

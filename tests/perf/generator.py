"""The generator by itself: what recording costs, its ceiling on the null store, flat memory."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import psutil
import uvloop
from table import Table

from harness.generator.conducting import conduct
from harness.generator.files import TrialFiles
from harness.generator.here import working_here
from harness.generator.samples import SAMPLE_COLUMNS, SampleRows
from harness.results import TableWriter
from harness.scenario.naming import StoreRef
from harness.scenario.types import (
    ClosedLoop,
    DataSize,
    EventShape,
    StreamChoice,
    Streams,
    Trial,
    Verify,
)
from harness.store import Endpoint
from harness.stores.null import STORE as NULL
from harness.workloads.append import WORKLOAD as APPEND

TRIAL = Trial(
    number=1,
    scenario="perf",
    store=StoreRef("null"),
    workload="append",
    parameters=APPEND.parameters(),
    load=ClosedLoop(16),
    processes=1,
    events=EventShape(
        MappingProxyType({"OrderPlaced": 3.0, "OrderPaid": 1.0}),
        DataSize("fixed", 256, 0.0, 256, 256),
        "json",
    ),
    streams=Streams(1000, "order", StreamChoice("uniform"), 0, "warm"),
    verify=Verify(enabled=False, streams_max=0),
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
            rows = SampleRows(TableWriter(Path(folder) / "rows.parquet", SAMPLE_COLUMNS))
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
    table.add("null store, 16 workers, one process, a second", "≥ 300,000", rates)


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
    files = TrialFiles(*(folder / name for name in ("samples", "appends", "none")))
    workload, sinks = APPEND.make(trial.parameters), files.sinks(deliveries=False)
    seen: list[float] = []
    process = psutil.Process()
    watcher = (lambda _: seen.append(process.memory_info().rss / 2**20)) if watch else None
    async with working_here(trial, store, workload, sinks, watcher) as crew:
        measured = await conduct(crew, trial)
    window = measured.window
    return window.scheduled / (window.ended_ns - window.started_ns) * 1e9, seen

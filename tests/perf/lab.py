"""One trial of the lab's own generator against an open store, without a run folder round it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from harness.costs import GENERATOR_CPU_S
from harness.generator.journal import APPEND_COLUMNS
from harness.generator.samples import SAMPLE_COLUMNS
from harness.generator.worker import Sinks, Worker
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
from harness.store import EventStore
from harness.workloads.append import WORKLOAD as APPEND

TRIAL = Trial(
    number=1,
    scenario="perf",
    store=StoreRef("null"),
    workload="append",
    parameters=APPEND.parameters(),
    load=ClosedLoop(16),
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


@dataclass(frozen=True)
class Ran:
    """What one trial came to."""

    per_s: float
    client_cpu_us: float
    """An operation."""


async def run(
    trial: Trial, store: EventStore, watcher: Callable[[object], None] | None = None
) -> Ran:
    """Offer the trial's load with full recording, into files that are thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        sinks = Sinks(
            TableWriter(Path(folder) / "samples.parquet", SAMPLE_COLUMNS),
            TableWriter(Path(folder) / "appends.parquet", APPEND_COLUMNS),
            None,
        )
        worker = Worker(trial, store, APPEND.make(trial.parameters), sinks)
        measured = await worker.measure(watcher)
        worker.close()
    window = measured.window
    return Ran(
        window.scheduled / (window.ended_ns - window.started_ns) * 1e9,
        measured.bill.used(GENERATOR_CPU_S) / window.scheduled * 1e6,
    )

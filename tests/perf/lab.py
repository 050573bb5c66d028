"""One trial of the lab's own generator against an open store, without a run folder round it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from harness.domain.costs import GENERATOR_CPU_S
from harness.domain.store import EventStore
from harness.domain.workload import WorkloadKind
from harness.load.coordinator import coordinate, inline_workers
from harness.load.trial_files import TrialFiles
from harness.scenario.model import (
    ClosedLoop,
    EventShape,
    Streams,
    Trial,
)
from harness.scenario.names import StoreRef
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


@dataclass(frozen=True)
class Ran:
    """What one trial came to."""

    per_s: float
    client_cpu_us: float
    """An operation."""


async def run(
    trial: Trial,
    store: EventStore,
    watcher: Callable[[object], None] | None = None,
    kind: WorkloadKind = APPEND,
) -> Ran:
    """Offer the trial's load with full recording, into files that are thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        files = TrialFiles(*(Path(folder) / name for name in ("samples", "appends", "none")))
        workload, sinks = kind.make(trial.parameters), files.sinks(deliveries=False)
        async with inline_workers(trial, store, workload, sinks, watcher) as workers:
            measured = await coordinate(workers, trial)
    window = measured.window
    return Ran(
        window.scheduled / (window.ended_ns - window.started_ns) * 1e9,
        measured.usage.used(GENERATOR_CPU_S) / window.scheduled * 1e6,
    )

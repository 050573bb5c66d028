"""The generator's own ceiling: a run's load offered to the null store, before anything else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.catalogue import Catalogue
from harness.generator.conducting import conduct
from harness.generator.files import TrialFiles
from harness.generator.here import working_here
from harness.generator.pacing import NS_A_SECOND
from harness.scenario.types import ClosedLoop, Trial
from harness.store import Endpoint

SECONDS = 0.5
WORKERS_MAX = 64


async def ceiling_per_s(trial: Trial, catalogue: Catalogue, scratch: Path) -> float:
    """Appends a second that the generator offers and records with no server behind them.

    With the trial's clients and events, in a closed loop: what no store can be measured beyond.
    """
    null, append = catalogue.stores["null"], catalogue.workloads["append"]
    store = await null.variants[""].connect(Endpoint(), null.options())
    load = trial.load
    clients = load.workers if isinstance(load, ClosedLoop) else min(load.in_flight_max, WORKERS_MAX)
    parameters = append.parameters()
    offered = replace(
        trial,
        workload=append.name,
        parameters=parameters,
        load=ClosedLoop(clients),
        warm_up_s=SECONDS / 5,
        duration_s=SECONDS,
        operations=None,
    )
    folder = scratch / "ceiling"
    files = TrialFiles(*(folder / f"{name}.parquet" for name in ("samples", "appends", "none")))
    sinks = files.sinks(deliveries=False)
    workload = append.make(parameters)
    try:
        async with working_here(offered, store, workload, sinks) as crew:
            window = (await conduct(crew, offered)).window
    finally:
        await store.aclose()
    return window.scheduled / (window.ended_ns - window.started_ns) * NS_A_SECOND

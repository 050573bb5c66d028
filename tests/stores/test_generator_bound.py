"""Was it the store or the generator? A client that burns its core is told from a slow store."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from harness.domain.flags import FlagCode, listed
from harness.domain.store import AppendResult
from harness.domain.workload import Catalogue, WorkloadKind
from harness.run.benchmark import Request, run
from harness.scenario import load
from harness.stores import kinds
from harness.stores.postgres.store import StreamLock
from harness.workloads import kinds as workloads
from harness.workloads.append import WORKLOAD as APPEND
from harness.workloads.append import AppendAny

SCENARIO = """
name: bound
stores: [postgres]
workload: append
load: {closed: {workers: 4}}
warm_up_s: 0.3
duration_s: 1.5
"""
QUIET = SimpleNamespace(
    note=lambda _: None, began=lambda _: None, ticked=lambda *_: None, ended=lambda *_: None
)


class BusyClient(AppendAny):
    """Thinks with its processor for two milliseconds before each append."""

    async def run(self, store, cycle, rng) -> None:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        await super().run(store, cycle, rng)


class SlowStore(StreamLock):
    """Takes twenty milliseconds longer over each append, as a distant server would."""

    async def append(self, stream, events, *, expected) -> AppendResult:
        await asyncio.sleep(0.02)
        return await super().append(stream, events, expected=expected)


async def flags_of(tmp_path: Path, *, workload: WorkloadKind = APPEND, store=StreamLock) -> list:
    postgres = kinds()["postgres"]
    stores = {**kinds(), "postgres": replace(postgres, variants={"": store})}
    catalogue = Catalogue(stores, {**workloads(), "append": workload})
    path = tmp_path / "bound.yaml"
    path.write_text(SCENARIO)
    request = Request(load(path, catalogue), catalogue, tmp_path / "results")
    (result,) = (await run(request, QUIET)).results
    assert result.status == "done", result.message
    return [flag.code for flag in listed(result.flags)]


async def test_a_busy_loop_in_the_client_is_flagged_generator_bound(tmp_path: Path):
    busy = replace(APPEND, make=BusyClient)
    assert FlagCode.GENERATOR_BOUND in await flags_of(tmp_path, workload=busy)


async def test_a_slow_store_is_not(tmp_path: Path):
    assert FlagCode.GENERATOR_BOUND not in await flags_of(tmp_path, store=SlowStore)

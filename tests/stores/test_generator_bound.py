"""Was it the store or the generator? What a client uses is counted; a slow store is not its fault.

Which share of a core is too much is asked of rows made by hand, in `test_validity`: here other
tests may take the core.
"""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from harness.domain.flags import FlagCode, listed
from harness.domain.store import AppendResult
from harness.domain.workload import Catalogue, WorkloadKind
from harness.run.benchmark import Request, run
from harness.run.trial_result import TrialResult
from harness.run.validity import BUSY_SHARE
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


BUSY_S = 0.002


class BusyClient(AppendAny):
    """Thinks before each append, for that much of its processor's time."""

    async def run(self, store, cycle, rng) -> None:
        until = time.process_time() + BUSY_S
        while time.process_time() < until:
            pass
        await super().run(store, cycle, rng)


class SlowStore(StreamLock):
    """Takes twenty milliseconds longer over each append, as a distant server would."""

    async def append(self, stream, events, *, expected) -> AppendResult:
        await asyncio.sleep(0.02)
        return await super().append(stream, events, expected=expected)


async def result_of(
    tmp_path: Path, *, workload: WorkloadKind = APPEND, store=StreamLock
) -> TrialResult:
    postgres = kinds()["postgres"]
    stores = {**kinds(), "postgres": replace(postgres, variants={"": store})}
    catalogue = Catalogue(stores, {**workloads(), "append": workload})
    path = tmp_path / "bound.yaml"
    path.write_text(SCENARIO)
    request = Request(load(path, catalogue), catalogue, tmp_path / "results")
    (result,) = (await run(request, QUIET)).results
    assert result.status == "done", result.message
    return result


def is_bound(result: TrialResult) -> bool:
    return FlagCode.GENERATOR_BOUND in [flag.code for flag in listed(result.flags)]


async def test_all_that_a_busy_client_uses_is_counted_and_flagged_where_it_had_its_core(tmp_path):
    result = await result_of(tmp_path, workload=replace(APPEND, make=BusyClient))
    row = result.as_row()
    used_s = row["busiest_worker_cpu_s"]
    assert used_s > 0.9 * BUSY_S * row["scheduled"]
    assert is_bound(result) or used_s <= BUSY_SHARE * row["measured_s"]


async def test_a_slow_store_is_not_flagged(tmp_path: Path):
    assert not is_bound(await result_of(tmp_path, store=SlowStore))

"""A real server that stands still for a second in mid-trial: nothing of it may be hidden."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from harness.analysis.summary import unranked_reasons
from harness.domain.factory import StoreFactory
from harness.domain.flags import FlagCode
from harness.domain.workload import Catalogue
from harness.results import RunFolder
from harness.run import validity
from harness.run.trial import TrialRun
from harness.run.trial_metrics import interval_rows, trial_metrics
from harness.run.trial_result import violation_counts
from harness.run.trial_samples import TrialSamples
from harness.scenario.model import (
    ClosedLoop,
    EventShape,
    Load,
    OpenLoop,
    Streams,
    Trial,
    Verify,
)
from harness.scenario.names import StoreRef
from harness.servers import Server
from harness.stores import kinds
from harness.workloads import kinds as workloads

from .subject import fresh

S = 1_000_000_000
STALL_S = 1.0
RATE_PER_S, IN_FLIGHT_MAX = 400, 32
POSTGRES = kinds()["postgres"]
OPEN = OpenLoop(rate_per_s=RATE_PER_S, arrivals="uniform", in_flight_max=IN_FLIGHT_MAX)


@dataclass
class Stall:
    """Stops the server's process tree a second into the measurement, from a thread of its own."""

    server: Server
    length_s: float
    stopped_ns: int = 0
    resumed_ns: int = 0
    thread: threading.Thread | None = None

    def watch(self, snapshot) -> None:
        if self.thread is None and snapshot.elapsed_s >= 0.9:
            self.thread = threading.Thread(target=self._stall)
            self.thread.start()

    def _stall(self) -> None:
        asyncio.run(self.server.pause())
        self.stopped_ns = time.monotonic_ns()
        time.sleep(self.length_s)
        self.resumed_ns = time.monotonic_ns()
        asyncio.run(self.server.resume())


def trial_under(load: Load) -> Trial:
    append = workloads()["append"]
    return Trial(
        number=1, scenario="stall", store=StoreRef("postgres"),
        workload="append", parameters=append.parameters(), load=load,
        events=EventShape(types={"Placed": 1}),
        streams=Streams(count=100),
        verify=Verify(streams_max=100), conformance=False, server_settings={}, point={},
        processes=1, added_rtt_ms=0.0, warm_up_s=0.5,
        duration_s=4.0, operations=None, drain_s=5.0, repetition=1, seed="1/1",
    )  # fmt: skip


async def stalled(server: Server, load: Load, out: Path, length_s: float = STALL_S):
    """The trial's row, its seconds, its measured operations, and when the server stood still."""
    stall = Stall(server, length_s)
    trial = trial_under(load)
    trial_run = TrialRun(
        trial=trial,
        how=StoreFactory(POSTGRES.variants[""], fresh(server.endpoint), POSTGRES.options()),
        catalogue=Catalogue(kinds(), workloads()),
        folder=RunFolder.create(out, "stall"),
        server=server,
        watcher=stall.watch,
    )
    facts = await trial_run.run()
    stall.thread.join()
    assert facts.status == "done", facts.message
    samples = TrialSamples.read(load, facts.measured.window, trial_run.files)
    metrics = trial_metrics(load, facts.measured, samples, trial_run.files)
    counts = violation_counts(facts)
    row = {"status": facts.status, "verified": facts.verified} | asdict(counts) | metrics.as_row()
    seconds = list(interval_rows(trial, samples, facts.looks))
    table = pq.read_table(trial_run.files.samples).to_pandas()
    return row, seconds, table[table["op"] >= 0], stall


@pytest.fixture
def native(postgres_server: Server) -> Server:
    if not postgres_server.controllable:
        pytest.skip("an external server is not the suite's to stop")
    return postgres_server


async def test_an_open_load_shows_a_stalled_second_in_full(native: Server, tmp_path: Path):
    row, _, operations, stall = await stalled(native, OPEN, tmp_path)
    assert row["balanced"]
    assert validity.is_valid(row)
    assert row["ok"] == row["scheduled"] == 4 * RATE_PER_S, "no stretch is missing"
    due = operations["intended_ns"]
    meanwhile = operations[(due > stall.stopped_ns) & (due < stall.resumed_ns)]
    assert len(meanwhile) == pytest.approx(STALL_S * RATE_PER_S, rel=0.1)
    assert (meanwhile["done_ns"] >= stall.resumed_ns).all()
    waited_ns = stall.resumed_ns - stall.stopped_ns
    assert row["response_max_ns"] > 0.95 * waited_ns
    # A quarter of the operations were due in the stall, and waited for half of it on average.
    assert row["response_p90_ns"] > 0.45 * waited_ns
    assert row["service_p90_ns"] < 0.1 * row["response_p90_ns"], "service time alone hides it"


async def test_the_seconds_show_a_stall_and_none_is_missing(native: Server, tmp_path: Path):
    row, seconds, _, _ = await stalled(native, OPEN, tmp_path)
    assert [second["second"] for second in seconds] == list(range(len(seconds)))
    assert sum(second["ok"] for second in seconds) == row["ok"]
    assert min(second["ok"] for second in seconds) < 0.4 * RATE_PER_S
    assert max(second["in_flight"] for second in seconds) >= IN_FLIGHT_MAX
    assert max(second["service_max_ns"] or 0 for second in seconds) > 0.9 * STALL_S * S
    assert row["steady"] is False


async def test_a_closed_load_tells_service_times_alone(native: Server, tmp_path: Path):
    """Eight clients waited: eight slow operations among thousands, so no percentile shows them."""
    row, seconds, operations, _ = await stalled(native, ClosedLoop(workers=8), tmp_path)
    assert row["balanced"]
    assert not [name for name in row if name.startswith("response_")]
    slow = operations["done_ns"] - operations["sent_ns"] > 0.9 * STALL_S * S
    assert slow.sum() == 8
    assert row["service_max_ns"] > 0.9 * STALL_S * S
    assert row["service_p90_ns"] < 0.1 * S
    typical = np.median([second["ok"] for second in seconds])
    assert min(second["ok"] for second in seconds) < 0.6 * typical


async def test_two_seconds_without_a_server_are_counted_flagged_and_not_ranked(
    native: Server, tmp_path: Path
):
    row, _, _, stall = await stalled(native, ClosedLoop(workers=8), tmp_path, length_s=2.0)
    silent_s = (stall.resumed_ns - stall.stopped_ns) / S
    assert 0.9 * silent_s < row["without_service_s"] < silent_s + 0.5
    assert not row["server_restarted"]
    assert FlagCode.WITHOUT_SERVICE in {
        flag.code for flag in validity.flags(trial_under(OPEN), row | {"provider": "native"}, 1e9)
    }
    cells = {"valid": True, "message": "", "first_violation": ""}
    (reason,) = unranked_reasons(pd.DataFrame([row | cells]))
    assert "without service" in reason

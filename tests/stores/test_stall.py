"""A real server that stands still for a second in mid-trial: nothing of it may be hidden."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness.catalogue import Catalogue
from harness.results import RunFolder
from harness.runner import intervals, rows, verdicts
from harness.runner.opening import Opening
from harness.runner.trial import TrialRun
from harness.scenario.naming import StoreRef
from harness.scenario.types import (
    ClosedLoop,
    DataSize,
    EventShape,
    Load,
    OpenLoop,
    StreamChoice,
    Streams,
    Trial,
    Verify,
)
from harness.servers import Server
from harness.stores import kinds
from harness.workloads import kinds as workloads

from .subject import fresh

S = 1_000_000_000
STALL_S = 1.0
RATE_PER_S, IN_FLIGHT_MAX = 400, 32
POSTGRES = kinds()["postgres"]
OPEN = OpenLoop(RATE_PER_S, "uniform", IN_FLIGHT_MAX)


@dataclass
class Stall:
    """Stops the server's process tree a second into the measurement, from a thread of its own."""

    server: Server
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
        time.sleep(STALL_S)
        self.resumed_ns = time.monotonic_ns()
        asyncio.run(self.server.resume())


def trial_under(load: Load) -> Trial:
    append = workloads()["append"]
    return Trial(
        number=1, scenario="stall", store=StoreRef("postgres"),
        workload="append", parameters=append.parameters(), load=load,
        events=EventShape({"Placed": 1}, DataSize("fixed", 256, 0, 256, 256), "json"),
        streams=Streams(100, "order", StreamChoice("uniform"), 0, "warm"),
        verify=Verify(enabled=True, streams_max=100), server_settings={}, point={}, warm_up_s=0.5,
        processes=1, added_rtt_ms=0.0,
        duration_s=4.0, operations=None, drain_s=5.0, repetition=1, seed="1/1",
    )  # fmt: skip


async def stalled(server: Server, load: Load, out: Path):
    """The trial's row, its seconds, its measured operations, and when the server stood still."""
    stall = Stall(server)
    trial = trial_under(load)
    trial_run = TrialRun(
        trial=trial,
        how=Opening(POSTGRES.variants[""], fresh(server.endpoint), POSTGRES.options()),
        catalogue=Catalogue(kinds(), workloads()),
        folder=RunFolder.create(out, "stall"),
        server=server,
        watcher=stall.watch,
    )
    finding = await trial_run.run()
    stall.thread.join()
    assert finding.status == "done", finding.message
    row = rows.verdict(finding) | rows.measurement(trial, finding.measured, trial_run.files)
    window = finding.measured.window
    seconds = list(intervals.rows(trial, window, trial_run.files, finding.looks))
    samples = pq.read_table(trial_run.files.samples).to_pandas()
    return row, seconds, samples[samples["op"] >= 0], stall


@pytest.fixture
def native(postgres_server: Server) -> Server:
    if not postgres_server.controllable:
        pytest.skip("an external server is not the suite's to stop")
    return postgres_server


async def test_an_open_load_shows_a_stalled_second_in_full(native: Server, tmp_path: Path):
    row, _, operations, stall = await stalled(native, OPEN, tmp_path)
    assert row["balanced"]
    assert verdicts.is_valid(row)
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
    row, seconds, operations, _ = await stalled(native, ClosedLoop(8), tmp_path)
    assert row["balanced"]
    assert not [name for name in row if name.startswith("response_")]
    slow = operations["done_ns"] - operations["sent_ns"] > 0.9 * STALL_S * S
    assert slow.sum() == 8
    assert row["service_max_ns"] > 0.9 * STALL_S * S
    assert row["service_p90_ns"] < 0.1 * S
    typical = np.median([second["ok"] for second in seconds])
    assert min(second["ok"] for second in seconds) < 0.6 * typical

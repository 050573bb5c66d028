"""The machine as plain facts: limits, neighbours, the disk, and how late its pacers are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.cli.doctor import machine_lines
from harness.load.pacing import measure_lateness
from harness.run import environment
from harness.run.environment import (
    NeighboursMark,
    cpu_limit_cores,
    describe,
    memory_limit_bytes,
    neighbours_since,
    sync_latency,
)


def groups(folder: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    for name, text in files.items():
        path = folder / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (folder / "own").write_text(own)
    return folder / "fs", folder / "own"


def test_the_tightest_group_on_the_way_up_decides(tmp_path):
    files = {
        "lab/memory.max": "1000", "lab/job/memory.max": "max", "lab/cpu.max": "max 100000",
        "lab/job/cpu.max": "150000 100000",
    }  # fmt: skip
    where = groups(tmp_path, "0::/lab/job\n", files)
    assert memory_limit_bytes(*where) == 1000
    assert cpu_limit_cores(*where) == 1.5


def test_version_1_groups_are_understood(tmp_path):
    files = {
        "memory/lab/memory.limit_in_bytes": "9223372036854771712",
        "memory/memory.limit_in_bytes": "4096",
        "cpu,cpuacct/lab/cpu.cfs_quota_us": "50000",
        "cpu,cpuacct/lab/cpu.cfs_period_us": "100000",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1",
    }
    where = groups(tmp_path, "4:memory:/lab\n3:cpu,cpuacct:/lab\n", files)
    assert memory_limit_bytes(*where) == 4096
    assert cpu_limit_cores(*where) == 0.5


def test_no_limit_is_none(tmp_path):
    where = groups(tmp_path, "0::/\n", {"memory.max": "max"})
    assert memory_limit_bytes(*where) is cpu_limit_cores(*where) is None


def test_the_disk_is_measured_and_nothing_is_left_behind(tmp_path):
    found = sync_latency(tmp_path)
    assert found is not None
    assert found.count >= 1
    assert 0 < found.max_ns < 60e9
    assert found.p50_ns is None or found.p50_ns <= found.max_ns
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_cannot_be_written_is_left_out(tmp_path):
    assert sync_latency(tmp_path / "missing") is None
    assert "sync_latency" not in describe(tmp_path / "missing")


def test_pressure_and_steal_are_those_since_the_mark(monkeypatch):
    began = NeighboursMark(0, {"cpu": 1_000_000}, 5.0, 100.0)
    now = NeighboursMark(10_000_000_000, {"cpu": 3_500_000}, 6.0, 120.0)
    monkeypatch.setattr(environment, "neighbours_mark", lambda: now)
    found = neighbours_since(began)
    assert found["pressure"] == {"cpu": 25.0}
    assert found["steal_share"] == 0.05


def test_every_pacer_of_this_system_is_measured_at_every_rate():
    found = asyncio.run(measure_lateness(rates_per_s=(1_000, 5_000), waits=250))
    assert {(one.pacer, one.rate_per_s) for one in found} >= {
        (pacer, rate) for pacer in ("sleep", "spin") for rate in (1_000, 5_000)
    }
    for one in found:
        assert 0 <= one.p50_ns <= one.max_ns
        assert one.p90_ns is None, "250 values have only 25 beyond the 90th percentile"


@pytest.mark.parametrize("facts", [{"memory_bytes": 2**30, "python": "3.11"}])
def test_what_cannot_be_had_is_said_in_words(facts):
    lines = machine_lines(facts)
    assert lines["limits"] == "none by control groups"
    assert lines["neighbours"] == "pressure is unknown"
    assert lines["disk here (unknown)"] == "cannot be written to"

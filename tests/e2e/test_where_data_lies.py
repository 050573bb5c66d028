"""A run records where each store's data lies; memory is the class of what lies in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import results
from harness.domain.durability import Durability
from harness.run.file_systems import Kind, file_system

from .command import eslab, the_run

SHM = Path("/dev/shm")
SCENARIO = """\
name: where
description: Where does the data lie?
stores: [{stores}]
workload: append
load: {{closed: {{workers: 2}}}}
warm_up_s: 0.1
operations: 200
repetitions: 1
require: {{durability: power-loss}}
"""


def run_on(folder: Path, stores: str, **variables: str) -> tuple[str, results.Run]:
    """What the terminal showed, and the run, with its folder in `folder`."""
    (folder / "where.yaml").write_text(SCENARIO.format(stores=stores))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ESLAB_")} | variables
    out = folder / "out"
    told = eslab("run", folder / "where.yaml", "--servers", "native", "--out", out, env=environment)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout, results.load(the_run(out))


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory."""
    found = file_system(SHM)
    if found is None or found.kind is not Kind.MEMORY or not os.access(SHM, os.W_OK):
        pytest.skip("this machine has no /dev/shm in memory")
    with tempfile.TemporaryDirectory(dir=SHM, prefix="eslab-test-") as folder:
        yield Path(folder)


def test_a_file_in_memory_is_of_the_class_memory_whatever_is_synced(memory: Path):
    shown, run = run_on(memory, "sqlite, memory")
    assert set(run.trials["durability"]) == {str(Durability.MEMORY)}
    assert {name: place["kind"] for name, place in run.manifest["places"].items()} == {
        "sqlite": "memory"
    }
    assert run.manifest["places"]["sqlite"]["sync_latency"]["count"] > 0
    assert "! data in memory: sqlite on tmpfs" in shown
    told = eslab("report", the_run(memory / "out"))
    assert told.returncode == 0, told.stderr
    page = (the_run(memory / "out") / "report.html").read_text()
    assert "data in memory: sqlite on tmpfs" in page
    assert "durability: power-loss” (memory, as read back from what ran)" in page


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root's servers change their account: needs root"
)
def test_a_server_that_cannot_enter_the_runs_folder_is_seen_where_it_went(
    memory: Path, tmp_path: Path
):
    if file_system(tmp_path).kind is Kind.MEMORY:
        pytest.skip("the temporary folder of the tests is in memory as well")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    memory.chmod(0o1777)
    shown, run = run_on(closed, "sqlite, postgres", TMPDIR=str(memory))
    if "postgres" in run.manifest["left_out"]:
        pytest.skip(run.manifest["left_out"]["postgres"])
    classes = run.trials.set_index("store")["durability"]
    assert classes["postgres"] == str(Durability.MEMORY)
    assert classes["sqlite"] != str(Durability.MEMORY)
    assert "! data in memory: postgres on tmpfs" in shown
    assert "! data on different disks: sqlite on " in shown
    places = run.manifest["places"]
    assert places["postgres"]["file_system"] == "tmpfs"
    assert places["sqlite"]["file_system"] == file_system(closed).type
    assert list(memory.iterdir()) == []

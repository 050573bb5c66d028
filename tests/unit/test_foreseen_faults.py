"""What a dry run says of faults: what stands in their way, before anything is started."""

from __future__ import annotations

import socket
from pathlib import Path

from harness.cli.shared import catalogue
from harness.domain.faults import FaultKind
from harness.run.faults import IN_PROCESS
from harness.run.foreseen import Hindrance, hindrances
from harness.scenario import load
from harness.servers import lab_disk_hindrance, probe
from tests.e2e.command import eslab

SCENARIO = """\
name: trouble
stores: [memory, postgres]
workload: append
duration_s: 9
faults:
  - {at_s: 1, kill: server, back_after_s: 1}
  - {at_s: 3, cut: network, for_s: 1}
  - {at_s: 5, fill: disk, for_s: 1}
"""


def planned(tmp_path: Path, way: str) -> list[Hindrance]:
    path = tmp_path / "trouble.yaml"
    path.write_text(SCENARIO)
    return hindrances(load(path, catalogue()), catalogue(), way)


def test_a_store_without_a_server_reaches_no_fault(tmp_path: Path):
    kinds = (FaultKind.KILL_SERVER, FaultKind.CUT_NETWORK, FaultKind.FILL_DISK)
    assert planned(tmp_path, "native")[0] == Hindrance("memory", kinds, IN_PROCESS)


def test_a_native_server_lacks_at_most_a_disk(tmp_path: Path):
    found = [each for each in planned(tmp_path, "native") if each.key == "postgres"]
    if not probe("postgres", "native").ready:
        assert {each.why_not for each in found} == {"there is no server"}
    elif reason := lab_disk_hindrance():
        assert found == [Hindrance("postgres", (FaultKind.FILL_DISK,), reason)]
    else:
        assert found == []


def test_a_server_of_the_users_own_is_never_hurt(tmp_path: Path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setenv("ESLAB_POSTGRES_DSN", f"postgresql://u@127.0.0.1:{port}/x")
        found = planned(tmp_path, "external")
    hurt = [each for each in found if each.key == "postgres"]
    kinds = {kind for each in hurt for kind in each.kinds}
    assert kinds == {FaultKind.KILL_SERVER, FaultKind.FILL_DISK}


def test_a_dry_run_lists_the_faults_and_what_is_not_reached(tmp_path: Path):
    path = tmp_path / "trouble.yaml"
    path.write_text(SCENARIO)
    told = eslab("run", path, "--dry-run", "--stores", "memory").stdout
    assert "kill server at 1 s for 1 s" in told
    assert f"not reached on memory: kill server, cut network, fill disk: {IN_PROCESS}" in told

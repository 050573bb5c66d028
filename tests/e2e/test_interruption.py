"""What ends a command early, on real servers: finished trials stay, and nothing else does."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from harness import results
from harness.servers.native import left_behind

from .command import AT_LEISURE, ESLAB, ROOT, the_run


def started(out, stores, *arguments, command="run"):
    """The running lab with its first trial on disk and its second in progress."""
    process = subprocess.Popen(
        [*ESLAB, command, "scenarios/quick.yaml", "--stores", stores, "--repeat", "6",
         "--set", "duration_s=1.5", "--set", "warm_up_s=0.1", *AT_LEISURE, *arguments,
         "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    for line in process.stdout:
        if "verified" in line:
            break
    time.sleep(0.7)
    return process


def servers_of(process):
    family = psutil.Process(process.pid).children(recursive=True)
    return [each for each in family if "postgres" in each.name()]


def ended(process):
    said, _ = process.communicate(timeout=60)
    assert "Traceback" not in said
    return process.returncode


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_signals_end_a_run_as_ctrl_c_does(tmp_path, number, code):
    process = started(tmp_path, "sqlite")
    process.send_signal(number)
    assert ended(process) == code
    run = results.load(the_run(tmp_path))
    assert run.manifest["status"] == "aborted"
    assert list(run.trials["status"]) == ["done", "aborted"]
    assert not list(tmp_path.glob(".*"))


def test_ctrl_c_wins_over_the_errors_of_a_server_that_is_gone(tmp_path):
    process = started(tmp_path, "postgres")
    for server in servers_of(process):
        server.kill()
    process.send_signal(signal.SIGINT)
    assert ended(process) == 130
    run = results.load(the_run(tmp_path))
    assert run.manifest["status"] == "aborted"
    assert len(run.trials) <= 3, "the rest of six is not run"


def test_a_second_ctrl_c_ends_a_run_whose_server_hangs_and_nothing_is_left(tmp_path):
    process = started(tmp_path, "postgres", "--set", "load.processes=2")
    family = psutil.Process(process.pid).children(recursive=True)
    for server in servers_of(process):
        server.suspend()
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert ended(process) == 130
    assert results.load(the_run(tmp_path)).manifest["status"] == "aborted"
    assert not psutil.wait_procs(family, timeout=20)[1]
    assert not list(tmp_path.glob(".*"))


KILLED = """
import os, signal, subprocess, sys
from pathlib import Path
from harness.servers.native.guard import Guard
guard = Guard([Path(sys.argv[1])])
server = subprocess.Popen(["sleep", "300"], start_new_session=True, stdout=subprocess.DEVNULL)
guard.watch(server.pid, signal.SIGTERM)
print(server.pid, guard._process.pid, flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_down_clears_what_a_killed_lab_and_its_killed_guardian_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "folder"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as lab:  # fmt: skip
        server, guardian = map(psutil.Process, map(int, lab.stdout.readline().split()))
        (record,) = waited_for(tmp_path, str(server.pid))
        assert left_behind.clear() == [], "the lab and its guardian still live"
        guardian.kill()
        guardian.wait(10) if guardian.ppid() == os.getpid() else time.sleep(0.2)
        assert left_behind.clear() == [], "the lab still lives"
        lab.communicate("\n")
    assert folder.exists()
    assert left_behind.clear() == ["folder"]
    assert not folder.exists()
    assert not record.exists()
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


def waited_for(folder: Path, text: str):
    """The records that say so; a guardian writes them when it has read what the lab told it."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = [each for each in folder.glob("eslab-*/*.json") if text in each.read_text()]
        if found and json.loads(found[0].read_text())["process"]:
            return found
        time.sleep(0.02)
    raise AssertionError("no record")


def test_down_does_not_stop_at_a_record_of_a_path_that_cannot_be(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    records, left = tmp_path / f"eslab-{os.geteuid()}", tmp_path / "left"
    records.mkdir(mode=0o700)
    left.mkdir()
    folders = [str(tmp_path / ("x" * 4096)), str(left)]
    (records / "a.json").write_text(json.dumps({"folders": folders, "lab": 0}) + "\n")
    assert left_behind.clear() == ["left"]
    assert not records.exists()


def test_a_record_folder_of_another_user_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / f"eslab-{os.geteuid()}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    kept = tmp_path / "kept"
    kept.mkdir()
    (folder / "a.json").write_text(json.dumps({"folders": [str(kept)]}))
    assert left_behind.clear() == []
    assert kept.exists()

"""The guardian on real processes: what ends, in what order, and what it leaves alone."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from harness.servers.native import guardian

FAMILY = "trap 'kill $a $b; exit' TERM; sleep 300 & a=$!; sleep 300 & b=$!; echo; wait"
STUBBORN = "trap '' TERM; sleep 300 & sleep 300 & echo; wait"
FORKING_ON = "trap '' TERM; while :; do sleep 300 & echo; sleep 0.1; done"
FORKING_FAST = "trap '' TERM; while :; do sleep 300 & echo; /bin/true; done"
CARELESS = "sleep 300 & sleep 300 & echo; wait"


@pytest.fixture
def family():
    """A root with two children; whatever of it is left is ended after the test.

    Handed out once the root has said that it knows its children and they are what they will be:
    a child between its fork and its exec still has the root's trap, and forgets what that heard.
    """
    made = []

    def make(script=FAMILY, size=3):
        root = subprocess.Popen(
            ["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True
        )
        made.append(root)
        assert root.stdout.readline()
        deadline = time.monotonic() + 5
        while len(members := settled(root.pid)) < size:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        made.extend(members)
        return root, members

    yield make
    for process in made:
        if isinstance(process, subprocess.Popen):
            process.kill()
            process.wait()
            process.stdout.close()
        elif running(process):
            process.kill()


@pytest.fixture
def watcher():
    """The script as the lab runs it."""
    command = [sys.executable, "-I", "-S", guardian.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        yield process


def tree(pid):
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def settled(pid):
    root = psutil.Process(pid)
    with contextlib.suppress(psutil.NoSuchProcess):
        return [root, *(child for child in root.children() if child.name() == "sleep")]
    return [root]


def running(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two
        return False


def deaf_by(watcher, *, within_s):
    """Waits until it has set what it does on signals: a busy machine starts it late."""
    if not sys.platform.startswith("linux"):
        time.sleep(1.0)
        return
    deadline = time.monotonic() + within_s
    while not deaf(watcher.pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def deaf(pid):
    ignored = int(Path(f"/proc/{pid}/status").read_text().split("SigIgn:")[1].split()[0], 16)
    return all(ignored >> (number - 1) & 1 for number in (signal.SIGTERM, signal.SIGHUP))


def tell(watcher, **fact):
    watcher.stdin.write(json.dumps(fact).encode() + b"\n")
    watcher.stdin.flush()


def test_when_the_pipe_closes_the_tree_ends_and_the_folders_go(watcher, family, tmp_path):
    root, members = family()
    folder = tmp_path / "home"
    (folder / "data").mkdir(parents=True)
    tell(watcher, folders=[str(folder)])
    tell(watcher, process=root.pid, signal=signal.SIGTERM)
    watcher.stdin.close()
    assert watcher.wait(10) == 0
    assert not any(map(running, members))
    assert not folder.exists()
    assert tmp_path.exists()


@pytest.mark.parametrize("name", ["x" * 4096, "x/" * 3000, "file/inside"])
def test_a_folder_that_cannot_be_does_not_keep_the_others(watcher, tmp_path, name):
    (tmp_path / "file").touch()
    folder, record = tmp_path / "home", tmp_path / "records" / "1.json"
    folder.mkdir()
    tell(watcher, folders=[str(tmp_path / name), str(folder)])
    tell(watcher, record=str(record))
    tell(watcher, finish=True)
    assert watcher.wait(10) == 0
    assert not folder.exists()
    assert not record.parent.exists()


def test_it_finishes_on_a_word_while_the_pipe_stays_open(watcher, tmp_path):
    tell(watcher, folders=[str(tmp_path / "absent")])
    tell(watcher, finish=True)
    assert watcher.wait(10) == 0


def test_ctrl_c_and_terminate_do_not_reach_it(watcher, tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    tell(watcher, folders=[str(folder)])
    deaf_by(watcher, within_s=10.0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        watcher.send_signal(number)
    time.sleep(0.1)
    assert watcher.poll() is None
    assert folder.exists()
    watcher.stdin.close()
    assert watcher.wait(10) == 0
    assert not folder.exists()


def test_the_newest_process_is_the_one_that_ends(watcher, family):
    old, old_members = family()
    new, new_members = family()
    tell(watcher, process=old.pid, signal=signal.SIGTERM)
    tell(watcher, process=new.pid, signal=signal.SIGTERM)
    watcher.stdin.close()
    assert watcher.wait(10) == 0
    assert not any(map(running, new_members))
    assert all(map(running, old_members))


def test_a_line_cut_off_by_the_labs_death_does_not_stop_it(watcher, tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    tell(watcher, folders=[str(folder)])
    watcher.stdin.write(b'{"process": 12')
    watcher.stdin.close()
    assert watcher.wait(10) == 0
    assert not folder.exists()


def test_tidying_runs_after_the_end_and_before_the_folders_go(watcher, family, tmp_path):
    root, _ = family()
    folder, seen = tmp_path / "home", tmp_path / "seen"
    folder.mkdir()
    lives = f"grep -qs '^State:.[^Z]' /proc/{root.pid}/status"  # not one that waits for us
    script = f"test -d {folder} && ! {lives} || exit; touch {seen}"
    tell(watcher, folders=[str(folder)])
    tell(watcher, process=root.pid, signal=signal.SIGTERM)
    tell(watcher, tidy=["sh", "-c", script], uid=None, gid=None)
    watcher.stdin.close()
    root.wait()
    assert watcher.wait(10) == 0
    assert seen.exists()
    assert not folder.exists()


def test_tidying_that_fails_does_not_keep_the_folders(watcher, tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    tell(watcher, folders=[str(folder)])
    tell(watcher, tidy=[str(tmp_path / "absent")], uid=None, gid=None)
    watcher.stdin.close()
    assert watcher.wait(10) == 0
    assert not folder.exists()


def test_a_tree_that_ignores_its_signal_is_killed_after_a_grace(family, monkeypatch):
    monkeypatch.setattr(guardian, "GRACE_S", 0.2)
    root, members = family(STUBBORN)
    began = time.monotonic()
    guardian.end(root.pid, guardian.born(root.pid), signal.SIGTERM)
    assert time.monotonic() - began > 0.2
    assert not any(map(running, members))


def test_children_that_come_after_the_signal_are_found_too(family, monkeypatch):
    monkeypatch.setattr(guardian, "GRACE_S", 0.4)
    root, members = family(FORKING_ON, size=2)
    seen = set(members)
    watching = threading.Thread(target=watch, args=(root.pid, seen))
    watching.start()
    guardian.end(root.pid, guardian.born(root.pid), signal.SIGTERM)
    watching.join()
    assert len(seen) > len(members)
    assert not any(map(running, seen))


def test_what_forks_without_a_pause_leaves_nobody_behind(monkeypatch):
    """A root killed first would leave the child that it has just made, known to nobody."""
    monkeypatch.setattr(guardian, "GRACE_S", 0.1)
    command = ["sh", "-c", FORKING_FAST]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as root:
        time.sleep(0.03)
        guardian.end(root.pid, guardian.born(root.pid), signal.SIGTERM)
        assert not [pid for pid in guardian.living() if in_session(pid, root.pid)]


def in_session(pid, session):
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid) == session
    return False


def watch(pid, seen):
    for _ in range(30):
        with contextlib.suppress(psutil.Error):
            seen.update(tree(pid))
        time.sleep(0.01)


def test_a_paused_tree_is_woken_to_hear_its_signal(family):
    root, members = family()
    for process in members:
        process.suspend()
    began = time.monotonic()
    guardian.end(root.pid, guardian.born(root.pid), signal.SIGTERM)
    assert time.monotonic() - began < guardian.GRACE_S / 2
    assert not any(map(running, members))


def test_children_that_outlive_their_root_have_the_same_grace(family, monkeypatch):
    monkeypatch.setattr(guardian, "GRACE_S", 0.3)
    root, members = family(CARELESS)
    began = time.monotonic()
    guardian.end(root.pid, guardian.born(root.pid), signal.SIGTERM)
    assert 0.3 < time.monotonic() - began < 2
    assert not any(map(running, members))


def test_a_process_that_was_given_a_dead_ones_pid_is_left_alone(family):
    root, members = family()
    guardian.end(root.pid, "long ago", signal.SIGKILL)
    time.sleep(0.1)
    assert all(map(running, members))


def test_processes_are_told_alike_by_proc_and_by_ps():
    here = os.getpid()
    stats = [Path(f"/proc/{pid}/stat") for pid in (here, os.getppid())]
    if not stats[0].exists():
        pytest.skip("no /proc on this system: only ps is used here")
    assert guardian.from_proc(stats)[here].parent == os.getppid()
    assert guardian.from_ps()[here].parent == os.getppid()
    assert guardian.from_ps()[here].born == guardian.from_ps()[here].born

"""Whose a thing is, by its name: nothing of a running run is ever taken for a leftover."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.domain.marks import Mark, born
from harness.domain.temporary import remove_abandoned, temporary_folder
from harness.run import leftovers

HERE = Mark.of_this_run()
DEAD = replace(HERE, birth="1")
"""Of a process that had our pid before us."""
FAR = replace(HERE, machine="00000000")
IN_USE = "in use by process {}"


@pytest.fixture(autouse=True)
def _places_of_its_own(tmp_path_factory, monkeypatch):
    """Where leftovers are looked for, without the folders of runs that other tests start."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(elsewhere / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))


def test_a_mark_is_found_in_any_name_that_has_it():
    for name in (f"eslab_{HERE}_12_p3", f".scratch-{HERE}", f"eslab-{HERE}-x9", f"eslab_{HERE}"):
        assert Mark.found_in(name) == HERE
    assert len(f"eslab_{HERE}_1234_p123") <= 63, "PostgreSQL cuts longer names of schemas"


@pytest.mark.parametrize("name", ["eslab", "eslab_", "eslab_0a1b2c3d_1", "eslab_orders", ""])
def test_a_name_that_no_run_made_has_none(name):
    assert Mark.found_in(name) is None


def test_a_process_lives_until_it_ends_and_not_again_with_its_pid():
    assert HERE.lives
    assert not DEAD.lives
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        mark = replace(HERE, pid=other.pid, birth=born(other.pid))
        assert mark.lives
        other.kill()
        while other.poll() is None:
            os.sched_yield()
        assert not mark.lives


@pytest.mark.parametrize(
    ("mark", "state"),
    [
        (HERE, IN_USE),
        (DEAD, ""),
        (None, "has no mark, so nobody knows whose it is"),
        (FAR, "of another machine, {age} min old"),
        (replace(FAR, started_s=HERE.started_s - 6 * 86400), "of another machine, 144 h old"),
        (replace(FAR, started_s=HERE.started_s - 8 * 86400), ""),
        (replace(HERE, started_s=HERE.started_s - 800 * 86400), IN_USE),
    ],
)
def test_what_may_still_be_in_use_stays(mark, state):
    async def never():
        raise AssertionError

    thing = leftovers.Leftover(where="postgres", name="eslab", mark=mark, remove=never)
    minutes = round((time.time() - HERE.started_s) / 60)
    ages = {state.format(os.getpid(), age=age) for age in (minutes - 1, minutes, minutes + 1)}
    assert thing.state() in ages


def test_a_temporary_folder_goes_with_its_block_and_takes_abandoned_ones_with_it(tmp_path):
    dead, far, unmarked = (tmp_path / f"eslab-{mark}-x" for mark in (DEAD, FAR, "mine"))
    for folder in (dead, far, unmarked):
        (folder / "deep").mkdir(parents=True)
    with temporary_folder(tmp_path) as here, temporary_folder(tmp_path) as there:
        assert here.is_dir()
        assert there.is_dir()
    assert sorted(tmp_path.iterdir()) == sorted([far, unmarked])


def test_a_link_with_a_dead_mark_is_not_followed(tmp_path):
    somebodys = tmp_path / "somebodys"
    somebodys.mkdir()
    (tmp_path / f".scratch-{DEAD}").symlink_to(somebodys)
    remove_abandoned(tmp_path, leftovers.SCRATCH)
    assert leftovers.on_disk(tmp_path) == []
    assert somebodys.is_dir()


def test_folders_of_runs_are_found_where_runs_make_them(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    places = [
        tmp_path / "results" / f".scratch-{DEAD}",
        tmp_path / "tmp" / f"eslab-{DEAD}-abc",
        tmp_path / "cache" / "eslab" / f".kafka-{DEAD}-abc",
    ]
    for place in (*places, tmp_path / "results" / f".scratch-{HERE}"):
        place.mkdir(parents=True)
    found = [each for each in leftovers.on_disk(tmp_path / "results") if not each.state()]
    assert sorted(Path(each.name) for each in found) == sorted(places)
    for each in found:
        asyncio.run(each.remove())
    assert not any(place.exists() for place in places)


def test_a_folder_with_a_server_in_it_is_left_to_the_servers_guardian_for_a_while(tmp_path):
    log = tmp_path / f".scratch-{DEAD}" / "postgres-0123" / "server.log"
    log.parent.mkdir(parents=True)
    log.touch()
    (found,) = leftovers.on_disk(tmp_path)
    assert found.state() == "its guardian removes it now"
    os.utime(log, (0, 0))
    (found,) = leftovers.on_disk(tmp_path)
    assert found.state() == ""

"""A link in the place of what is written: its target stays as it is, whatever the lab writes."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import results
from harness.analysis import trends
from harness.analysis.comparison import remember
from harness.analysis.comparison.noise_floor import Noise
from harness.analysis.comparison.noise_floor_file import FILE
from harness.cli.report import write_export
from harness.domain.errors import BadInput, LabError
from harness.domain.files import replace_file
from harness.render.report import writing
from harness.results import hlog
from harness.results.tables import write_atomically
from tests.made_history import SMALL, made_history, rows_of
from tests.made_run import made_run

KEPT = "not the lab's to change\n"
NOTHING = Noise(gate_pairs=0, floors=(), gates=0, alarms=0)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Somebody's file, which has to be the same after the test."""
    path = tmp_path / "somebodys"
    path.write_text(KEPT)
    yield path
    assert path.read_text() == KEPT


def test_a_link_in_the_place_of_a_file_is_replaced(tmp_path, target):
    (tmp_path / "report.html").symlink_to(target)
    write_atomically(tmp_path / "report.html", b"page")
    assert not (tmp_path / "report.html").is_symlink()
    assert (tmp_path / "report.html").read_bytes() == b"page"


def test_a_link_at_the_name_of_a_part_is_not_written_through(tmp_path, target):
    (tmp_path / ".new.part").symlink_to(target)
    write_atomically(tmp_path / "new", b"content")
    assert (tmp_path / "new").read_bytes() == b"content"


@pytest.mark.parametrize("dangling", [True, False])
def test_an_export_does_not_take_the_place_of_a_link(tmp_path, target, dangling):
    out = tmp_path / "out.csv"
    out.symlink_to(tmp_path / "absent" if dangling else target)
    with pytest.raises(BadInput, match="is there already"):
        write_export(made_run(tmp_path, SMALL), "csv", out=out)
    assert not (tmp_path / "absent").exists()


def test_notebooks_do_not_go_through_a_link_to_another_folder(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "notebooks").symlink_to(elsewhere)
    with pytest.raises(LabError, match="it is a link"):
        writing._keep({"start-here": {}}, tmp_path / "notebooks")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("dangling", [True, False])
def test_a_history_that_is_a_link_is_refused(tmp_path, target, dangling):
    rows = rows_of(made_run(tmp_path, SMALL))
    (tmp_path / "h.csv").symlink_to(tmp_path / "absent" if dangling else target)
    with pytest.raises(BadInput, match=r"h\.csv: cannot be written: it is a link"):
        trends.append(tmp_path / "h.csv", rows)
    assert not (tmp_path / "absent").exists()


def test_a_noise_floor_is_added_to_the_lines_that_are_there(tmp_path):
    for _ in range(2):
        remember(tmp_path, "0" * 64, "12345678", "memory", NOTHING)
    assert len((tmp_path / FILE).read_text().splitlines()) == 2


def test_a_noise_floor_that_is_a_link_is_refused(tmp_path, target):
    (tmp_path / FILE).symlink_to(target)
    with pytest.raises(OSError, match="it is a link"):
        remember(tmp_path, "0" * 64, "12345678", "memory", NOTHING)


def test_a_histogram_log_that_is_a_link_is_refused(tmp_path, target):
    (tmp_path / "latency.hlog").symlink_to(target)
    with pytest.raises(LabError, match=r"cannot write .*latency\.hlog"):
        hlog.append(tmp_path / "latency.hlog", [])


def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not an ordinary file"):
        replace_file(tmp_path / "pipe", b"")
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)
    with pytest.raises(BadInput, match="no ordinary file"):
        trends.append(Path("/dev/full"), rows_of(made_run(tmp_path, SMALL)))
    assert stat.S_ISCHR(Path("/dev/full").lstat().st_mode)


def test_a_file_keeps_its_mode_and_a_new_one_has_the_users(tmp_path):
    (tmp_path / "old").write_text("")
    (tmp_path / "old").chmod(0o604)
    replace_file(tmp_path / "old", b"")
    replace_file(tmp_path / "new", b"")
    (tmp_path / "plain").touch()
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o604
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_next_writer_removes_what_a_killed_one_left_and_nothing_younger(tmp_path):
    old, young, other = (tmp_path / name for name in (".a.1.part", ".a.2.part", ".b.1.part"))
    for part in (old, young, other):
        part.touch()
    for part in (old, other):
        os.utime(part, (time.time() - 3600, time.time() - 3600))
    replace_file(tmp_path / "a", b"")
    assert [part.exists() for part in (old, young, other)] == [False, True, True]


def test_a_run_that_many_add_at_once_is_in_the_history_once(tmp_path):
    """A lock is of the opened folder, so that threads keep each other out as processes do."""
    file = tmp_path / "new" / "h.csv"
    rows = rows_of(made_run(tmp_path, SMALL))
    many = 8
    together = threading.Barrier(many)

    def add(_: int) -> str:
        together.wait()
        try:
            trends.append(file, rows)
        except BadInput as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(many) as pool:
        told = Counter(pool.map(add, range(many)))
    assert told == {"": 1, f"{file}: {rows['run'].iloc[0]} is in it already": many - 1}
    assert len(trends.read(file)) == len(rows)
    assert [path.name for path in file.parent.iterdir()] == ["h.csv"]


def test_a_run_is_added_to_the_file_that_is_there(tmp_path):
    file = made_history(tmp_path)
    before = file.read_text()
    run = results.load(made_run(tmp_path / "more", SMALL))
    manifest = json.loads((run.path / "manifest.json").read_text())
    trends.append(file, trends.rows(manifest, run.trials))
    assert file.read_text().startswith(before)
    assert len(file.read_text().splitlines()) > len(before.splitlines())

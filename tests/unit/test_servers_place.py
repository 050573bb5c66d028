"""Folders of a server: reachable for its account, short enough for its socket, and its own."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from harness.servers.local import disk_bytes
from harness.servers.native.place import (
    SOCKET_PATH_BYTES_MAX,
    Account,
    can_reach,
    choose_place,
    is_plain,
)
from tests.unit.paths import ODD

NOBODY = Account(65534, 65534)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners: needs root")


@pytest.fixture
def made():
    places = []

    def make(scratch, account=None):
        places.append(choose_place("postgres", scratch=scratch, account=account))
        places[-1].make()
        return places[-1]

    yield make
    for place in places:
        for folder in place.folders:
            shutil.rmtree(folder)


def test_a_home_is_private_and_under_the_scratch_folder(tmp_path, made):
    place = made(tmp_path / "new")
    assert place.home.parent == tmp_path / "new"
    assert place.home.stat().st_mode & 0o777 == 0o700
    assert place.log.parent == place.data.parent == place.home


def test_a_socket_gets_a_short_folder_where_the_home_is_too_deep(tmp_path, made):
    place = made(tmp_path / ("d" * 100))
    assert len(os.fsencode(place.short / ".s.PGSQL.65535.lock")) <= SOCKET_PATH_BYTES_MAX
    assert place.home.parent == tmp_path / ("d" * 100)
    assert place.folders == (place.home, place.short)


def test_a_path_that_just_fits_stays_inside_the_home():
    with tempfile.TemporaryDirectory(prefix="e") as short:
        home = choose_place("p", scratch=Path(short), account=None).home
        room = SOCKET_PATH_BYTES_MAX - len(str(home))
        fits = Path(short) / ("d" * (room - 1 - 1 - len(".s.PGSQL.65535.lock") - 5))
        place = choose_place("p", scratch=fits, account=None)
        assert place.short == place.home
        longer = choose_place("p", scratch=Path(f"{fits}d"), account=None)
        assert longer.short != longer.home


@pytest.mark.parametrize("name", [*ODD.split(), "a b", "a\nb", "é", "a+b", "a\udcffb", ODD])
def test_a_server_sees_plain_paths_and_its_data_stays_where_it_was_asked_for(tmp_path, made, name):
    place = made(tmp_path / name)
    assert place.folder.parent == tmp_path / name
    assert all(map(is_plain, (place.data, place.log, place.temporary, place.short)))
    place.data.mkdir()
    assert (place.folder / "data").is_dir()
    assert is_plain(place.short.resolve())
    assert is_plain(place.temporary.resolve())
    assert place.folder.stat().st_mode & 0o777 == place.short.stat().st_mode & 0o777 == 0o700


def test_a_scratch_folder_by_a_link_is_the_folder_behind_it(tmp_path, made):
    (tmp_path / ODD).mkdir()
    (tmp_path / "plain").symlink_to(tmp_path / ODD)
    place = made(tmp_path / "plain")
    assert place.folder.parent == tmp_path / ODD
    assert is_plain(place.home)


def test_an_odd_temporary_folder_is_passed_over(tmp_path, monkeypatch, made):
    (tmp_path / ODD).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ODD))
    place = made(tmp_path / ODD / "scratch")
    assert is_plain(place.short.resolve())


def test_nothing_is_made_before_a_guardian_can_know_of_it(tmp_path):
    place = choose_place("postgres", scratch=tmp_path / "new", account=None)
    assert list(tmp_path.iterdir()) == []
    assert not place.home.exists()


def test_where_no_folder_is_short_enough_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("t" * 100)))
    monkeypatch.setattr("harness.servers.native.place._SHARED_TEMPORARY", tmp_path / ("s" * 100))
    with pytest.raises(OSError, match=r"short enough for a unix socket \(107 bytes\)"):
        choose_place("postgres", scratch=tmp_path / ("d" * 100), account=None)


def test_an_account_reaches_what_every_folder_above_lets_it_through(tmp_path):
    other = Account(tmp_path.stat().st_uid + 1, tmp_path.stat().st_gid + 1)
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    assert not can_reach(other, closed / "inner")
    assert can_reach(Account(tmp_path.stat().st_uid, 0), closed)
    assert can_reach(None, closed / "inner")
    assert can_reach(other, Path("/"))


@needs_root
def test_a_closed_scratch_folder_is_left_closed_and_another_one_taken(tmp_path, made):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    modes = [folder.stat().st_mode for folder in (closed, *closed.parents)]
    place = made(closed, NOBODY)
    assert can_reach(NOBODY, place.home)
    assert place.home.stat().st_uid == NOBODY.uid
    assert not place.home.is_relative_to(closed)
    assert [folder.stat().st_mode for folder in (closed, *closed.parents)] == modes


def test_bytes_on_disk_are_those_of_all_files_below(tmp_path):
    assert disk_bytes(tmp_path / "absent") == 0
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 10_000_000)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert 100_000 <= disk_bytes(tmp_path) < 200_000

"""A disk of the lab's own, on a real loop device: what a power loss leaves, and what it touches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.domain.marks import Mark
from harness.domain.temporary import remove_abandoned
from harness.run import leftovers
from harness.servers import lab_disk_hindrance
from harness.servers.native import guardian
from harness.servers.native.disk import DiskFault, LabDisk

MEBIBYTE = 1 << 20
SMALL = 64 * MEBIBYTE

pytestmark = pytest.mark.skipif(
    bool(lab_disk_hindrance()), reason=lab_disk_hindrance() or "a disk that loses power"
)


@pytest.fixture
def disk(tmp_path):
    made = LabDisk(tmp_path / "disk.img", tmp_path / "disk")
    made.make(SMALL)
    yield made
    made.remove()


def write(path, data, *, synced, flags=os.O_CREAT | os.O_WRONLY | os.O_TRUNC):
    handle = os.open(path, flags)
    os.write(handle, data)
    if synced:
        os.fsync(handle)
    os.close(handle)


def lose_power(disk):
    disk.cut_power()
    disk.bring_back()


def mounted_in(folder):
    return [point for point, _ in guardian.mounts() if point.startswith(str(folder))]


def loops_of(image):
    return [
        each
        for each in Path("/sys/block").glob("loop*/loop/backing_file")
        if each.read_text().startswith(str(image))
    ]


def test_what_was_synced_is_whole_after_a_power_loss_and_what_was_not_is_gone(disk):
    write(disk.folder / "synced", b"s" * 5000, synced=True)
    write(disk.folder / "tail", b"1" * 5000, synced=True)
    write(disk.folder / "tail", b"2" * 5000, synced=False, flags=os.O_WRONLY)
    write(disk.folder / "unsynced", b"u" * 5000, synced=False)
    lose_power(disk)
    assert (disk.folder / "synced").read_bytes() == b"s" * 5000
    assert (disk.folder / "tail").read_bytes() == b"1" * 5000
    unsynced = disk.folder / "unsynced"
    assert not unsynced.exists() or unsynced.read_bytes() == b""


def test_it_loses_power_again_and_again(disk):
    for number in range(5):
        write(disk.folder / str(number), b"x", synced=True)
        lose_power(disk)
    assert sorted(each.name for each in disk.folder.iterdir() if each.is_file()) == list("01234")


def test_nothing_is_written_while_the_power_is_away(disk):
    disk.cut_power()
    with pytest.raises(OSError, match="Input/output"):
        write(disk.folder / "late", b"x", synced=True)
    disk.bring_back()
    write(disk.folder / "again", b"x", synced=True)


def test_a_full_disk_takes_nothing_until_its_room_is_given_back(disk):
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        write(disk.folder / "more", b"x" * MEBIBYTE, synced=True)
    disk.free()
    write(disk.folder / "more", b"x" * MEBIBYTE, synced=True)
    assert disk.free_bytes() > SMALL // 2


def test_the_power_of_a_file_system_that_is_not_the_labs_is_never_cut(tmp_path, disk):
    """Not of the machine's own, and not of a loop device with another image."""
    foreign = LabDisk(tmp_path / "none.img", tmp_path)
    for other in (foreign, LabDisk(tmp_path / "none.img", disk.folder)):
        with pytest.raises(DiskFault, match="not on the lab's own loop device"):
            other.cut_power()
    (tmp_path / "none.img").touch()
    with pytest.raises(DiskFault, match="not on the lab's own loop device"):
        LabDisk(tmp_path / "none.img", disk.folder).cut_power()
    with pytest.raises(DiskFault, match="not on the lab's own loop device"):
        foreign.fill()
    write(tmp_path / "still-there", b"x", synced=True)
    write(disk.folder / "still-there", b"x", synced=True)


def test_nothing_is_mounted_over_a_folder_that_exists(tmp_path):
    kept = tmp_path / "disk"
    kept.mkdir()
    (kept / "mine").touch()
    disk = LabDisk(tmp_path / "disk.img", kept)
    with pytest.raises(FileExistsError):
        disk.make(SMALL)
    with pytest.raises(DiskFault, match="nothing is mounted over"):
        disk._mount()
    assert (kept / "mine").exists()
    assert mounted_in(tmp_path) == []


def test_image_mount_and_loop_device_are_gone_after_removal(disk):
    disk.remove()
    assert not disk.image.exists()
    assert not disk.folder.exists()
    assert mounted_in(disk.folder) == loops_of(disk.image) == []


def test_a_disk_in_use_is_unmounted_all_the_same(disk):
    with (disk.folder / "open").open("wb"):
        guardian.remove(str(disk.folder.parent))
        assert not disk.folder.parent.exists()
        assert mounted_in(disk.folder.parent) == []
    for _ in range(200):
        if not loops_of(disk.image):
            break
        time.sleep(0.01)
    assert loops_of(disk.image) == []


def test_a_guardian_finds_a_disk_by_a_folder_that_is_named_through_a_link(tmp_path):
    (tmp_path / "real" / "run").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    run = tmp_path / "link" / "run"
    LabDisk(run / "disk.img", run / "disk").make(SMALL)
    assert mounted_in(tmp_path) == [str(tmp_path / "real" / "run" / "disk")]
    guardian.remove(str(run))
    assert mounted_in(tmp_path) == []
    assert not run.exists()


async def test_what_a_lab_and_its_guardian_left_mounted_goes_with_the_next_run_or_by_hand(tmp_path):
    dead = replace(Mark.of_this_run(), birth="1")
    scratch = tmp_path / f"{leftovers.SCRATCH}{dead}"
    for remove in ("the next run", "eslab clean"):
        scratch.mkdir()
        LabDisk(scratch / "disk.img", scratch / "disk").make(SMALL)
        if remove == "the next run":
            remove_abandoned(tmp_path, leftovers.SCRATCH, release=guardian.unmount)
        else:
            (left,) = [e for e in leftovers.on_disk(tmp_path) if e.name == str(scratch)]
            await left.remove()
        assert mounted_in(tmp_path) == []
        assert not scratch.exists()


def test_a_guardian_unmounts_no_disk_but_those_in_its_folders(tmp_path, disk):
    others = tmp_path / "others"
    others.mkdir()
    guardian.remove(str(others))
    assert mounted_in(tmp_path) == [str(disk.folder)]


LAB = """
    import sys
    from pathlib import Path
    from harness.servers.native.disk import LabDisk
    from harness.servers.native.guard import Guard

    place = Path(sys.argv[1])
    guard = Guard([place])
    place.mkdir()
    disk = LabDisk(place / "disk.img", place / "disk")
    print("guarded", flush=True)
    disk.make(64 << 20)
    print("made", flush=True)
    (disk.folder / "data").write_bytes(b"x" * 1000)
    disk.fill()
    print("filled", flush=True)
    disk.cut_power()
    print("cut", flush=True)
    disk.bring_back()
    print("back", flush=True)
    while True:
        disk.cut_power()
        disk.bring_back()
"""


@pytest.mark.parametrize("moment", ["guarded", "made", "filled", "cut", "back"])
def test_nothing_of_it_is_left_when_the_lab_is_killed(tmp_path, moment):
    place = tmp_path / "place with a space"
    command = [sys.executable, "-c", textwrap.dedent(LAB), str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdout is not None
        while lab.stdout.readline().strip() != moment:
            assert lab.poll() is None
        lab.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while place.exists() or loops_of(place) or mounted_in(place):
        assert time.monotonic() < deadline, [place.exists(), loops_of(place), mounted_in(place)]
        time.sleep(0.01)

"""What a folder lies on: file systems, devices and the layers below, and what a sync is worth."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.domain.durability import Durability
from harness.domain.flags import FlagCode, explanation, sentence
from harness.domain.server import DataFolder
from harness.run import data_places
from harness.run.data_places import DataPlace, own_folder, place_of
from harness.run.environment import SyncLatency
from harness.run.file_systems import FileSystem, Kind, file_system

TABLE = """\
27 1 999:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 27 0:27 / /dev/shm rw,nosuid,nodev - tmpfs tmpfs rw,size=64k
31 27 0:28 / /ram rw - ramfs  rw
32 27 0:50 / /nfs rw shared:7 - nfs4 somebody:/export rw,vers=4.2
33 27 0:51 / /cifs rw - cifs //server/share rw
34 27 0:52 / /nine rw - 9p host rw,trans=virtio
35 27 0:53 / /ssh rw - fuse.sshfs me@host:/home rw,user_id=0
36 27 999:9 / /ntfs rw - fuseblk /dev/sdb1 rw
37 27 0:54 / /layers rw - overlay overlay rw,lowerdir=/l,upperdir=/not/here,workdir=/w
38 27 0:55 / /fast rw - overlay overlay rw,upperdir=/not/here,volatile
39 27 999:1 / /nobarrier rw,relatime - xfs /dev/vdb rw,nobarrier
40 27 0:56 / /pool rw - zfs tank/events rw
41 27 0:57 / /odd rw - oddfs none rw
42 27 999:2 / /with\\040space rw - ext4 /dev/vdc rw
43 27 999:3 / /twice rw - ext4 /dev/vdd rw
44 27 0:58 / /twice rw - tmpfs tmpfs rw
45 27 999:4 / /btrfs rw - btrfs /dev/vde rw,subvol=/a
"""


@pytest.mark.parametrize(
    ("folder", "named", "kind"),
    [
        ("/", "ext4 (/dev/vda)", Kind.DISK),
        ("/var/lib/data", "ext4 (/dev/vda)", Kind.DISK),
        ("/dev/shm/run", "tmpfs", Kind.MEMORY),
        ("/dev/shmem", "ext4 (/dev/vda)", Kind.DISK),
        ("/ram", "ramfs", Kind.MEMORY),
        ("/nfs/data", "nfs4 (0:50)", Kind.NETWORK),
        ("/cifs", "cifs (0:51)", Kind.NETWORK),
        ("/nine", "9p (0:52)", Kind.NETWORK),
        ("/ssh/a", "fuse.sshfs (0:53)", Kind.FUSE),
        ("/ntfs", "fuseblk (/dev/sdb1)", Kind.FUSE),
        ("/layers", "overlay", Kind.OVERLAY),
        ("/fast", "overlay (syncs off)", Kind.UNSYNCED),
        ("/nobarrier", "xfs (/dev/vdb, syncs off)", Kind.UNSYNCED),
        ("/pool", "zfs (tank)", Kind.DISK),
        ("/odd", "oddfs (0:57)", Kind.UNFAMILIAR),
        ("/with space/x", "ext4 (/dev/vdc)", Kind.DISK),
        ("/twice", "tmpfs", Kind.MEMORY),
        ("/btrfs", "btrfs (/dev/vde)", Kind.DISK),
    ],
)
def test_a_mount_table_says_where_a_folder_lies(folder: str, named: str, kind: Kind):
    found = file_system(Path(folder), TABLE)
    assert found is not None
    assert (str(found), found.kind) == (named, kind)


@pytest.mark.parametrize("table", ["no table", "1 2 - 3", "27 1 8:0 / /elsewhere rw - ext4 x rw"])
def test_a_table_that_does_not_say_it_is_no_answer(table: str):
    assert file_system(Path("/data"), table) is None
    place = place_of(DataFolder(Path("/data"), table), {})
    assert place.described() == {"file_system": "unknown"}


def test_this_machine_is_asked_itself(tmp_path: Path):
    for folder in (tmp_path, tmp_path / "not" / "made" / "yet"):
        found = file_system(folder)
        assert found is not None
        shown = subprocess.run(
            ["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True
        )
        assert found.type[:3] == shown.stdout.strip().replace("ext2/ext3", "ext4")[:3]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """`mounted(name, *arguments)`: a folder with a mount of its own; needs root."""
    if os.geteuid() != 0:
        pytest.skip("mounts file systems: needs root")
    made: list[Path] = []

    def mount(name: str, *arguments: str | Path) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        told = subprocess.run(
            ["mount", *arguments, folder], capture_output=True, text=True, check=False
        )
        if told.returncode:
            pytest.skip(f"this machine mounts no {arguments[1]}: {told.stderr.strip()}")
        made.append(folder)
        return folder

    yield mount
    for folder in reversed(made):
        subprocess.run(["umount", "--lazy", folder], check=True)


def ext4_file(folder: Path) -> Path:
    """Its maker may lie where only root's own login looks."""
    mkfs = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if mkfs is None:
        pytest.skip("no mkfs.ext4 here: install e2fsprogs")
    image = folder / "disk"
    with image.open("wb") as file:
        file.truncate(2_000_000)
    subprocess.run([mkfs, "-q", "-F", image], check=True, capture_output=True)
    return image


def test_memory_is_found_under_its_mounts_layers_links_and_devices(tmp_path: Path, mounted):
    ram = mounted("ram", "-t", "tmpfs", "eslab-test")
    bound = mounted("bound", "--bind", ram)
    (tmp_path / "link").symlink_to(ram)
    looped = mounted("looped", "-o", "loop", ext4_file(ram))
    for name in ("up", "work"):
        (ram / name).mkdir()
    options = f"lowerdir={tmp_path / 'ram'},upperdir={ram / 'up'},workdir={ram / 'work'}"
    layered = mounted("layered", "-t", "overlay", "-o", options, "overlay")
    for folder in (ram, bound, tmp_path / "link" / "later", looped, layered):
        place = place_of(own_folder(folder), {})
        assert place.on is not None
        assert (place.on.kind, place.allows) == (Kind.MEMORY, Durability.MEMORY), folder
    assert str(file_system(layered)) == "overlay over tmpfs"
    assert "over tmpfs" in str(file_system(looped))


def test_a_mount_whose_syncs_are_empty_is_no_safer_than_a_process(tmp_path: Path, mounted):
    looped = mounted("looped", "-o", "loop,nobarrier", ext4_file(tmp_path))
    place = place_of(own_folder(looped), {})
    assert place.allows is Durability.PROCESS_CRASH
    assert place.described()["kind"] == "syncs off"
    assert place.sync is not None
    assert place.sync.count > 0


def test_a_disk_that_syncs_faster_than_any_drive_is_doubted(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(data_places, "file_system", lambda *_: DISK.on)
    monkeypatch.setattr("os.fdatasync", lambda _: None)
    monkeypatch.setattr(data_places, "DRIVE_NS", 1e9)
    place = place_of(own_folder(tmp_path), {})
    assert place.allows is Durability.POWER_LOSS
    (flag,) = data_places.flags({"sqlite": place})
    assert (
        sentence([flag])
        == "data whose syncs the lab cannot vouch for: sqlite on ext4 (/dev/vda, syncs too fast)"
    )


def test_a_disk_is_measured_once_and_memory_is_no_disk(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(data_places, "file_system", lambda *_: DISK.on)
    known = data_places.syncs_of(tmp_path, {"sync_latency": {"count": 7, "max_ns": 1e9}})
    place = place_of(own_folder(tmp_path), known)
    assert place.described()["sync_latency"] == {"count": 7, "max_ns": 1e9}
    monkeypatch.setattr(data_places, "file_system", lambda *_: RAM.on)
    assert data_places.syncs_of(tmp_path, {"sync_latency": {"count": 7, "max_ns": 1e9}}) == {}
    measured = SyncLatency(200, 1_300.0, None, 5_000.0)
    monkeypatch.setattr(data_places, "sync_latency", lambda *_: measured)
    assert place_of(own_folder(tmp_path), known).sync is measured
    assert list(known) == [DISK.on]


def on(kind: Kind, type_: str, device: str = "") -> DataPlace:
    return DataPlace(FileSystem(type_, device, kind), None)


DISK, OTHER = on(Kind.DISK, "ext4", "/dev/vda"), on(Kind.DISK, "ext4", "/dev/vdb")
RAM, NETWORK = on(Kind.MEMORY, "tmpfs"), on(Kind.NETWORK, "nfs4", "0:50")
SOMEWHERE = DataPlace(None, None)


@pytest.mark.parametrize(
    ("places", "sentences"),
    [
        ({"sqlite": DISK, "postgres": DISK}, []),
        ({"sqlite": RAM, "kafka": RAM}, ["data in memory: sqlite, kafka on tmpfs"]),
        (
            {"sqlite": DISK, "kafka": OTHER, "postgres": DISK},
            [
                "data on different disks: sqlite, postgres on ext4 (/dev/vda);"
                " kafka on ext4 (/dev/vdb)"
            ],
        ),
        (
            {"sqlite": DISK, "postgres": RAM},
            [
                "data in memory: postgres on tmpfs",
                "data on different disks: sqlite on ext4 (/dev/vda); postgres on tmpfs",
            ],
        ),
        ({"kafka": NETWORK}, ["data whose syncs the lab cannot vouch for: kafka on nfs4 (0:50)"]),
        ({"kafka": SOMEWHERE}, ["it is unknown where the data lies: kafka"]),
        ({"kafka": on(Kind.FUSE, "fuse.sshfs")}, None),
        ({"kafka": on(Kind.OVERLAY, "overlay")}, None),
        ({"kafka": on(Kind.UNFAMILIAR, "oddfs")}, None),
        (
            {"kafka": on(Kind.UNSYNCED, "overlay")},
            ["data where syncs are switched off: kafka on overlay (syncs off)"],
        ),
        ({}, []),
    ],
)
def test_what_a_reader_must_know_of_the_places(places, sentences):
    found = data_places.flags(places)
    assert all(explanation(flag) for flag in found)
    if sentences is None:
        assert [flag.code for flag in found] == [FlagCode.DATA_DOUBTFUL]
    else:
        assert [sentence([flag]) for flag in found] == sentences

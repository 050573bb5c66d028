"""The file system that a folder lies on, its device, and what lies below both.

Linux shows all of it: its mount tables, and `/sys` for devices. Elsewhere only type and device are
known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import psutil

from harness.domain import formatting


class Kind(StrEnum):
    """What a sync is worth on a file system; of several layers, the first of these decides."""

    MEMORY = "memory"
    UNSYNCED = "syncs off"
    """Mounted with an option that makes syncs cheap and empty."""
    TOO_FAST = "syncs too fast"
    """Only a measurement shows it: no drive answers so quickly."""
    NETWORK = "network"
    FUSE = "FUSE"
    OVERLAY = "overlay"
    UNFAMILIAR = "unfamiliar"
    DISK = "disk"


_BY_TYPE = {
    **dict.fromkeys(("tmpfs", "ramfs", "rootfs", "devtmpfs", "hugetlbfs"), Kind.MEMORY),
    **dict.fromkeys(
        (
            *("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "gfs2"),
            *("glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs"),
            *("prl_fs", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs", "webdav"),
        ),
        Kind.NETWORK,
    ),
    **dict.fromkeys(("fuse", "fuseblk", "macfuse", "osxfuse"), Kind.FUSE),
    **dict.fromkeys(("aufs", "ecryptfs", "overlay", "overlayfs", "unionfs"), Kind.OVERLAY),
    **dict.fromkeys(("bcachefs", "jffs2", "ubifs", "zfs"), Kind.DISK),
}
"""Types that say it themselves; any other is a disk if it lies on a block device."""
_BY_DEVICE = (
    (re.compile(r"z?ram\d+"), Kind.MEMORY),
    (re.compile(r"(nbd|rbd|drbd)\d+"), Kind.NETWORK),
)
_EMPTY_SYNCS = frozenset(
    {"nobarrier", "barrier=0", "barrier=none", "fsync_mode=nobarrier", "volatile", "fsync=volatile"}
)
_LAYERS_MAX = 8
_ESCAPED = re.compile(r"\\([0-7]{3})")
_DELETED = " (deleted)"


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of a mount table."""

    id: str
    number: str
    """Major and minor number of its device; the major one is 0 where it has no block device."""
    point: str
    type: str
    source: str
    options: tuple[str, ...]

    @classmethod
    def parse(cls, line: str) -> Self:
        """From a line of `mountinfo`."""
        words = [_unescaped(word) for word in line.split(" ")]
        dash = words.index("-", 6)
        options = (*words[5].split(","), *words[dash + 3].split(","))
        return cls(words[0], words[2], words[4], words[dash + 1], words[dash + 2], options)


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A file system with the layers below it."""

    type: str
    """The kernel's name for it, such as `ext4`."""
    device: str
    """Of a disk `/dev/…`, else its number; empty where several mounts are alike."""
    kind: Kind
    below: tuple[str, ...] = ()
    """What a file, an overlay or a device below it lies on, from the top."""

    def __str__(self) -> str:
        return formatting.place(self.described())

    def described(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "file_system": self.type,
            "device": self.device,
            "below": list(self.below),
            "kind": str(self.kind),
        }


def file_system(folder: Path, mounts: str = "") -> FileSystem | None:
    """Of a folder, or of the nearest one above that exists; `None` where it cannot be seen.

    `mounts` is the text of the mount table in which the folder has its name: a container's. Without
    it that is the lab's own.
    """
    return _file_system(folder, mounts, _LAYERS_MAX)


def _file_system(folder: Path, mounts: str, layers: int) -> FileSystem | None:
    try:
        mount = _named(folder, mounts) if mounts else _mount(folder)
        return None if mount is None else _described(mount, layers)
    except (OSError, ValueError, IndexError):
        return None


def _mount(folder: Path) -> Mount | None:
    """The mount on which the folder of this machine lies."""
    folder = folder.resolve()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        table = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return _of_other_system(folder)
    handle = os.open(folder, os.O_PATH)
    try:
        words = Path(f"/proc/self/fdinfo/{handle}").read_text().split()
    finally:
        os.close(handle)
    # By its number, since a mount may hide another one under the same name.
    number = words[words.index("mnt_id:") + 1]
    found = next((each for each in _parsed(table) if each.id == number), None)
    return found or _named(folder, table)


def _of_other_system(folder: Path) -> Mount | None:
    parts = {part.mountpoint: part for part in psutil.disk_partitions(all=True)}
    for each in (folder, *folder.parents):
        if part := parts.get(str(each)):
            options = tuple(part.opts.split(","))
            return Mount("", "0:0", part.mountpoint, part.fstype, part.device, options)
    return None


def _named(folder: Path, table: str) -> Mount | None:
    """The mount with the longest name above the folder; of several with one name, the last."""
    by_point = {each.point: each for each in _parsed(table)}
    names = map(str, (folder, *folder.parents))
    return next((by_point[name] for name in names if name in by_point), None)


def _parsed(table: str) -> Iterator[Mount]:
    return (Mount.parse(line) for line in table.splitlines() if " - " in line)


def _described(mount: Mount, layers: int) -> FileSystem:
    below = list(_below(mount, layers - 1)) if layers else []
    kinds = [_kind(mount), *(each.kind for each in below)]
    # An overlay is as good as what it lies on only in part, so its own kind counts as well.
    kind = min(kinds, key=list(Kind).index)
    named = tuple(dict.fromkeys(name for each in below for name in (each.type, *each.below)))
    return FileSystem(mount.type, _device(mount, below), kind, named)


def _kind(mount: Mount) -> Kind:
    kind = _BY_TYPE.get(mount.type)
    if mount.type.startswith("fuse."):
        kind = Kind.FUSE
    if kind is Kind.MEMORY:
        return kind
    if _EMPTY_SYNCS.intersection(mount.options):
        return Kind.UNSYNCED
    on_block = mount.source.startswith("/dev/") or not mount.number.startswith("0:")
    return kind or (Kind.DISK if on_block else Kind.UNFAMILIAR)


def _device(mount: Mount, below: Iterable[FileSystem]) -> str:
    kind = _BY_TYPE.get(mount.type)
    if kind is Kind.MEMORY:
        return ""
    if kind is Kind.OVERLAY:
        return next((each.device for each in below), "")
    if mount.source.startswith("/dev/"):
        return mount.source
    # A source may name a host or a user, which are not for results.
    return mount.source.partition("/")[0] if mount.type == "zfs" else mount.number


def _below(mount: Mount, layers: int) -> Iterator[FileSystem]:
    if _BY_TYPE.get(mount.type) is Kind.OVERLAY:
        upper = [o.partition("=")[2] for o in mount.options if o.startswith("upperdir=")]
        # A container's upper folder has its name outside, where the lab may not be.
        seen = [_file_system(Path(each), "", layers) for each in upper if Path(each).is_dir()]
        yield from filter(None, seen)
        return
    number = mount.number
    if number.startswith("0:") and mount.source.startswith("/dev/"):
        number = _device_number(mount.source)
    yield from _below_device(Path("/sys/dev/block", number), layers)


def _device_number(source: str) -> str:
    """Where a file system of several devices, such as Btrfs, has a number of its own."""
    try:
        device = Path(source).stat().st_rdev
    except OSError:
        return "0:0"
    return f"{os.major(device)}:{os.minor(device)}"


def _below_device(entry: Path, layers: int) -> Iterator[FileSystem]:
    """What a block device is made of, where that is no disk: a file, memory, other devices."""
    if layers <= 0 or not entry.exists():
        return
    device = entry.resolve()
    if (device / "partition").exists():
        device = device.parent
    for pattern, kind in _BY_DEVICE:
        if pattern.fullmatch(device.name):
            yield FileSystem(device.name, "", kind)
    backing = device / "loop" / "backing_file"
    if backing.exists():
        yield _of_file(backing.read_text().rstrip("\n"), layers - 1)
    for other in sorted((device / "slaves").glob("*")):
        yield from _below_device(other, layers - 1)


def _of_file(name: str, layers: int) -> FileSystem:
    """The file system of the file behind a loop device."""
    file = Path(name)
    found = None
    if not name.endswith(_DELETED) and file.exists():
        found = _file_system(file, "", layers)
    return found or FileSystem("a file that the lab cannot see", "", Kind.UNFAMILIAR)


def _unescaped(word: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), word)

"""A disk of the lab's own that can lose power and fill up: ext4 in an image file, on a loop device.

Linux, and root or the right to mount. Nothing of the machine is touched but the image file and the
folder that it is mounted at. Both lie in a folder of the run that a guardian removes; it unmounts
first.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from harness.domain.errors import LabError
from harness.servers.local import clean_environment
from harness.servers.native import guardian
from harness.servers.native.place import Account

_SIZE_MAX_BYTES = 16 << 30
_SIZE_MIN_BYTES = 1 << 30
"""Less would be full of what servers make ahead: a chunk, a log's index, a journal."""
_TRIAL_BYTES = 64 << 20
_JOURNAL_MAX_BYTES = 64 << 20
_JOURNALS = 16
"""How many times larger a disk is than its journal."""
_OF_WHAT_IS_FREE = 2
"""The image is sparse and may become as large as the half of what is free where it lies."""
_SHUTDOWN = 0x8004587D
"""`EXT4_IOC_SHUTDOWN`."""
_WITHOUT_FLUSHING = struct.pack("i", 2)
"""`EXT4_GOING_FLAGS_NOLOGFLUSH`: what is in the journal's memory is lost as well."""
_OPTIONS = "loop,noatime,noinit_itable"
"""`loop` gives the device back when it is unmounted, however that comes about."""
_FILL = "no-room"
_STEP_MAX_BYTES = 1 << 30
_BLOCK_BYTES = 4096
_COMMAND_LIMIT_S = 60.0
_LET_GO_LIMIT_S = 10.0
_POLL_S = 0.005
_PROGRAMS = "/usr/sbin:/sbin:/usr/bin:/bin"
"""Beside PATH: not every account's has the folders of the system's programs."""


class DiskFault(LabError):
    """The lab's disk cannot be made, or does not do what it was asked."""

    exit_code = 4


class LabDisk:
    """One file system in `image`, mounted at `folder`. Neither may exist before `make`.

    Everything blocks, for some milliseconds. Whoever writes on it stands still or has ended when
    the power is cut, so that nobody sees errors that no machine without power would see.
    """

    def __init__(self, image: Path, folder: Path, account: Account | None = None) -> None:
        self.image, self.folder, self._account = image.resolve(), folder.resolve(), account
        self._size_bytes = 0

    def make(self, size_bytes: int = 0) -> None:
        """Make and mount it, empty and private to the account. Raises `DiskFault`, `OSError`."""
        self._size_bytes = size_bytes or _affordable_bytes(self.image.parent)
        with self.image.open("xb") as file:
            file.truncate(self._size_bytes)
        # Without zeroes ahead and without a reserve that only root may use up.
        features = "nodiscard,lazy_itable_init=1,lazy_journal_init=1"
        journal = f"size={min(_JOURNAL_MAX_BYTES, self._size_bytes // _JOURNALS) >> 20}"
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-J", journal, "-E", features, str(self.image))
        self.folder.mkdir(mode=0o700)
        self._mount()
        self.folder.chmod(0o700)
        if self._account is not None:
            os.chown(self.folder, self._account.uid, self._account.gid)

    def settle(self) -> None:
        """Flush all of it, as if the machine had been up for long: what was installed is kept."""
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            ctypes.CDLL(None).syncfs(handle)
        finally:
            os.close(handle)

    def cut_power(self) -> None:
        """From now on nothing reaches the image, not even what was written and not yet synced.

        Raises `DiskFault`, and does nothing, unless the folder is this disk's own mount.
        """
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._require_own(handle)
            fcntl.ioctl(handle, _SHUTDOWN, _WITHOUT_FLUSHING)
        except OSError as error:
            raise DiskFault(f"{self.folder}: the power cannot be cut: {error}") from None
        finally:
            os.close(handle)

    def bring_back(self) -> None:
        """Mount what the image has: the journal recovers. Nobody may have a file open on it."""
        self._let_go()
        self._mount()
        self.free()

    def fill(self) -> None:
        """Take all room that is left, down to the last block."""
        self._require_own_mount()
        handle = os.open(self.folder / _FILL, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            end, step = os.fstat(handle).st_size, _STEP_MAX_BYTES
            while step >= _BLOCK_BYTES:
                try:
                    os.posix_fallocate(handle, end, step)
                    end += step
                except OSError:
                    # A part of it may be there, and is counted again by the smaller steps.
                    step //= 2
        finally:
            os.close(handle)

    def free(self) -> None:
        """Give back what `fill` took."""
        with suppress(OSError):
            (self.folder / _FILL).unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """What is left for whoever writes."""
        about = os.statvfs(self.folder)
        return about.f_bfree * about.f_frsize

    def remove(self) -> None:
        """Unmount it and remove image and folder. Safe to call twice."""
        guardian.unmount(str(self.folder))
        self.image.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _mount(self) -> None:
        if guardian.mounted(str(self.folder)) or any(self.folder.iterdir()):
            raise DiskFault(f"{self.folder}: nothing is mounted over a folder that holds something")
        _run("mount", "-t", "ext4", "-o", _OPTIONS, str(self.image), str(self.folder))
        self._require_own_mount()

    def _let_go(self) -> None:
        """Unmount, and wait until the loop device is free: else its dead file system is reused."""
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        device = os.fstat(handle).st_dev
        os.close(handle)
        deadline = time.monotonic() + _LET_GO_LIMIT_S
        while guardian.mounted(str(self.folder)):
            if guardian.unmounted(str(self.folder)):
                break
            if time.monotonic() > deadline:
                raise DiskFault(
                    f"{self.folder}: still in use {_LET_GO_LIMIT_S:.0f} s after its end"
                )
            time.sleep(_POLL_S)
        while guardian.backing_file(device) and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def _require_own_mount(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._require_own(handle)
        finally:
            os.close(handle)

    def _require_own(self, handle: int) -> None:
        backing = guardian.backing_file(os.fstat(handle).st_dev)
        if not backing or not self.image.exists() or not self.image.samefile(backing):
            raise DiskFault(f"{self.folder} is not on the lab's own loop device: refused")


@cache
def lab_disk_hindrance() -> str:
    """One line: why this machine cannot have such a disk; empty if it can. Tries it, in 20 ms."""
    if not sys.platform.startswith("linux"):
        return "a disk that loses power needs Linux"
    if os.geteuid() != 0:
        return "a disk that loses power needs root, or the right to mount"
    missing = [each for each in ("mkfs.ext4", "mount") if shutil.which(each, path=_path()) is None]
    if missing:
        return f"a disk that loses power needs {' and '.join(missing)}"
    place = Path(tempfile.mkdtemp(prefix="eslab-disk-"))
    try:
        return _tried(LabDisk(place / "disk.img", place / "disk"))
    finally:
        guardian.remove(str(place))


def _tried(disk: LabDisk) -> str:
    try:
        _affordable_bytes(disk.image.parent)
        disk.make(_TRIAL_BYTES)
        disk.cut_power()
        disk.bring_back()
        disk.remove()
    except (DiskFault, OSError) as error:
        return f"a disk that loses power cannot be made here: {error}"
    return ""


def _affordable_bytes(place: Path) -> int:
    about = os.statvfs(place)
    size_bytes = about.f_bavail * about.f_frsize // _OF_WHAT_IS_FREE
    if size_bytes < _SIZE_MIN_BYTES:
        raise DiskFault(f"{place} has less than {_OF_WHAT_IS_FREE * _SIZE_MIN_BYTES >> 30} GB free")
    return min(size_bytes, _SIZE_MAX_BYTES)


def _path() -> str:
    return os.pathsep.join(filter(None, (os.environ.get("PATH", ""), _PROGRAMS)))


def _run(program: str, *arguments: str) -> None:
    command = [shutil.which(program, path=_path()) or program, *arguments]
    try:
        subprocess.run(
            command,
            env=clean_environment() | {"PATH": _path()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
            timeout=_COMMAND_LIMIT_S,
        )
    except subprocess.CalledProcessError as error:
        (line, *_) = (error.stderr or error.stdout or "no reason given").strip().splitlines()
        raise DiskFault(line) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DiskFault(f"{program}: {error}") from None

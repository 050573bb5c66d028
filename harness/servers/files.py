"""A data folder as files: what it takes on disk, and the page cache behind it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from harness.servers.protocol import UnsupportedByServer

_BLOCK_BYTES = 512


def disk_bytes(folder: Path) -> int:
    """Bytes that the files below `folder` occupy; files that vanish meanwhile count as none."""
    return sum(_occupied_bytes(entry) for entry in _files(folder))


def lengths(folder: Path) -> Iterator[tuple[str, int]]:
    """Path and length of each file below `folder` that does not vanish meanwhile."""
    for entry in _files(folder):
        with suppress(FileNotFoundError):
            yield entry.path, entry.stat(follow_symlinks=False).st_size


def drop_from_page_cache(folder: Path) -> None:
    """Make the next read of every file below `folder` go to the disk.

    Raises `UnsupportedByServer` where the system has no `posix_fadvise`.
    """
    if not hasattr(os, "posix_fadvise"):
        raise UnsupportedByServer("a cold restart needs posix_fadvise, which this system lacks")
    for entry in _files(folder):
        handle = os.open(entry.path, os.O_RDONLY)
        try:
            # Only clean pages can be dropped, so what is dirty is written first.
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def _occupied_bytes(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
    except FileNotFoundError:
        return 0


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield entry

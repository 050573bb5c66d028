"""Files that others may have put something in the place of: a link is never written through."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

_MODE = 0o666
"""Less the user's umask, as for every new file."""
_FORGOTTEN_S = 60.0
"""A part that old is of a writer that was killed: the lab's largest take a second."""
_LOCK_LIMIT_S = 30.0
_POLL_S = 0.01


def replace_file(path: Path, content: bytes) -> None:
    """Put a new file in the place of this one or of a link there, whole or not at all.

    It is on disk before this returns. Raises `OSError`, also for a place that neither a file nor
    a link has: a device or a pipe stays.
    """
    mode = _mode_of(path)
    _sweep(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            if mode is not None:
                beside.chmod(mode)
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def add_to_file(path: Path, added: bytes) -> None:
    """Replace a file by one that has more at its end; makes it where it is missing.

    Raises `OSError`, for a link in its place too. Call it `alone_in` its folder: it reads first.
    """
    require_own(path)
    before = path.read_bytes() if path.exists() else b""
    replace_file(path, before + added)


def require_own(path: Path) -> None:
    """Raises `OSError` for a link: what is in it already is another file's."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link, and links are not written through", str(path))


def opened_at_its_end(path: Path) -> TextIO:
    """An ASCII file of the lab's own, for the caller to close. Raises `OSError` for a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, _MODE), "a", encoding="ascii")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Only one process at a time is in such a block for the same folder.

    On filesystems without locks everybody is let in. Raises `TimeoutError` where another stays.
    """
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(handle, folder)
        yield
    finally:
        os.close(handle)  # which gives the lock back, as the end of the process does


def _lock(handle: int, folder: Path) -> None:
    import fcntl  # noqa: PLC0415 - not on every system

    deadline = time.monotonic() + _LOCK_LIMIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                reason = f"another process has been writing there for {_LOCK_LIMIT_S:.0f} s"
                raise TimeoutError(errno.ETIMEDOUT, reason, str(folder)) from None
            time.sleep(_POLL_S)
        except OSError:
            return
        else:
            return


def _mode_of(path: Path) -> int | None:
    """The mode that the new file is to have; `None` for a new place, or in place of a link."""
    try:
        found = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found):
        return None
    if not stat.S_ISREG(found):
        raise OSError(errno.EINVAL, "not an ordinary file", str(path))
    return stat.S_IMODE(found)


def _sweep(path: Path) -> None:
    """Remove what killed writers of this file left beside it."""
    oldest = time.time() - _FORGOTTEN_S
    with suppress(OSError):
        for part in path.parent.iterdir():
            is_part = part.name.startswith(f".{path.name}.") and part.name.endswith(".part")
            if is_part and part.lstat().st_mtime < oldest:
                part.unlink()

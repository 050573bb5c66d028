"""Writing: a full disk is one clear line, and half a file never replaces a whole one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import LabError

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an `OSError` inside the block into a `LabError` of one line that names `path`."""
    try:
        yield
    except OSError as error:
        raise LabError(
            f"{_cause(error)}: cannot write {path}; finished trials stay readable"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file as a whole, on disk before this returns. Raises `LabError`."""
    beside = path.with_name(f".{path.name}.part")
    with writing(path):
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise


def is_full(error: OSError) -> bool:
    """Is it for want of room?"""
    return error.errno in _FULL


def _cause(error: OSError) -> str:
    if is_full(error):
        return "the disk is full"
    return error.strerror or str(error)

"""What a lab and its guardians left when all of them were killed: known by the guardians' records.

They are in a folder that only this user can write to, because whatever they name is removed.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.servers.native import guardian


def new_record() -> Path | None:
    """A path for a guardian's record; `None` where this user has no folder of its own for it."""
    folder = _folder()
    return None if folder is None else folder / f"{secrets.token_hex(8)}.json"


def clear() -> list[str]:
    """End the servers and remove the folders of killed labs; returns the names of the folders."""
    folder = _folder()
    removed: list[str] = []
    for path in sorted(folder.glob("*.json")) if folder else ():
        with _unguarded(path) as duties:
            if duties is not None:
                there = [Path(each) for each in duties["folders"] if os.path.lexists(each)]
                guardian.carry_out(duties)
                removed += [each.name for each in there]
    return removed


@contextmanager
def _unguarded(path: Path) -> Iterator[dict[str, Any] | None]:
    """What a record says whose guardian and lab have both ended; locked against others."""
    try:
        with path.open("rb") as record:
            fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield _duties(record.read(), path)
    except (BlockingIOError, FileNotFoundError):
        yield None


def _duties(content: bytes, path: Path) -> dict[str, Any] | None:
    try:
        duties: dict[str, Any] = {**guardian.NONE, **json.loads(content)}
    except ValueError:  # killed before its first line
        duties = dict(guardian.NONE)
    if duties["lab"] and guardian.still({duties["lab"]: duties["lab_born"]}, guardian.living()):
        return None
    return duties | {"record": str(path)}


def _folder() -> Path | None:
    folder = Path(tempfile.gettempdir()) / f"eslab-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
    except OSError:
        return None
    mine = stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()
    return folder if mine and not about.st_mode & 0o077 else None

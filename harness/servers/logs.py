"""The one line of a server's log that says why it did not start."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

_TAIL_BYTES = 64 * 1024
_TELLING = (
    re.compile(r"no space left|address already in use|permission denied|too long", re.I),
    re.compile(r"\b(fatal|panic)\b", re.I),
    re.compile(r"\berror\b|exception\b|could not|cannot\b", re.I),
    re.compile(r"\S"),
)


def telling_line(log: Path) -> str:
    """The last line of the most telling kind, or an empty string for an empty log."""
    lines = _tail(log)
    for pattern in _TELLING:
        for line in reversed(lines):
            if pattern.search(line):
                return line.strip()
    return ""


def keep(log: Path, technology: str) -> Path | None:
    """Copy a log out of a folder that is about to be removed; `None` if that cannot be done."""
    try:
        with log.open("rb") as source:
            handle, kept = tempfile.mkstemp(prefix=f"eslab-{technology}-failed-", suffix=".log")
            with os.fdopen(handle, "wb") as target:
                shutil.copyfileobj(source, target)
    except OSError:
        return None
    return Path(kept)


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []

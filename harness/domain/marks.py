"""The name of everything that a run makes on a server or a disk says whose it is.

A name is atomic, where a comment or a tag comes after what it is on, and every technology has
names. A mark is `<start>_<machine>_<pid>_<birth>_<chance>`, in hexadecimal.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

PREFIX = "eslab_"
_MARK = re.compile(
    r"(?P<start>[0-9a-f]{8})_(?P<machine>[0-9a-f]{8})_(?P<pid>[0-9a-f]+)_(?P<birth>[0-9a-f]+)"
    r"_(?P<chance>[0-9a-f]{4})(?![0-9a-f])",
    re.ASCII,
)
_BIRTH_FIELD = 19
"""In `/proc/…/stat`, counted from after the name."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Whose a thing is: a process of one machine, and when its run began."""

    started_s: int
    """Since the epoch."""
    machine: str
    pid: int
    birth: str
    """Tells the process from a later one that was given the same pid."""
    chance: str

    @classmethod
    def of_this_run(cls) -> Self:
        """A new mark of this process."""
        pid = os.getpid()
        return cls(int(time.time()), machine(), pid, born(pid), secrets.token_hex(2))

    @classmethod
    def found_in(cls, name: str) -> Self | None:
        """The mark in a name; `None` for a thing that no run made, or a lab without marks."""
        found = _MARK.search(name)
        if found is None:
            return None
        start, pid = int(found["start"], 16), int(found["pid"], 16)
        return cls(start, found["machine"], pid, found["birth"], found["chance"])

    def __str__(self) -> str:
        parts = (f"{self.started_s:08x}", self.machine, f"{self.pid:x}", self.birth, self.chance)
        return "_".join(parts)

    @property
    def is_of_this_machine(self) -> bool:
        """Whether its process could be seen from here."""
        return self.machine == machine()

    @property
    def lives(self) -> bool:
        """Whether its process runs; only of this machine's is that known."""
        return self.is_of_this_machine and born(self.pid) == self.birth

    @property
    def age_s(self) -> float:
        """Since its run began."""
        return time.time() - self.started_s


@cache
def machine() -> str:
    """This machine, or this container: where the same pid is the same process."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]


def born(pid: int) -> str:
    """When a process began, in hexadecimal; empty if none with this pid runs."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except FileNotFoundError:
        return "" if Path("/proc/self/stat").exists() else _born_elsewhere(pid)
    except OSError:
        return ""  # it ended while it was read
    return "" if fields[0] in "ZX" else f"{int(fields[_BIRTH_FIELD]):x}"


def _born_elsewhere(pid: int) -> str:
    """On systems without /proc."""
    import psutil  # noqa: PLC0415 - takes a while to load

    try:
        return f"{int(psutil.Process(pid).create_time()):x}"
    except psutil.Error:
        return ""

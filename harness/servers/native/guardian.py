"""Outlives the lab until it has ended one server and removed the server's files.

Run as `python -I -S guardian.py`, on the standard library alone, in a session of its own so
that ctrl-C does not reach it. Its standard input is a pipe whose other end only the lab holds:
whatever ends the lab, `kill -9` included, closes that pipe. A JSON object a line:

    {"folders": [PATH, …]}                  to be removed at the end
    {"process": PID, "signal": NUMBER}      to be ended at the end, first by that signal
    {"tidy": ARGV, "uid": N, "gid": N}      to be run between the two; the ids may be null
    {"record": PATH}                        to be written: all of this, for `eslab down`
    {"finish": true}                        do it now, although the lab still runs

Disks of the lab's own that are mounted in one of the folders are unmounted before it is removed.

A later line of a kind replaces the earlier one. The record is locked while the guardian lives, and
removed with the rest: one that is not locked is of a guardian that was killed.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

GRACE_S = 5.0
TIDY_LIMIT_S = 20.0
POLL_S = 0.01
REMOVE_LIMIT_S = 10.0
"""For a folder that a process still writes into: a server of the same run has its own guardian."""

MNT_DETACH = 2
"""Linux: out of sight now, and given up when nobody uses it any more."""


NONE: Mapping[str, Any] = {
    "folders": (), "process": None, "born": "", "tidy": (), "record": "", "lab": 0, "lab_born": ""
}  # fmt: skip


class Life(NamedTuple):
    """One process: `born` tells it from a later one that was given the same pid."""

    parent: int
    born: str


def main(lines: Iterable[str]) -> None:
    """Read until the lab ends or finishes, then tidy up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    lab = os.getppid()
    duties: dict[str, Any] = {**NONE, "lab": lab, "lab_born": born(lab)}
    record: int | None = None
    for fact in facts(lines):
        duties |= fact
        if "process" in fact:
            # Looked up now, while the lab still holds the process and its pid can't be another's.
            duties["born"] = born(fact["process"])
        if "record" in fact:
            record = locked(fact["record"])
        if record is not None:
            write(record, duties)
        if "finish" in fact:
            break
    carry_out(duties)


def carry_out(duties: Mapping[str, Any]) -> None:
    """End the process tree, tidy up, and remove the folders and the record."""
    if duties["process"]:
        end(duties["process"], duties["born"], duties["signal"])
    if duties["tidy"]:
        run(duties["tidy"], duties["uid"], duties["gid"])
    for folder in duties["folders"]:
        wait_for_servers(folder)
        remove(folder)
    if duties["record"]:
        forget(Path(duties["record"]))


def forget(record: Path) -> None:
    """Remove the record, and the folder of records if it was the last one."""
    record.unlink(missing_ok=True)
    with suppress(OSError):
        record.parent.rmdir()


def locked(path: str) -> int | None:
    """A new record, open and locked; `None` where there can be none, which is no reason to end."""
    try:
        Path(path).parent.mkdir(mode=0o700, exist_ok=True)  # another guardian may have removed it
        record = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return None
    return record


def write(record: int, duties: Mapping[str, Any]) -> None:
    """Replace what the record says."""
    try:
        length = os.pwrite(record, json.dumps(duties).encode() + b"\n", 0)
        os.ftruncate(record, length)
    except OSError:
        return


def facts(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The lab's JSON objects, up to a line that was cut off."""
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            return


def end(root: int, birth: str, number: int) -> None:
    """End a process tree: its root by `number`, and with SIGKILL what is left after `GRACE_S`.

    Children that outlive their root have that time too: most then end by themselves, which
    frees their shared memory.
    """
    family = descendants({root: birth}, living())
    send(family, signal.SIGCONT)  # a paused server handles no signal until it continues
    send([root] if root in family else [], signal.Signals(number))
    deadline = time.monotonic() + GRACE_S
    while still(family, now := living()):
        family |= descendants(family, now)
        if time.monotonic() > deadline:
            family |= stop(family)
            send(still(family, living()), signal.SIGKILL)
        time.sleep(POLL_S)


def stop(family: Mapping[int, str]) -> dict[int, str]:
    """Stop a family until it has no new members, so that none forks before it is killed."""
    stopped: dict[int, str] = {}
    while fresh := descendants({**family, **stopped}, living()).items() - stopped.items():
        send((pid for pid, _ in fresh), signal.SIGSTOP)
        stopped |= dict(fresh)
    return stopped


def descendants(family: Mapping[int, str], now: Mapping[int, Life]) -> dict[int, str]:
    """The living members of a family and all their descendants, each with its birth."""
    members = still(family, now)
    for member in members:
        members += [
            pid for pid, life in now.items() if life.parent == member and pid not in members
        ]
    return {pid: now[pid].born for pid in members}


def still(family: Mapping[int, str], now: Mapping[int, Life]) -> list[int]:
    """The living members of a family."""
    return [pid for pid, birth in family.items() if pid in now and now[pid].born == birth]


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal each of them; a process that has ended is no error."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def born(pid: int) -> str:
    """When a process began, as its system spells it; empty if it has ended."""
    life = living().get(pid)
    return life.born if life else ""


def run(command: Iterable[str], uid: int | None, gid: int | None) -> None:
    """Run the server's own clean-up; a failure does not keep the folders from being removed."""
    account: dict[str, Any] = {}
    if uid is not None:
        account = {"user": uid, "group": gid, "extra_groups": []}
    try:
        subprocess.run(list(command), timeout=TIDY_LIMIT_S, check=False, **account)
    except (OSError, subprocess.SubprocessError):
        return


def living() -> dict[int, Life]:
    """Every process that runs, zombies left out."""
    stats = [path / "stat" for path in Path("/proc").glob("[0-9]*")]
    return from_proc(stats) if stats else from_ps()


def from_proc(stats: Iterable[Path]) -> dict[int, Life]:
    """From Linux's /proc: the fields after the name in brackets are state, parent, …, start."""
    lives = {}
    for stat in stats:
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            lives[int(stat.parent.name)] = Life(int(fields[1]), fields[19])
    return lives


def from_ps() -> dict[int, Life]:
    """From `ps`, on other Unix systems."""
    command = ["ps", "-A", "-o", "pid=,ppid=,stat=,lstart="]
    answer = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    rows = [line.split(maxsplit=3) for line in answer.stdout.splitlines()]
    return {int(row[0]): Life(int(row[1]), row[3]) for row in rows if not row[2].startswith("Z")}


def wait_for_servers(folder: str) -> None:
    """A server's folder inside is its own guardian's, which needs it to free shared memory."""
    deadline = time.monotonic() + TIDY_LIMIT_S
    with suppress(OSError):  # a path that no folder can have
        while any(Path(folder).glob("*/server.log")) and time.monotonic() < deadline:
            time.sleep(POLL_S)


def remove(folder: str) -> None:
    """Remove a folder; retry while a process still writes into it, or mounts a disk in it."""
    deadline = time.monotonic() + REMOVE_LIMIT_S
    while time.monotonic() < deadline:
        unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        time.sleep(POLL_S)


def unmount(folder: str) -> None:
    """Unmount the lab's own disks in this folder, or at it, and those that are in use as well.

    Others stay: only a loop device is the lab's whose image lies beside its mount.
    """
    inside = Path(os.path.realpath(folder))
    for point, device in reversed(mounts()):
        image = backing_file(device)
        own = image and Path(image).parent == Path(point).parent
        if own and Path(point).is_relative_to(inside) and not unmounted(point):
            unmounted(point, lazily=True)


def unmounted(point: str, *, lazily: bool = False) -> bool:
    """Unmount what is at this place; false where it is in use, unless that may not matter."""
    system = ctypes.CDLL(None, use_errno=True)
    return bool(system.umount2(os.fsencode(point), MNT_DETACH if lazily else 0) == 0)


def mounted(point: str) -> bool:
    """Whether something is mounted at this very place."""
    return any(each == point for each, _ in mounts())


def mounts() -> list[tuple[str, int]]:
    """Where something is mounted, and its device, in the order in which it was mounted."""
    try:
        table = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return []
    return [(spelled(row[4]), device(row[2])) for row in map(bytes.split, table)]


def spelled(field: bytes) -> str:
    """A path of the mount table, which writes white space as octal numbers."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda each: bytes([int(each[1], 8)]), field))


def device(field: bytes) -> int:
    """The number of `MAJOR:MINOR`."""
    major, minor = field.split(b":")
    return os.makedev(int(major), int(minor))


def backing_file(device: int) -> str:
    """The image of a loop device; empty for any other device, and for one that is free."""
    path = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/loop/backing_file")
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").removesuffix("\n")
    except OSError:
        return ""


if __name__ == "__main__":
    main(sys.stdin)

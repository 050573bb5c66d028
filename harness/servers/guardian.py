"""Outlives the lab by just as long as it takes to end one server and remove what is left of it.

Run as `python -I -S guardian.py`, on the standard library alone, in a session of its own so
that ctrl-C does not reach it. Its standard input is a pipe whose other end only the lab holds:
whatever ends the lab, `kill -9` included, closes that pipe. A JSON object a line:

    {"folders": [PATH, …]}                  to be removed at the end
    {"process": PID, "signal": NUMBER}      to be ended at the end, first by that signal
    {"tidy": ARGV, "uid": N, "gid": N}      to be run between the two; the ids may be null
    {"finish": true}                        now, although the lab goes on

A later line of a kind replaces the earlier one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

GRACE_S = 5.0
POLL_S = 0.01
REMOVALS_MAX = 50


class Life(NamedTuple):
    """One process: `born` tells it from a later one that was given the same pid."""

    parent: int
    born: str


def main(lines: Iterable[str]) -> None:
    """Listen until the lab is gone or lets go, then tidy up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    told: dict[str, Any] = {"folders": (), "process": None, "born": "", "tidy": ()}
    for fact in facts(lines):
        told |= fact
        if "process" in fact:
            # Looked up now, while the lab still holds the process and its pid can't be another's.
            told["born"] = born(fact["process"])
        if "finish" in fact:
            break
    if told["process"]:
        end(told["process"], told["born"], told["signal"])
    if told["tidy"]:
        run(told["tidy"], told["uid"], told["gid"])
    for folder in told["folders"]:
        remove(folder)


def facts(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """What the lab says, up to where it was cut off in the middle of a word."""
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            return


def end(root: int, birth: str, number: int) -> None:
    """End a process tree: its root by `number`, and with SIGKILL what is left after `GRACE_S`.

    Children that outlive their root have that time too: most end by themselves then, and only
    so give back their shared memory.
    """
    family = descendants({root: birth}, living())
    send(family, signal.SIGCONT)  # a paused server hears nothing until it goes on
    send([root] if root in family else [], signal.Signals(number))
    deadline = time.monotonic() + GRACE_S
    while still(family, now := living()):
        family |= descendants(family, now)
        if time.monotonic() > deadline:
            family |= stop(family)
            send(still(family, living()), signal.SIGKILL)
        time.sleep(POLL_S)


def stop(family: Mapping[int, str]) -> dict[int, str]:
    """Stop a family until a look at it finds nobody new: who is killed forks no more before it."""
    stopped: dict[int, str] = {}
    while fresh := descendants({**family, **stopped}, living()).items() - stopped.items():
        send((pid for pid, _ in fresh), signal.SIGSTOP)
        stopped |= dict(fresh)
    return stopped


def descendants(family: Mapping[int, str], now: Mapping[int, Life]) -> dict[int, str]:
    """Those of a family that are alive now, and all that they have started, each with its birth."""
    found = still(family, now)
    for member in found:
        found += [pid for pid, life in now.items() if life.parent == member and pid not in found]
    return {pid: now[pid].born for pid in found}


def still(family: Mapping[int, str], now: Mapping[int, Life]) -> list[int]:
    """Those of a family that are alive now."""
    return [pid for pid, birth in family.items() if pid in now and now[pid].born == birth]


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal each of them; one that has gone in the meantime is as it should be."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def born(pid: int) -> str:
    """When a process began, in its system's own words; empty if it has ended."""
    life = living().get(pid)
    return life.born if life else ""


def run(command: Iterable[str], uid: int | None, gid: int | None) -> None:
    """Run the server's own tidying; the folders go whatever comes of it."""
    account: dict[str, Any] = {}
    if uid is not None:
        account = {"user": uid, "group": gid, "extra_groups": []}
    try:
        subprocess.run(list(command), timeout=GRACE_S, check=False, **account)
    except (OSError, subprocess.SubprocessError):
        return


def living() -> dict[int, Life]:
    """Every process that runs, zombies left out."""
    stats = [path / "stat" for path in Path("/proc").glob("[0-9]*")]
    return from_proc(stats) if stats else from_ps()


def from_proc(stats: Iterable[Path]) -> dict[int, Life]:
    """As Linux tells it: the fields behind the name in brackets are state, parent, …, start."""
    lives = {}
    for stat in stats:
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            lives[int(stat.parent.name)] = Life(int(fields[1]), fields[19])
    return lives


def from_ps() -> dict[int, Life]:
    """As any other Unix tells it."""
    command = ["ps", "-A", "-o", "pid=,ppid=,stat=,lstart="]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [line.split(maxsplit=3) for line in answer.stdout.splitlines()]
    return {int(row[0]): Life(int(row[1]), row[3]) for row in rows if not row[2].startswith("Z")}


def remove(folder: str) -> None:
    """Remove a folder, again if something was still being written in it."""
    for _ in range(REMOVALS_MAX):
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            return
        time.sleep(POLL_S)


if __name__ == "__main__":
    main(sys.stdin)

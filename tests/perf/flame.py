"""`make perf-profile PART=…`: a flame graph of a part, and the share of driver, lab and system.

A sampler (py-spy) looks 200 times a second at every thread that is ready to run, native frames
included, and stops the process while it looks: rates under it are no results.

The kernel's part is what the kernel counts for the process while the part runs (`getrusage`): a
look inside a system call says little, since a thread that waits there for a core is ready, too.
The rest is split by the looks outside system calls, each of which counts for one owner:

- *driver*: the innermost frame that has an owner is a client library's;
- *lab*: it is the lab's own;
- *loop*: it is the event loop's (uvloop, libuv, asyncio's selectors).

*System* is kernel and loop. Frames without an owner (Python, the standard library, memory and
strings of libc) are their caller's. Imports, servers' starts and what a trial prepares before its
load are left out.
"""

from __future__ import annotations

import html
import re
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("results") / "profiles"
RATE_HZ = 200
OWNERS = ("driver", "lab", "loop")
CPU = "--cpu"
"""Before a part's name: the process tells its CPU time at its end."""
_SYSCALL = re.compile(
    r"accept4|clock_nanosleep|close|connect|epoll_(ctl|p?wait)|f(data)?sync|fstatat64|ftruncate64"
    r"|futex|[gs]etsockopt|ioctl|lseek64|m(un)?map|open(at)?(64)?|poll|p(read|write)64"
    r"|pthread_cond_(timed)?wait|read|readv|recv(from|msg)?|select|send(m?msg|to)?|shutdown|socket"
    r"|syscall|write|writev"
)
_OWNER = (
    ("lab", re.compile(r"(^|/)harness/|(^|/)tests/perf/")),
    # The event loop: uvloop is compiled from loop.c, and has libuv's sources in it.
    ("loop", re.compile(r"(^|/)uvloop/|(^|/)(loop|core|stream|linux|loop-watcher|tcp)\.c$"
                          r"|(^|/)asyncio/(base_events|selector_events|events|runners)\.py$"
                          r"|(^|/)selectors\.py$")),
    ("driver", re.compile(
        r"(^|/)(asyncpg|aiokafka|httptools|boto3|botocore|urllib3|esdbclient|kurrentdbclient|grpc"
        r"|orjson|google/(_upb|protobuf)|sqlite3)/"
        # The C that Cython makes of asyncpg and of aiokafka.
        r"|(^|/)(protocol|pgproto|recordobj|_legacy_records|_default_records|legacy_records"
        r"|default_records|memory_records|_crecords|cutil)\.c$"
        r"|cygrpc|orjson\.|_sqlite3|libsqlite3|_upb|message\.abi3|llhttp")),
)  # fmt: skip
_NOT_MEASURED = (
    "importlib._bootstrap", "frozen_garbage ", "/harness/servers/", "ColumnBuffer.__init__",
    "StreamNumbers.__init__", "_parts ",
)  # fmt: skip
_FRAME = re.compile(
    r'<g><title>(?P<title>[^<]*)</title><rect [^>]*?y="(?P<y>\d+)"[^>]*?'
    r'fg:x="(?P<x>\d+)" fg:w="(?P<w>\d+)"'
)
_TITLE = re.compile(r"^(?P<name>.*?)(?: \((?P<file>[^()]*?)(?::\d+)?\))? \([\d,]+ samples, .*\)$")


@dataclass(frozen=True)
class Frame:
    """A function, and the file that it is in; empty where the sampler does not know it."""

    name: str
    file: str


def main(wanted: Sequence[str], parts: Sequence[str]) -> None:
    """Profile one part; exit code 2 for a name that is none."""
    if len(wanted) != 1 or wanted[0] not in parts:
        asked = " ".join(wanted) or "none"
        told = f"perf-profile: PART is {asked}; expected one of {', '.join(parts)}"
        print(told, file=sys.stderr)
        sys.exit(2)
    (part,) = wanted
    drawing = FOLDER / f"{part}.svg"
    FOLDER.mkdir(parents=True, exist_ok=True)
    kernel = _record(part, drawing)
    counts = shares(drawing.read_text(encoding="utf-8"))
    looks = sum(counts[owner] for owner in OWNERS)
    if not looks:
        sys.exit(f"perf-profile: {part} ran, and no look found it at work; {drawing}")
    driver, lab, loop = (counts[owner] / looks * (1 - kernel) for owner in OWNERS)
    print(
        f"{part}: driver {driver:.0%}, lab {lab:.0%}, system {kernel + loop:.0%}"
        f" (kernel {kernel:.0%}, event loop {loop:.0%}); {looks:,} looks outside system calls"
    )
    print(f"{drawing}  (rates under a sampler are no results)")


def tell_cpu(before: resource.struct_rusage) -> None:
    """Print this process's CPU time since then, as `_record` reads it."""
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(CPU, after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime)


def _record(part: str, drawing: Path) -> float:
    """Run the part under the sampler; the kernel's share of its CPU time.

    Its table is not shown: the sampler slows it.
    """
    command = ["record", "--native", "--full-filenames", "--format=flamegraph"]
    command += [f"--rate={RATE_HZ}", f"--output={drawing}", "--"]
    command += [sys.executable, str(Path(__file__).parent), CPU, part]
    sampler = Path(sys.executable).with_name("py-spy")
    if not sampler.is_file():
        sys.exit("perf-profile: py-spy is not installed; make setup-dev")
    ended = subprocess.run([sampler, *command], capture_output=True, text=True, check=False)
    told = re.search(rf"^{CPU} (\S+) (\S+)$", ended.stdout, re.M)
    if ended.returncode or told is None or not drawing.is_file():
        lines = [line for line in ended.stderr.splitlines() if line.strip()] or ["no reason given"]
        sys.exit(f"perf-profile: {part} was not profiled: {lines[-1]}")
    user_s, kernel_s = map(float, told.groups())
    return kernel_s / (user_s + kernel_s)


def shares(drawing: str) -> Counter[str]:
    """How many looks each owner has, and `kernel` for system calls, from py-spy's flame graph."""
    counts: Counter[str] = Counter()
    for stack, looks in stacks(drawing):
        owner = owner_of(stack)
        if owner:
            counts[owner] += looks
    return counts


def owner_of(stack: Sequence[Frame]) -> str:
    """Whose a look is that found this stack, outermost frame first; empty for what is left out."""
    if any(each in f"{one.name} {one.file}" for one in stack for each in _NOT_MEASURED):
        return ""
    if _SYSCALL.fullmatch(stack[-1].name) and "libc" in stack[-1].file:
        return "kernel"
    for frame in reversed(stack):
        if frame.name.startswith("__Pyx_"):
            continue  # Cython's helpers are shared between all that it compiled
        for owner, files in _OWNER:
            if files.search(frame.file):
                return owner
    return ""


def stacks(drawing: str) -> Iterator[tuple[list[Frame], int]]:
    """Each stack, outermost frame first, and how many looks ended in its innermost frame."""
    found = [
        (int(each["y"]), int(each["x"]), int(each["w"]), html.unescape(each["title"]))
        for each in _FRAME.finditer(drawing)
    ]
    # Flames grow down or up; the frame of all looks is at the root.
    root_y = next((y for y, _, _, title in found if title.startswith("all (")), 0)
    found.sort(key=lambda each: (each[1], -each[2], abs(each[0] - root_y)))
    path: list[tuple[int, int, Frame]] = []
    """Where each open frame ends, the looks that no frame inside of it has, and what it is."""
    for _, x, width, title in found:
        while path and path[-1][0] <= x:
            yield from _closed(path)
        if path:
            end, own, frame = path[-1]
            path[-1] = (end, own - width, frame)
        path.append((x + width, width, _frame(title)))
    while path:
        yield from _closed(path)


def _closed(path: list[tuple[int, int, Frame]]) -> Iterator[tuple[list[Frame], int]]:
    own = path[-1][1]
    if own > 0:
        yield [frame for _, _, frame in path], own
    path.pop()


def _frame(title: str) -> Frame:
    told = _TITLE.match(title)
    return Frame(told["name"], told["file"] or "") if told else Frame(title, "")

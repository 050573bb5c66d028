"""Standard output and standard error that never end a measurement, whatever becomes of them.

What a terminal's encoding lacks is replaced. After a write that fails nothing more is written, and
the end of the command tells: a reader that has gone is exit code 141, as of other commands in a
pipe, and anything else one line and 1. A measurement keeps its own exit code in both cases.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_CLOSED = 141
"""What a shell reports of a command that SIGPIPE ended."""
_STDERR = 2


class Outlet(io.FileIO):
    """One of the two; `lost` is why nothing is written any more."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self.lost: OSError | None = None

    def write(self, data: object) -> int:
        """Write, waiting for a reader who is slow; what cannot be written counts as written."""
        view = memoryview(data)  # type: ignore[arg-type]
        while self.lost is None:
            try:
                written = super().write(view)
            except OSError as error:
                self.lost = error
                break
            if written is not None:
                return written
            select.select([], [self], [])  # somebody has made it non-blocking
        return view.nbytes


class _Purpose:
    """What this process's command is for."""

    measures = False


_purpose = _Purpose()


class Streams:
    """Both of them during a command."""

    def __init__(self) -> None:
        closed = _closed()
        self.out, self.err = Outlet(1), Outlet(_STDERR)
        for outlet, number in ((self.out, 1), (self.err, _STDERR)):
            if number in closed:
                outlet.lost = OSError(errno.EBADF, "closed")

    def flush(self) -> None:
        """Write what is still waiting."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()

    def exit_code(self, code: int) -> int:
        """The command's own, unless its output was what it was for and that is lost."""
        lost = self.out.lost
        if lost is None:
            return code
        gone = isinstance(lost, BrokenPipeError)
        if not gone:
            print(f"eslab: standard output: {lost.strerror}", file=sys.stderr, flush=True)
        if _purpose.measures or code:
            return code
        return _PIPE_CLOSED if gone else 1


@contextmanager
def streams() -> Iterator[Streams]:
    """Both streams for the block. Where Python's are not the system's, they stay as they are."""
    before = sys.stdout, sys.stderr
    written = Streams()
    try:
        sys.stdout = _text(written.out, sys.stdout, 1)
        sys.stderr = _text(written.err, sys.stderr, _STDERR)
        yield written
        written.flush()
    finally:
        sys.stdout, sys.stderr = before


def measures() -> None:
    """From now on, the command is there for what it measures, and goes on without its output."""
    _purpose.measures = True


def is_live(console: Console) -> bool:
    """Whether lines may change on it: a terminal, not a log whose colours FORCE_COLOR asks for."""
    return console.is_interactive and console.file.isatty()


def write_text(text: str) -> None:
    """Write what other programs read: in UTF-8 to anything but a terminal, whatever the locale."""
    stream = sys.stdout
    if stream.isatty() or not hasattr(stream, "buffer"):
        stream.write(text)
        return
    stream.flush()
    stream.buffer.write(text.encode(errors="replace"))


def _text(outlet: Outlet, python: TextIO | None, number: int) -> TextIO:
    if python is not None and not _is_systems(python, number):
        return python
    encoding = python.encoding if python else "utf-8"
    buffered = io.BufferedWriter(outlet)
    lines = number == _STDERR or outlet.isatty()
    return io.TextIOWrapper(buffered, encoding, "replace", line_buffering=lines)


def _is_systems(stream: TextIO, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (OSError, ValueError):
        return False


def _closed() -> set[int]:
    """Those of the three that were closed; they lead nowhere now, lest a file gets their number."""
    closed = set()
    for number in range(_STDERR + 1):
        try:
            os.fstat(number)
        except OSError:
            closed.add(number)
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    return closed

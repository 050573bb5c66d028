"""The command line `eslab`. Commands import what they need when they run: `--help` stays quick."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from harness.domain import interruption
from harness.domain.errors import BadInput, LabError

_MESSAGE_MAX = 1000
"""Characters of an error: text of a file may be in it, however long."""
_NO_MEMORY = ("failed to map segment", "cannot allocate memory", "can't start new thread")
"""What a loader, the system and Python say where memory is limited."""
_NO_SUCH_PATH = {
    errno.EACCES,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
}


def _home() -> str:
    """The home folder; for a user id without an account `/`, as containers have it.

    Drivers look for their files at home, and some fail where there is none.
    """
    if not Path(os.environ.get("HOME", "")).is_absolute():
        os.environ.pop("HOME", None)
    try:
        return str(Path.home())
    except RuntimeError:
        return "/"


def main() -> None:
    """Run the command line; one line and an exit code for everything that is not a bug."""
    from harness.cli.output import streams

    os.environ["HOME"] = _home()
    interruption.listen()
    with streams() as written:
        code = _carried_out()
        written.flush()
        code = written.exit_code(code)
    if interruption.exit_code() is not None:
        interruption.leave()
    sys.exit(code)


def _carried_out() -> int:
    try:
        from harness.cli.app import carry_out

        code = carry_out()
    except LabError as error:
        if interruption.exit_code() is None:
            print(f"eslab: {_shown(error)}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 1
    except (MemoryError, ImportError, OSError, RuntimeError) as error:
        line = _of_the_machine(error)
        if not line:
            raise
        print(f"eslab: {line}", file=sys.stderr)
        code = _code_of(error)
    interrupted = interruption.exit_code()
    if interrupted is None:
        return code
    print(interruption.sentence(), file=sys.stderr)
    return interrupted


def _shown(error: LabError) -> str:
    """Its message, without what a terminal would obey, and of a bounded length."""
    text = "".join(
        c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in str(error)
    )
    if len(text) <= _MESSAGE_MAX:
        return text
    return f"{text[: _MESSAGE_MAX // 2]} … {text[-_MESSAGE_MAX // 2 :]}"


def _of_the_machine(error: Exception) -> str:
    """One line for a fault of the machine, or empty for a bug."""
    text = str(error)
    if isinstance(error, MemoryError) or any(each in text.lower() for each in _NO_MEMORY):
        return "not enough memory; close other programs, or raise the limit (ulimit -v)"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return ""


def _code_of(error: Exception) -> int:
    """A path that was typed is bad input."""
    typed = isinstance(error, OSError) and error.errno in _NO_SUCH_PATH
    return BadInput.exit_code if typed else LabError.exit_code

"""Words that no command understands, as one line instead of Typer's four."""

from __future__ import annotations

from typing import Any

import typer

from harness.cli.app import app
from harness.errors import BadInput

_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""Click's own class, of whichever Click this Typer comes with."""
_HELP = "NoArgsIsHelpError"


def command_line() -> int:
    """Carry out what was typed; its exit code. Raises `BadInput` for what cannot be parsed."""
    try:
        code = app(prog_name="eslab", standalone_mode=False)
    except _USAGE_ERROR as error:
        if type(error).__name__ == _HELP:
            error.show()
            return BadInput.exit_code
        raise BadInput(_line(error)) from error
    return code if isinstance(code, int) else 0


def _line(error: Any) -> str:
    """What is wrong, and where to read what is right."""
    said = " ".join(error.format_message().split()).rstrip(".")
    context = error.ctx
    return f"{said}; see {context.command_path} --help" if context else said

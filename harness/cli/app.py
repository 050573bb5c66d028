"""The command line: every command by its name, and what it says of words it cannot understand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer

from harness.cli import (
    aa,
    ab,
    calibrate,
    clean,
    compare,
    conformance,
    containers,
    doctor,
    gate,
    history,
    report,
    run,
    show,
)
from harness.cli import list as list_
from harness.domain.errors import BadInput

app = typer.Typer(
    name="eslab",
    help="Measure which event store keeps which promises, at what speed and what cost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_COMMANDS: Mapping[str, Callable[..., None]] = {
    "run": run.run,
    "conformance": conformance.conformance,
    "show": show.show,
    "report": report.report,
    "export": report.export,
    "list": list_.list_,
    "validate": list_.validate,
    "schema": list_.schema,
    "calibrate": calibrate.calibrate,
    "up": containers.up,
    "down": containers.down,
    "clean": clean.clean,
    "doctor": doctor.doctor,
    "compare": compare.compare,
    "ab": ab.ab,
    "gate": gate.gate,
    "aa": aa.aa,
}
for _name, _command in _COMMANDS.items():
    app.command(_name, cls=run.RunCommand if _name == "run" else None)(_command)
app.add_typer(history.app, name="history")

_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""Click's own class, of whichever Click this Typer comes with."""
_HELP = "NoArgsIsHelpError"


def carry_out() -> int:
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
    """What is wrong, in one line instead of Typer's four, and where to read what is right."""
    problem = " ".join(error.format_message().split()).rstrip(".")
    context = error.ctx
    return f"{problem}; see {context.command_path} --help" if context else problem

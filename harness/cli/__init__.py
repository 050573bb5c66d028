"""The command line `eslab`. Commands import what they need when they run: `--help` stays quick."""

from __future__ import annotations

import sys

from harness.errors import LabError

_INTERRUPTED = 130


def main() -> None:
    """Run the command line; one line and an exit code for everything that is not a bug."""
    from harness.cli.usage import command_line

    try:
        code = command_line()
    except LabError as error:
        print(f"eslab: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        code = 1
    if code == _INTERRUPTED:
        print("eslab: interrupted; finished trials are kept", file=sys.stderr)
    sys.exit(code)

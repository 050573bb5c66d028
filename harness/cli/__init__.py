"""The command line `eslab`. Commands import what they need when they run: `--help` stays quick."""

from __future__ import annotations

import sys

from harness.errors import LabError


def main() -> None:
    """Run the command line; one line and an exit code for everything that is not a bug."""
    from harness.cli.app import app

    try:
        app(prog_name="eslab")
    except LabError as error:
        print(f"eslab: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("eslab: interrupted; finished trials are kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)

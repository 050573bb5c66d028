"""A scenario run by another checkout's code, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BadInput, LabError, NoServer, Refused
from harness.runner.checkouts import Checkout

_ERRORS: dict[int, type[LabError]] = {2: BadInput, 3: Refused, 4: NoServer}
_LAB = Path(__file__).parents[2]
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Order:
    """What each process is to run, once."""

    scenario: Path
    stores: str
    settings: tuple[str, ...]
    way: str
    capacities: Path | None = None
    """A run whose capacities are offered a fraction of; without one they are measured."""


def run_there(code: Checkout, order: Order, out: Path) -> Path:
    """Run it with that code; the folder of the run. Raises what the other process said."""
    out.mkdir(parents=True)
    done = _python(code, _run(order, out), out)
    try:
        return Path(json.loads(done.stdout)[0]["folder"])
    except (ValueError, LookupError, TypeError):
        raise _said(code, done) from None


def files_there(code: Checkout) -> dict[str, str]:
    """Where that code's process imports each store from. Raises what it said.

    What else it prints while it imports stands before its answer.
    """
    done = _python(code, ["-m", "harness.runner.whence"], code.folder)
    try:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, LookupError, TypeError):
        raise _said(code, done) from None


def _python(
    code: Checkout, arguments: Sequence[str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Without -P the folder that it runs in would come before everything."""
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(_import_path(code))},
        stdin=subprocess.DEVNULL,
    )
    if done.returncode == _INTERRUPTED:
        raise KeyboardInterrupt
    return done


def _said(code: Checkout, done: subprocess.CompletedProcess[str]) -> LabError:
    """Its last line, as this process would say it."""
    said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    error = _ERRORS.get(done.returncode, LabError)
    return error(f"{code.name}: {said.removeprefix('eslab: ')}")


def _run(order: Order, out: Path) -> Sequence[str]:
    settings = [word for setting in order.settings for word in ("--set", setting)]
    stores = ["--stores", order.stores] if order.stores else []
    known = ["--capacities", str(order.capacities.resolve())] if order.capacities else []
    return [
        "-m", "harness", "run", str(order.scenario.resolve()), *stores,
        *settings, "--repeat", "1", "--servers", order.way, "--no-samples", "--json",
        "--out", str(out.resolve()), *known,
    ]  # fmt: skip


def _import_path(code: Checkout) -> list[str]:
    """Before what is installed, which may be a package's other commit."""
    rest = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return [*code.import_path, *([] if code.is_lab else [str(_LAB)]), *rest]

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
    done = subprocess.run(
        _command(order, out),
        capture_output=True,
        text=True,
        check=False,
        cwd=out,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(_import_path(code))},
        stdin=subprocess.DEVNULL,
    )
    if done.returncode == _INTERRUPTED:
        raise KeyboardInterrupt
    try:
        return Path(json.loads(done.stdout)[0]["folder"])
    except (ValueError, LookupError, TypeError):
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        error = _ERRORS.get(done.returncode, LabError)
        raise error(f"{code.name}: {said.removeprefix('eslab: ')}") from None


def _command(order: Order, out: Path) -> Sequence[str]:
    """Without -P the folder that it runs in would come before everything."""
    settings = [word for setting in order.settings for word in ("--set", setting)]
    stores = ["--stores", order.stores] if order.stores else []
    known = ["--capacities", str(order.capacities.resolve())] if order.capacities else []
    return [
        sys.executable, "-P", "-m", "harness", "run", str(order.scenario.resolve()), *stores,
        *settings, "--repeat", "1", "--servers", order.way, "--no-samples", "--json",
        "--out", str(out.resolve()), *known,
    ]  # fmt: skip


def _import_path(code: Checkout) -> list[str]:
    rest = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return [*code.import_path, *([] if code.is_lab else [str(_LAB)]), *rest]

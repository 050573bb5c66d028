"""Running the real command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.warm_commands import warm_commands

ROOT = Path(__file__).parents[2]
ESLAB = [sys.executable, "-m", "harness"]
SMALL_EVENTS = ["--set", "events.size_bytes=64"]
"""Each run makes a thousand payloads first, which takes longer than most of these measure."""
QUICKLY = ["--set", "warm_up_s=0.1", "--set", "duration_s=0.2", "--repeat", "1", *SMALL_EVENTS]
AT_LEISURE = ["--set", "load={open: {rate_per_s: 50}}", *SMALL_EVENTS]
"""Measures for as long as it is told, and leaves the cores to others."""


def eslab(*arguments, env=None, timeout_s=120, cwd=ROOT):
    """The finished process, its output as text; standard input closed."""
    warm, variables = warm_commands(), os.environ if env is None else env
    if warm.can_have(variables):
        return warm.run([*map(str, arguments)], Path(cwd), timeout_s, variables)
    return subprocess.run(
        [*ESLAB, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
        check=False,
        env=env,
        cwd=cwd,
    )


def the_run(out: Path) -> Path:
    """The one run folder under `out`."""
    (run,) = [path for path in out.iterdir() if not path.name.startswith(".")]
    return run

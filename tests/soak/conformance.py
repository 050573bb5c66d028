"""No false alarms: the fast profile again and again. An hour long: `make conformance-soak` runs it.

Each run has another seed. `STORE=RUNS …` as arguments runs these instead. A run that raises an
alarm keeps its folder, with the evidence, and the others go on.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

ROOT = Path(__file__).parents[2]
RUNS = ("memory=200", "sqlite=30", "postgres=30", "postgres:coalesced=30")


def main(wanted: list[str]) -> int:
    """A line a store; 1 if something declared failed or was not reached in any run."""
    scratch = Path(tempfile.mkdtemp(prefix="eslab-soak-"))
    alarms = 0
    for store, _, runs in (each.partition("=") for each in wanted or RUNS):
        alarms += soak(store, int(runs), scratch)
    if not alarms:
        shutil.rmtree(scratch)
    return 1 if alarms else 0


def soak(store: str, runs: int, scratch: Path) -> int:
    """How many runs of that store said that something declared does not hold."""
    alarms, began = 0, time.monotonic()
    for seed in range(1, runs + 1):
        told = conformance(store, seed, scratch / "results")
        if told["exit_code"]:
            alarms += 1
            print(f"\r{store}: alarm with seed {seed}: {defects(told)}; see {told['folder']}")
        else:
            shutil.rmtree(told["folder"])
        left_s = (time.monotonic() - began) / seed * (runs - seed)
        print(
            f"\r{store}: {seed}/{runs}, about {left_s / 60:.0f} min left ", end="", file=sys.stderr
        )
    high = binomtest(alarms, runs).proportion_ci(method="exact").high
    seconds = (time.monotonic() - began) / runs
    print(
        f"\r{store}: {alarms} of {runs} runs with a false alarm (95 %: at most {high:.1%} of runs),"
        f" {seconds:.0f} s a run",
        flush=True,
    )
    return alarms


def defects(told: dict[str, Any]) -> str:
    """The declared checks that did not hold, each with why."""
    results = [result for store in told["stores"] for result in store["results"]]
    return "; ".join(f"{each['check']}: {each['why']}" for each in results if each["defect"])


def conformance(store: str, seed: int, out: Path) -> dict[str, Any]:
    """One run, as its JSON tells it."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", "conformance", "--stores", store, "--seed", str(seed),
         "--servers", "native", "--out", str(out), "--json"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    if not done.stdout:
        sys.exit(f"{store}, seed {seed}: exit {done.returncode}\n{done.stderr}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

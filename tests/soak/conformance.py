"""Checks neither miss nor invent anything: `make conformance-soak`, some hours.

First the full cross: each broken store against all checks. The check that is named for the fault
must fail, and no check but those that may. Then no false alarms: the fast profile again and again
on sound stores, each run with another seed.

Arguments choose a part: `cross`, or `STORE=RUNS …`; `STORE=16-30` are the runs with these seeds,
which go on after 15. A run that raises a false alarm keeps its folder, with the evidence, and the
others continue. Ctrl-C ends a part with the runs that there were.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from tests.conformance.catching import failures, results_of
from tests.conformance.faults import FAULTS

ROOT = Path(__file__).parents[2]
CROSS = "cross"
LEFT_OPEN = 4
"""The exit code of a run in which nothing fails and something declared was not reached."""
RUNS = (
    *("memory=200", "sqlite=30", "postgres=30", "kafka=30", "dynamodb=30", "umadb=30"),
    *("postgres:row=5", "postgres:coalesced=5", "postgres:global-lock=5", "postgres:table-lock=5"),
    *("postgres:counter=5", "postgres:boundary=5", "sqlite:boundary=5", "umadb:position=5"),
    *("kafka:single-writer=5", "postgres:template=2", "dynamodb:template=2"),
)
"""The test run asks a variant for what its commits decide, a template for its known faults."""
BROKEN = {store.__name__: store for store in FAULTS}


def main(wanted: list[str]) -> int:
    """Run the parts, a summary line each; 1 if a fault was missed or something was invented."""
    scratch = Path(tempfile.mkdtemp(prefix="eslab-soak-"))
    wrong = 0
    for part in wanted or (CROSS, *RUNS):
        store, _, runs = part.partition("=")
        wrong += cross() if part == CROSS else soak(store, seeds_of(part, runs), scratch)
    if not wrong:
        shutil.rmtree(scratch, ignore_errors=True)  # so does the guardian of a run that was cut off
    return 1 if wrong else 0


def seeds_of(part: str, runs: str) -> range:
    """Of `RUNS` or `FIRST-LAST`; anything else ends the process with one line."""
    first, dash, last = runs.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        sys.exit(f"{part}: expected {CROSS}, STORE=RUNS or STORE=FIRST-LAST")
    return range(int(first), int(last) + 1) if dash else range(1, int(first) + 1)


def cross() -> int:
    """The number of broken stores that were not caught, or by an unrelated check as well."""
    began, wrong = time.monotonic(), 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(crossed, name) for name in BROKEN]
        for done, each in enumerate(as_completed(running), start=1):
            if line := each.result():
                wrong += 1
                print(f"\r{line}", flush=True)
            progress("broken stores", done, len(BROKEN), began)
    minutes = (time.monotonic() - began) / 60
    print(
        f"\r{CROSS}: {len(BROKEN) - wrong} of {len(BROKEN)} broken stores are caught by their check"
        f" and by no unrelated one, {minutes:.0f} min",
        flush=True,
    )
    return wrong


def crossed(name: str) -> str:
    """What is wrong with the results of all checks on this store; empty if nothing is."""
    number, may_fail = FAULTS[BROKEN[name]]
    failed = failures(asyncio.run(results_of(BROKEN[name])))
    unrelated = {each: why for each, why in failed.items() if each not in {number, *may_fail}}
    missed = [] if number in failed else [f"{number} does not fail"]
    problems = [*missed, *(f"{each} fails: {why}" for each, why in unrelated.items())]
    return f"{name}: {'; '.join(problems)}" if problems else ""


def soak(store: str, seeds: Sequence[int], scratch: Path) -> int:
    """The number of runs on that store with a false alarm."""
    alarms, left_open, runs, began = 0, 0, 0, time.monotonic()
    with suppress(KeyboardInterrupt):
        for seed in seeds:
            run = conformance(store, seed, scratch / "results")
            runs += 1
            left_open += run["exit_code"] == LEFT_OPEN
            if run["exit_code"] not in (0, LEFT_OPEN):
                alarms += 1
                print(f"\r{store}: alarm with seed {seed}: {defects(run)}; see {run['folder']}")
            else:
                shutil.rmtree(run["folder"])
            progress(store, runs, len(seeds), began)
    if not runs:
        return 0
    high = binomtest(alarms, runs).proportion_ci(method="exact").high
    seconds = (time.monotonic() - began) / runs
    print(
        f"\r{store}: {alarms} of {runs} runs with a false alarm (95 %: at most {high:.1%} of runs),"
        f" {left_open} with a check that was not reached, {seconds:.0f} s a run",
        flush=True,
    )
    return alarms


def progress(what: str, done: int, of: int, began: float) -> None:
    """A line that the next one overwrites."""
    left_s = (time.monotonic() - began) / done * (of - done)
    print(f"\r{what}: {done}/{of}, about {left_s / 60:.0f} min left ", end="", file=sys.stderr)


def defects(run: dict[str, Any]) -> str:
    """The declared checks that did not hold, each with the reason."""
    results = [result for store in run["stores"] for result in store["results"]]
    return "; ".join(f"{each['check']}: {each['why']}" for each in results if each["defect"])


def conformance(store: str, seed: int, out: Path) -> dict[str, Any]:
    """The JSON of one run."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", "conformance", "--stores", store, "--seed", str(seed),
         "--servers", "native", "--out", str(out), "--json"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    if not done.stdout:
        sys.exit(f"{store}, seed {seed}: exit {done.returncode}\n{done.stderr}")
    run: dict[str, Any] = json.loads(done.stdout)
    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

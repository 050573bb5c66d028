"""How good the verdicts are here, on real pairs. Minutes long: only `make soak-compare` runs it.

Identical code first: pairs of one store against itself, and how often a gate on them, with sides
swapped at random, would call something regressed; the same pairs with one side made slower. Then an
index that nobody noticed: how often the counted gate finds it with two pairs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from slowdowns import slowdowns

ROOT = Path(__file__).parents[2]
ADAPTER = ROOT / "tests" / "e2e" / "adapter" / "indexed_store.py"
SCENARIO = str(ROOT / "scenarios" / "quick.yaml")
SHORT = ["--set", "operations=2000", "--set", "warm_up_s=0.2", "--servers", "native"]
PAIRS = int(os.environ.get("SOAK_PAIRS", "60"))
TRIES = int(os.environ.get("SOAK_TRIES", "10"))
ALARMS_MAX = 0.02


def main() -> int:
    """Print both results; 1 where one is missed."""
    with tempfile.TemporaryDirectory(prefix="eslab-soak-") as scratch:
        alarms, run = false_alarms(Path(scratch))
        seen = slowdowns(run)
        found = index_found(Path(scratch))
    return 0 if alarms <= ALARMS_MAX and seen and found == TRIES else 1


def false_alarms(scratch: Path) -> tuple[float, Path]:
    """The share of simulated gates on identical code that would have failed, and its pairs."""
    told = eslab(scratch, "aa", SCENARIO, "--stores", "postgres", "--pairs", PAIRS)
    found = told["stores"]["postgres"]
    low, high = found["alarm_interval"]
    print(f"identical code, {PAIRS} pairs: {found['alarms']} of {found['gates']} gates of", end=" ")
    print(f"{found['gate_pairs']} pairs failed ({low:.1%} to {high:.1%}; at most {ALARMS_MAX:.0%})")
    for name, metric in found["metrics"].items():
        print(f"  {name:<11} spread {metric['spread']:6.1%}  furthest {metric['furthest']:6.1%}")
    return float(found["alarms"] / found["gates"]), Path(told["folder"])


def index_found(scratch: Path) -> int:
    """The tries in which two pairs showed the index as regressed log bytes."""
    environment = third_party(scratch / "site")
    found = 0
    for number in range(1, TRIES + 1):
        told = eslab(
            scratch, "ab", SCENARIO, "--base", "postgres", "--candidate", "indexed", "--pairs", 2,
            environment=environment,
        )  # fmt: skip
        (wal,) = [row for row in told["rows"] if row["metric"] == "wal"]
        found += wal["verdict"] == "regressed"
        print(f"  try {number}: {wal['verdict']}, {wal['ratio'] - 1:+.1%} log bytes an event")
    print(f"an index more: found in {found} of {TRIES} tries with 2 pairs")
    return found


def third_party(site: Path) -> dict[str, str]:
    """An environment in which another package offers the store `indexed`."""
    about = site / "indexed_store-1.0.dist-info"
    about.mkdir(parents=True)
    shutil.copy(ADAPTER, site)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: indexed-store\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[eslab.stores]\nindexed = indexed_store:STORE\n")
    return {"PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}


def eslab(scratch: Path, *arguments: object, environment: dict[str, str] | None = None) -> Any:
    """What the command says in JSON; its progress goes on to the terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", *map(str, arguments), *SHORT,
         "--out", str(scratch / "results"), "--json"],
        stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
        env=os.environ | (environment or {}),
    )  # fmt: skip
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())

"""How good the verdicts are here, on real pairs. Minutes long: only `make soak-compare` runs it.

Identical code first: pairs of one store against itself, and how often a gate on them, with sides
swapped at random, would call something regressed; the same pairs with one side made slower. Then an
index that nobody noticed: how often the counted gate finds it with two pairs. At last two designs,
one design twice, and the index, each at every number of clients of `append-scaling`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from commands import ROOT, eslab, third_party
from scaling import scaling
from slowdowns import slowdowns

SCENARIO = str(ROOT / "scenarios" / "quick.yaml")
SHORT = ["--set", "operations=2000", "--set", "warm_up_s=0.2"]
PAIRS = int(os.environ.get("SOAK_PAIRS", "60"))
TRIES = int(os.environ.get("SOAK_TRIES", "10"))
ALARMS_MAX = 0.02


def main() -> int:
    """Print what was found; 1 where something is missed."""
    with tempfile.TemporaryDirectory(prefix="eslab-soak-") as scratch:
        alarms, run = false_alarms(Path(scratch))
        seen = slowdowns(run)
        found = index_found(Path(scratch))
        told_apart = scaling(Path(scratch))
    return 0 if alarms <= ALARMS_MAX and seen and found == TRIES and told_apart else 1


def false_alarms(scratch: Path) -> tuple[float, Path]:
    """The share of simulated gates on identical code that would have failed, and its pairs."""
    told = eslab(scratch, "aa", SCENARIO, "--stores", "postgres", "--pairs", PAIRS, *SHORT)
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
            *SHORT, environment=environment,
        )  # fmt: skip
        (wal,) = [row for row in told["rows"] if row["metric"] == "wal"]
        found += wal["verdict"] == "regressed"
        print(f"  try {number}: {wal['verdict']}, {wal['ratio'] - 1:+.1%} log bytes an event")
    print(f"an index more: found in {found} of {TRIES} tries with 2 pairs")
    return found


if __name__ == "__main__":
    sys.exit(main())

"""Verdicts at every number of clients: a better design, the same one twice, and an index more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from commands import ROOT, eslab, third_party

from harness.domain import formatting

SCENARIO = str(ROOT / "scenarios" / "append-scaling.yaml")
PAIRS = int(os.environ.get("SOAK_SCALING_PAIRS", "10"))
SHORT = ["--set", "duration_s=1", "--set", "warm_up_s=0.2"]
_RATIOS = ("ratio", "ratio_low", "ratio_high")
_COUNTED = {"equivalent"}
_TIMED = {"equivalent", "inconclusive"}


def scaling(scratch: Path) -> bool:
    """Print each verdict by point; whether all are as they have to be."""
    environment = third_party(scratch / "elsewhere")
    better = rows(scratch, "postgres:template", "postgres")
    same = rows(scratch, "postgres", "postgres")
    index = rows(scratch, "postgres", "indexed", environment=environment)
    return all([
        shown("postgres:template → postgres", better, "throughput", {"improved"}),
        shown("postgres twice", same, "wal", _COUNTED),
        shown("postgres twice", same, "throughput", _TIMED),
        shown("postgres twice", same, "p50", _TIMED),
        shown("an index more", index, "wal", {"regressed"}),
    ])  # fmt: skip


def rows(
    scratch: Path, base: str, candidate: str, *, environment: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Of `eslab ab` on the scenario."""
    told = eslab(
        scratch, "ab", SCENARIO, "--base", base, "--candidate", candidate, "--pairs", PAIRS,
        *SHORT, environment=environment,
    )  # fmt: skip
    return list(told["rows"])


def shown(title: str, found: Iterable[Mapping[str, Any]], metric: str, expected: set[str]) -> bool:
    """Print a metric's verdict at each point, with its interval; whether all are expected."""
    mine = [row for row in found if row["metric"] == metric]
    print(f"{title}, {metric}, {PAIRS} pairs:")
    for row in mine:
        ratio, low, high = (formatting.change(row[name]) for name in _RATIOS)
        print(f"  {row['point']:<32} {row['verdict']:<12} {ratio} ({low} to {high})")
    return bool(mine) and {row["verdict"] for row in mine} <= expected

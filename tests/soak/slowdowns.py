"""Slowdowns of a known size, put into real pairs of identical code: what a gate says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from harness import results
from harness.analysis.comparison import TIMED, Verdict, compare
from harness.analysis.comparison.pairing import log_ratios

GATES = 200
PAIRS = 10
DEVIATIONS, FOUND_MIN = 1.5, 0.80
SMALL, ALARMS_MAX = 0.01, 0.02


def slowdowns(run: Path) -> bool:
    """Print how often each slowdown was called what; whether that is as often as it has to be."""
    trials = results.load(run).trials
    base, candidate = (_side(trials, name) for name in ("base", "candidate"))
    logs = log_ratios(base["throughput_per_s"].to_numpy(), candidate["throughput_per_s"].to_numpy())
    spread = float(np.std(logs, ddof=1))
    large = _verdicts(base, candidate, DEVIATIONS * spread)
    small = _verdicts(base, candidate, np.log1p(SMALL))
    _print(f"{DEVIATIONS} pair deviations ({np.expm1(DEVIATIONS * spread):.1%})", large)
    _print(f"{SMALL:.0%}", small)
    found, alarms = large[Verdict.REGRESSED] / GATES, small[Verdict.REGRESSED] / GATES
    return found >= FOUND_MIN and alarms <= ALARMS_MAX


def _side(trials: pd.DataFrame, name: str) -> pd.DataFrame:
    return trials[trials["side"] == name].sort_values("repetition").reset_index(drop=True)


def _verdicts(base: pd.DataFrame, candidate: pd.DataFrame, slower_log: float) -> Counter[Verdict]:
    """Verdicts on throughput, each with its interval, of gates whose candidate is that slower."""
    told: Counter[Verdict] = Counter()
    for one, other in _gates(base, candidate):
        slower = other.assign(
            throughput_per_s=other["throughput_per_s"] * np.exp(-slower_log),
            service_p50_ns=other["service_p50_ns"] * np.exp(slower_log),
        )
        rows = compare([("slowed", one, slower)], TIMED).rows
        (row,) = [row for row in rows if row.metric.name == "throughput"]
        assert row.estimate.low is not None
        assert row.estimate.high is not None
        told[row.verdict] += 1
    return told


def _gates(
    base: pd.DataFrame, candidate: pd.DataFrame
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Ten of the pairs, drawn anew each time, the sides of each swapped at random."""
    rng, pairs = np.random.default_rng(1), len(base)
    both = pd.concat([base, candidate], ignore_index=True)
    for _ in range(GATES):
        chosen = rng.choice(pairs, min(PAIRS, pairs), replace=False)
        swapped = rng.random(len(chosen)) < 0.5
        yield both.iloc[chosen + pairs * swapped], both.iloc[chosen + pairs * ~swapped]


def _print(slowdown: str, told: Counter[Verdict]) -> None:
    shares = ", ".join(f"{verdict} {count / GATES:.1%}" for verdict, count in told.most_common())
    print(f"slower by {slowdown}, {GATES} gates of {PAIRS} pairs: {shares}")

"""The noise floor of a machine: what identical code does to each metric, and to a gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from harness.compare import verdicts
from harness.compare.intervals import ALPHA, holm, pairs_needed
from harness.compare.metrics import METRICS, Metric
from harness.compare.pairing import Ratios, points, ratios
from harness.compare.sign_flip import sign_flip
from harness.compare.strays import strays
from harness.compare.verdicts import Verdict

GATES = 1_000
"""Simulated gates: pairs drawn at random, base and candidate swapped at random."""


@dataclass(frozen=True, slots=True)
class Floor:
    """One metric of identical code at its worst point."""

    metric: Metric
    pairs: int
    spread: float
    """Standard deviation of the pairs' log ratios."""
    furthest: float
    """The largest |log ratio| of a difference beyond the metric's grain, as a share."""
    usual: float
    """The same without the strays that a gate of nine pairs and more leaves out."""
    floor: float
    """A share: no smaller margin can be held, with `gate_pairs` pairs."""
    pairs_for_margin: int | None
    """So many pairs tell a change of the margin from none; none if over a thousand do not."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What `eslab aa` found."""

    gate_pairs: int
    floors: tuple[Floor, ...]
    gates: int
    alarms: int
    """Simulated gates in which any gated metric was called regressed, though nothing changed."""

    @property
    def alarm_interval(self) -> tuple[float, float]:
        """95 % binomial interval of the rate of false alarms, for these very trials."""
        found = stats.binomtest(self.alarms, self.gates).proportion_ci(method="exact")
        return float(found.low), float(found.high)

    def floor_of(self, name: str) -> Floor | None:
        """The floor of a metric, if it was seen."""
        return next((floor for floor in self.floors if floor.metric.name == name), None)


def noise(
    base: pd.DataFrame,
    candidate: pd.DataFrame,
    *,
    gate_pairs: int = 10,
    metrics: Sequence[Metric] = METRICS,
    gates: int = GATES,
    seed: int = 1,
) -> Noise:
    """The floors of two sides that ran the same code. Raises `BadInput`."""
    found = {
        (point.label, metric.name): (metric, pairs)
        for point in points(base, candidate)
        for metric in metrics
        if (pairs := ratios(point, metric)) is not None and np.isfinite(pairs.logs).all()
    }
    rows = list(found.values())
    rng = np.random.default_rng(seed)
    alarms = sum(_alarms(rows, rng, gate_pairs) for _ in range(gates))
    return Noise(gate_pairs, tuple(_worst(rows, gate_pairs).values()), gates, alarms)


def floor_of(metric: Metric, spread: float, furthest: float, usual: float, pairs: int) -> float:
    """The least margin, a share, within which identical code can be called equivalent.

    A timed one needs room for the two one-sided tests, a counted one for each pair but for strays.
    """
    if metric.kind == "counted":
        return usual if strays(pairs) else furthest
    return float(np.expm1(stats.t.ppf(1 - ALPHA, pairs - 1) * spread / np.sqrt(pairs)))


def _worst(rows: Sequence[tuple[Metric, Ratios]], gate_pairs: int) -> Mapping[str, Floor]:
    timed = sum(metric.kind == "timed" for metric, _ in rows)
    worst: dict[str, Floor] = {}
    for metric, pairs in rows:
        floor = _floor(metric, pairs, gate_pairs, ALPHA / max(timed, 1))
        if metric.name not in worst or floor.floor > worst[metric.name].floor:
            worst[metric.name] = floor
    return worst


def _floor(metric: Metric, pairs: Ratios, gate_pairs: int, level: float) -> Floor:
    logs = pairs.logs
    spread = float(np.std(logs, ddof=1)) if len(logs) > 1 else float("nan")
    distances = np.expm1(np.sort(np.where(pairs.beyond_grain, np.abs(logs), 0.0)))
    furthest, usual = float(distances[-1]), float(distances[-1 - strays(len(logs))])
    return Floor(
        metric=metric,
        pairs=len(logs),
        spread=spread,
        furthest=furthest,
        usual=usual,
        floor=floor_of(metric, spread, furthest, usual, gate_pairs),
        pairs_for_margin=pairs_needed(spread, level, metric.margin_log)
        if metric.kind == "timed"
        else None,
    )


def _alarms(
    rows: Sequence[tuple[Metric, Ratios]], rng: np.random.Generator, gate_pairs: int
) -> bool:
    """One gate on identical code: the same pairs and swaps for every metric, as in a real one."""
    pairs = min(len(each.logs) for _, each in rows)
    chosen = rng.choice(pairs, min(gate_pairs, pairs), replace=False)
    signs = rng.choice((-1.0, 1.0), len(chosen))
    drawn = [(metric, each.taken(chosen, signs)) for metric, each in rows]
    timed = [(metric, each.logs) for metric, each in drawn if metric.kind == "timed"]
    held = holm([sign_flip(logs) for _, logs in timed])
    found = [
        verdicts.timed_verdict(metric, logs, level=level, significant=significant)
        for (metric, logs), (level, significant) in zip(timed, held, strict=True)
        if metric.gated
    ]
    found += [
        verdicts.counted(metric, each).verdict
        for metric, each in drawn
        if metric.kind == "counted" and metric.gated
    ]
    return Verdict.REGRESSED in found

"""The noise floor of a machine: how much metrics and gates vary for identical code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.analysis.comparison.comparing import Verdict, counted, share, timed_verdict
from harness.analysis.comparison.metrics import METRICS, Metric
from harness.analysis.comparison.pairing import Pairs, pairs_of, points, strays
from harness.analysis.comparison.statistics import ALPHA, holm, pairs_needed, sign_flip
from harness.analysis.paired import t_quantile

GATES = 1_000
"""Number of simulated gates: random pairs with random swaps of base and candidate."""


@dataclass(frozen=True, slots=True)
class Floor:
    """One metric of identical code at its worst point."""

    metric: Metric
    pairs: int
    spread: float
    """Standard deviation of the pairs' changes."""
    furthest: float
    """The largest |log ratio| of a difference beyond the metric's grain, as a share."""
    usual: float
    """The same without the strays that a gate of nine or more pairs leaves out."""
    floor: float
    """The smallest margin, as a share, that works with `gate_pairs` pairs."""
    pairs_for_margin: int | None
    """Pairs that separate a change of the margin from no change; None above 1,000."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The result of `eslab aa`."""

    gate_pairs: int
    floors: tuple[Floor, ...]
    gates: int
    alarms: int
    """Simulated gates in which any gated metric regressed, though nothing changed."""

    @property
    def alarm_interval(self) -> tuple[float, float]:
        """95 % binomial interval of the rate of false alarms, for these trials."""
        from scipy.special import betaincinv  # noqa: PLC0415 - as for Student's t

        wrong, right = self.alarms, self.gates - self.alarms
        low = betaincinv(wrong, right + 1, 0.025) if wrong else 0
        high = betaincinv(wrong + 1, right, 0.975) if right else 1
        return float(low), float(high)

    def floor_of(self, name: str) -> Floor | None:
        """The floor of a metric, or None if no trial has it."""
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
    """The noise of two sides that ran the same code. Raises `BadInput`."""
    measured = {
        (point.label, metric.name): (metric, pairs)
        for point in points(base, candidate)
        for metric in metrics
        if (pairs := pairs_of(point, metric)) is not None and np.isfinite(pairs.changes).all()
    }
    rows = list(measured.values())
    rng = np.random.default_rng(seed)
    alarms = sum(_alarms(rows, rng, gate_pairs) for _ in range(gates))
    return Noise(gate_pairs, tuple(_worst(rows, gate_pairs).values()), gates, alarms)


def floor_of(metric: Metric, spread: float, furthest: float, usual: float, pairs: int) -> float:
    """The smallest margin, as a share, at which identical code is equivalent.

    A timed metric needs room for the two one-sided tests, a counted one for all pairs but strays.
    """
    if metric.kind == "share":
        return furthest
    if metric.kind == "counted":
        return usual if strays(pairs) else furthest
    return float(np.expm1(t_quantile(1 - ALPHA, pairs - 1) * spread / np.sqrt(pairs)))


def _worst(rows: Sequence[tuple[Metric, Pairs]], gate_pairs: int) -> Mapping[str, Floor]:
    timed = sum(metric.kind == "timed" for metric, _ in rows)
    worst: dict[str, Floor] = {}
    for metric, pairs in rows:
        floor = _floor(metric, pairs, gate_pairs, ALPHA / max(timed, 1))
        if metric.name not in worst or floor.floor > worst[metric.name].floor:
            worst[metric.name] = floor
    return worst


def _floor(metric: Metric, pairs: Pairs, gate_pairs: int, level: float) -> Floor:
    changes = pairs.changes
    spread = float(np.std(changes, ddof=1)) if len(changes) > 1 else float("nan")
    distances = np.sort(np.where(pairs.beyond_grain, np.abs(changes), 0.0))
    distances = distances if metric.kind == "share" else np.expm1(distances)
    furthest, usual = float(distances[-1]), float(distances[-1 - strays(len(changes))])
    return Floor(
        metric=metric,
        pairs=len(changes),
        spread=spread,
        furthest=furthest,
        usual=usual,
        floor=floor_of(metric, spread, furthest, usual, gate_pairs),
        pairs_for_margin=pairs_needed(spread, level, metric.bound)
        if metric.kind == "timed"
        else None,
    )


def _alarms(
    rows: Sequence[tuple[Metric, Pairs]], rng: np.random.Generator, gate_pairs: int
) -> bool:
    """Whether one simulated gate fails; it uses the same pairs and swaps for every metric."""
    pairs = min(len(each.changes) for _, each in rows)
    chosen = rng.choice(pairs, min(gate_pairs, pairs), replace=False)
    signs = rng.choice((-1.0, 1.0), len(chosen))
    drawn = [(metric, each.taken(chosen, signs)) for metric, each in rows]
    timed = [(metric, each.changes) for metric, each in drawn if metric.kind == "timed"]
    levels = holm([sign_flip(logs) for _, logs in timed])
    verdicts = [
        timed_verdict(metric, logs, level=level, significant=significant)
        for (metric, logs), (level, significant) in zip(timed, levels, strict=True)
        if metric.gated
    ]
    verdicts += [
        (share if metric.kind == "share" else counted)(metric, each).verdict
        for metric, each in drawn
        if metric.kind != "timed" and metric.gated
    ]
    return Verdict.REGRESSED in verdicts

"""What the pairs of one metric say: regressed, improved, equivalent, or inconclusive."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from harness.compare.intervals import ALPHA, least_effect, pairs_to_decide
from harness.compare.metrics import Metric, Values
from harness.compare.pairing import Ratios
from harness.compare.strays import without_strays
from harness.paired import t_interval


class Verdict(StrEnum):
    """One of four. *Inconclusive* never passes for equal."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict and what it rests on. Ratios are candidate ÷ base."""

    verdict: Verdict
    pairs: int
    ratio: float
    """Geometric mean of the pairs' ratios; of a counted metric their median."""
    low: float | None
    """Interval of a timed metric; smallest ratio of a counted one, but for strays."""
    high: float | None
    confidence: float | None = None
    """Of the interval, after Holm; none for counts, which are no samples."""
    p_value: float | None = None
    least_effect: float | None = None
    """A share: what these pairs would have shown four times out of five. Inconclusive only."""
    more_pairs: int | None = None
    """Beyond those there are, if mean and spread stay; none for over a thousand. Inconclusive."""


def timed(
    metric: Metric, logs: Values, *, p_value: float, level: float, significant: bool
) -> Finding:
    """A sample's finding, at the level and with the significance that Holm gave it."""
    low, high = t_interval(logs, level)
    verdict = timed_verdict(metric, logs, level=level, significant=significant)
    undecided = verdict == Verdict.INCONCLUSIVE
    return Finding(
        verdict=verdict,
        pairs=len(logs),
        ratio=float(np.exp(np.mean(logs))),
        low=_ratio(low),
        high=_ratio(high),
        confidence=1 - level,
        p_value=p_value,
        least_effect=_share(least_effect(logs, level, metric.margin_log)) if undecided else None,
        more_pairs=_more(metric, logs, level) if undecided else None,
    )


def timed_verdict(metric: Metric, logs: Values, *, level: float, significant: bool) -> Verdict:
    """A change must be significant, its interval leave zero out, its estimate be past the margin.

    Equivalent: two one-sided tests, which is the 90 % interval inside the margin.
    """
    mean = float(np.mean(logs))
    low, high = t_interval(logs, level)
    if significant and not low <= 0 <= high and abs(mean) > metric.margin_log:
        return _direction(metric, mean)
    inside = _inside(metric, t_interval(logs, 2 * ALPHA))
    return Verdict.EQUIVALENT if inside else Verdict.INCONCLUSIVE


def counted(metric: Metric, pairs: Ratios) -> Finding:
    """A count's verdict: counts are no samples, so each pair but for strays must say the same.

    Every ratio beyond margin and grain on the same side: changed. Every ratio inside the margin:
    equivalent. Else inconclusive: something else was counted in some pairs, or too little was
    written for the count to tell.
    """
    told = without_strays(pairs)
    logs = told.logs
    beyond = np.abs(logs) > metric.margin_log
    verdict = Verdict.INCONCLUSIVE
    if not beyond.any():
        verdict = Verdict.EQUIVALENT
    elif (beyond & told.beyond_grain).all() and abs(np.sign(logs).sum()) == len(logs):
        verdict = _direction(metric, float(logs[0]))
    return Finding(
        verdict=verdict,
        pairs=len(pairs.logs),
        ratio=float(np.exp(np.median(logs))) if np.isfinite(logs).all() else float("nan"),
        low=_ratio(float(logs.min())),
        high=_ratio(float(logs.max())),
    )


def _direction(metric: Metric, log: float) -> Verdict:
    return Verdict.IMPROVED if (log > 0) == (metric.better == "higher") else Verdict.REGRESSED


def _inside(metric: Metric, interval: tuple[float, float]) -> bool:
    return -metric.margin_log < interval[0] and interval[1] < metric.margin_log


def _more(metric: Metric, logs: Values, level: float) -> int | None:
    if len(logs) < 2:  # noqa: PLR2004 — one pair has no spread
        return None
    mean, spread = float(np.mean(logs)), float(np.std(logs, ddof=1))
    needed = pairs_to_decide(mean, spread, level, metric.margin_log)
    return None if needed is None else max(1, needed - len(logs))


def _ratio(log: float) -> float | None:
    return float(np.exp(log)) if np.isfinite(log) else None


def _share(log: float | None) -> float | None:
    return None if log is None else float(np.expm1(log))

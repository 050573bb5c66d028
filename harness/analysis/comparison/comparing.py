"""A verdict for every metric at every point: regressed, improved, equivalent or inconclusive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from harness.analysis.comparison.metrics import METRICS, Metric, Values
from harness.analysis.comparison.pairing import Pairs, pairs_of, points, without_strays
from harness.analysis.comparison.statistics import (
    ALPHA,
    holm,
    least_effect,
    pairs_to_decide,
    sign_flip,
)
from harness.analysis.paired import t_interval


class Verdict(StrEnum):
    """The verdict on one metric. *Inconclusive* never counts as equivalent."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A verdict with its numbers. Ratios are candidate ÷ base; for a share they are differences."""

    verdict: Verdict
    pairs: int
    ratio: float
    """Geometric mean of the pairs' ratios; the median of a counted metric's, a share's mean."""
    low: float | None
    """Lower end of a timed metric's interval; smallest ratio of a counted one, without strays."""
    high: float | None
    confidence: float | None = None
    """Confidence of the interval, after Holm; None for counts, which are not samples."""
    p_value: float | None = None
    least_effect: float | None = None
    """The smallest change, as a share, that these pairs show with 80 % power. Inconclusive only."""
    more_pairs: int | None = None
    """Further pairs for a verdict if mean and spread stay; None above 1,000. Inconclusive only."""


def timed(
    metric: Metric, logs: Values, *, p_value: float, level: float, significant: bool
) -> Estimate:
    """The estimate of a timed metric, at the level and significance from `holm`."""
    low, high = t_interval(logs, level)
    verdict = timed_verdict(metric, logs, level=level, significant=significant)
    undecided = verdict == Verdict.INCONCLUSIVE
    return Estimate(
        verdict=verdict,
        pairs=len(logs),
        ratio=float(np.exp(np.mean(logs))),
        low=_ratio(low),
        high=_ratio(high),
        confidence=1 - level,
        p_value=p_value,
        least_effect=_share(least_effect(logs, level, metric.bound)) if undecided else None,
        more_pairs=_more(metric, logs, level) if undecided else None,
    )


def timed_verdict(metric: Metric, logs: Values, *, level: float, significant: bool) -> Verdict:
    """A change is significant, has an interval without zero and an estimate beyond the margin.

    Equivalent means that two one-sided tests pass: the 90 % interval lies inside the margin.
    """
    mean = float(np.mean(logs))
    low, high = t_interval(logs, level)
    if significant and not low <= 0 <= high and abs(mean) > metric.bound:
        return _direction(metric, mean)
    inside = _inside(metric, t_interval(logs, 2 * ALPHA))
    return Verdict.EQUIVALENT if inside else Verdict.INCONCLUSIVE


def counted(metric: Metric, pairs: Pairs) -> Estimate:
    """The estimate of a counted metric: all pairs must agree, except strays.

    Every ratio beyond margin and grain on the same side: changed. Every ratio inside the margin:
    equivalent. Otherwise inconclusive: some pairs counted something else, or the trials wrote too
    little for the count.
    """
    kept = without_strays(pairs)
    logs = kept.changes
    beyond = np.abs(logs) > metric.bound
    verdict = Verdict.INCONCLUSIVE
    if not beyond.any():
        verdict = Verdict.EQUIVALENT
    elif (beyond & kept.beyond_grain).all() and abs(np.sign(logs).sum()) == len(logs):
        verdict = _direction(metric, float(logs[0]))
    return Estimate(
        verdict=verdict,
        pairs=len(pairs.changes),
        ratio=float(np.exp(np.median(logs))) if np.isfinite(logs).all() else float("nan"),
        low=_ratio(float(logs.min())),
        high=_ratio(float(logs.max())),
    )


def share(metric: Metric, pairs: Pairs) -> Estimate:
    """The estimate of a share of the operations, over all pairs: no pair is a stray.

    Changed: the mean difference exceeds the margin, and no pair points the other way. Equivalent:
    the mean and every pair stay within the margin. Otherwise inconclusive.
    """
    changes = pairs.changes
    mean = float(np.mean(changes))
    verdict = Verdict.INCONCLUSIVE
    if (np.abs(changes) <= metric.bound).all():
        verdict = Verdict.EQUIVALENT
    elif abs(mean) > metric.bound and (changes * mean >= 0).all():
        verdict = _direction(metric, mean)
    return Estimate(
        verdict=verdict,
        pairs=len(changes),
        ratio=mean,
        low=float(changes.min()),
        high=float(changes.max()),
    )


def _of_kind(metric: Metric, pairs: Pairs) -> Estimate:
    return share(metric, pairs) if metric.kind == "share" else counted(metric, pairs)


def _direction(metric: Metric, log: float) -> Verdict:
    return Verdict.IMPROVED if (log > 0) == (metric.better == "higher") else Verdict.REGRESSED


def _inside(metric: Metric, interval: tuple[float, float]) -> bool:
    return -metric.bound < interval[0] and interval[1] < metric.bound


def _more(metric: Metric, logs: Values, level: float) -> int | None:
    if len(logs) < 2:  # noqa: PLR2004 — one pair has no spread
        return None
    mean, spread = float(np.mean(logs)), float(np.std(logs, ddof=1))
    needed = pairs_to_decide(mean, spread, level, metric.bound)
    return None if needed is None else max(1, needed - len(logs))


def _ratio(log: float) -> float | None:
    return float(np.exp(log)) if np.isfinite(log) else None


def _share(log: float | None) -> float | None:
    return None if log is None else float(np.expm1(log))


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one metric at one point."""

    subject: str
    """The store's key, or the two keys that are compared."""
    point: str
    metric: Metric
    base: float
    """Median of the base's trials, in the metric's unit."""
    candidate: float
    estimate: Estimate

    @property
    def verdict(self) -> Verdict:
        """The verdict of the estimate."""
        return self.estimate.verdict

    @property
    def shown_change(self) -> str:
        """The estimate's change, for people."""
        return self.metric.shown_change(self.estimate.ratio)

    @property
    def nothing(self) -> bool:
        """Whether both sides are zero: they are equivalent, but that shows nothing."""
        return self.base == 0 and self.candidate == 0 and self.verdict == Verdict.EQUIVALENT


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows of a comparison."""

    rows: tuple[Row, ...]
    subjects: tuple[str, ...] = ()
    """All compared subjects, also those without rows."""

    def having(self, verdict: Verdict, *, gated: bool = False) -> tuple[Row, ...]:
        """The rows with this verdict; with `gated` only those on which a gate decides."""
        return tuple(
            row for row in self.rows if row.verdict == verdict and (row.metric.gated or not gated)
        )

    def untold(self) -> tuple[str, ...]:
        """The subjects without any row on which a gate can decide."""
        shown = {
            row.subject
            for row in self.rows
            if row.metric.gated and row.metric.kind != "share" and not row.nothing
        }
        return tuple(name for name in self.subjects if name not in shown)

    @property
    def pairs(self) -> int:
        """The largest number of pairs in a row."""
        return max((row.estimate.pairs for row in self.rows), default=0)


@dataclass(frozen=True, slots=True)
class _Measured:
    subject: str
    point: str
    metric: Metric
    pairs: Pairs


def compare(
    subjects: Sequence[tuple[str, pd.DataFrame, pd.DataFrame]],
    metrics: Sequence[Metric] = METRICS,
    *,
    alpha: float = ALPHA,
) -> Comparison:
    """Compares `(name, base trials, candidate trials)`, each with one store on each side.

    Holm's correction covers all timed rows of all points and stores: with more rows each needs
    stronger evidence. Raises `BadInput`.
    """
    measured = [
        _Measured(subject, point.label, metric, pairs)
        for subject, base, candidate in subjects
        for point in points(base, candidate)
        for metric in metrics
        if (pairs := pairs_of(point, metric)) is not None
    ]
    estimates = iter(_timed([each for each in measured if each.metric.kind == "timed"], alpha))
    return Comparison(
        tuple(
            Row(
                each.subject,
                each.point,
                each.metric,
                each.pairs.base,
                each.pairs.candidate,
                next(estimates)
                if each.metric.kind == "timed"
                else _of_kind(each.metric, each.pairs),
            )
            for each in measured
        ),
        tuple(subject for subject, _, _ in subjects),
    )


def _timed(measured: Sequence[_Measured], alpha: float) -> list[Estimate]:
    p_values = [sign_flip(each.pairs.changes) for each in measured]
    return [
        timed(
            each.metric, each.pairs.changes, p_value=p_value, level=level, significant=significant
        )
        for each, p_value, (level, significant) in zip(
            measured, p_values, holm(p_values, alpha), strict=True
        )
    ]

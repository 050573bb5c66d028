"""Every metric at every point of two sides, and the verdict over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from harness.compare import verdicts
from harness.compare.intervals import ALPHA, holm
from harness.compare.metrics import METRICS, Metric
from harness.compare.pairing import Ratios, points, ratios
from harness.compare.sign_flip import sign_flip
from harness.compare.verdicts import Finding, Verdict


@dataclass(frozen=True, slots=True)
class Row:
    """One metric at one point."""

    subject: str
    """What is compared: a store's key, or two of them."""
    point: str
    metric: Metric
    base: float
    """Median of the base's trials, in the metric's unit."""
    candidate: float
    finding: Finding

    @property
    def verdict(self) -> Verdict:
        """The finding's."""
        return self.finding.verdict

    @property
    def nothing(self) -> bool:
        """Whether neither side had any of it: two zeros are alike, and show nothing."""
        return self.base == 0 and self.candidate == 0 and self.verdict == Verdict.EQUIVALENT


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows of a comparison."""

    rows: tuple[Row, ...]
    subjects: tuple[str, ...] = ()
    """All that were compared, with rows or without."""

    def having(self, verdict: Verdict, *, gated: bool = False) -> tuple[Row, ...]:
        """The rows with this verdict; `gated` keeps to those that a gate decides on."""
        return tuple(
            row for row in self.rows if row.verdict == verdict and (row.metric.gated or not gated)
        )

    def untold(self) -> tuple[str, ...]:
        """The subjects of which no row that a gate decides on shows anything."""
        told = {row.subject for row in self.rows if row.metric.gated and not row.nothing}
        return tuple(name for name in self.subjects if name not in told)

    @property
    def pairs(self) -> int:
        """The most pairs that a row has."""
        return max((row.finding.pairs for row in self.rows), default=0)


@dataclass(frozen=True, slots=True)
class _Found:
    subject: str
    point: str
    metric: Metric
    ratios: Ratios


def compare(
    subjects: Sequence[tuple[str, pd.DataFrame, pd.DataFrame]],
    metrics: Sequence[Metric] = METRICS,
    *,
    alpha: float = ALPHA,
) -> Comparison:
    """Compare `(name, base trials, candidate trials)`, each with one store a side.

    Holm goes over all timed rows, points and stores included: the more is asked, the more each
    answer must be sure of. Raises `BadInput`.
    """
    found = [
        _Found(subject, point.label, metric, pairs)
        for subject, base, candidate in subjects
        for point in points(base, candidate)
        for metric in metrics
        if (pairs := ratios(point, metric)) is not None
    ]
    findings = iter(_timed([each for each in found if each.metric.kind == "timed"], alpha))
    return Comparison(
        tuple(
            Row(
                each.subject,
                each.point,
                each.metric,
                each.ratios.base,
                each.ratios.candidate,
                next(findings)
                if each.metric.kind == "timed"
                else verdicts.counted(each.metric, each.ratios),
            )
            for each in found
        ),
        tuple(subject for subject, _, _ in subjects),
    )


def _timed(found: Sequence[_Found], alpha: float) -> list[Finding]:
    p_values = [sign_flip(each.ratios.logs) for each in found]
    return [
        verdicts.timed(
            each.metric, each.ratios.logs, p_value=p_value, level=level, significant=significant
        )
        for each, p_value, (level, significant) in zip(
            found, p_values, holm(p_values, alpha), strict=True
        )
    ]

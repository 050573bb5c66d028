"""Pairs the trials of two sides, and trims stray pairs of counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis.comparison.metrics import Metric, Values
from harness.domain.errors import BadInput

PAIR = ["workload", "point", "repetition"]
"""The columns in which the two trials of a pair agree."""
_POINT = ["workload", "load_label", "point", "point_label"]


@dataclass(frozen=True, slots=True)
class Point:
    """The pairs of one point of the scenario; row i of both frames is pair i."""

    label: str
    base: pd.DataFrame
    candidate: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Pairs:
    """One metric at one point.

    `changes` has ln(candidate ÷ base) of each pair, ±inf if one is 0; for shares of operations
    candidate − base.
    """

    base: float
    """Median, in the metric's unit."""
    candidate: float
    changes: Values
    beyond_grain: NDArray[np.bool_]
    """For each pair, whether its difference is more than the metric's grain."""

    def taken(self, chosen: NDArray[np.intp], signs: Values | float = 1.0) -> Pairs:
        """The chosen pairs; a sign of -1 swaps the sides of its pair."""
        changes, beyond = self.changes[chosen] * signs, self.beyond_grain[chosen]
        return replace(self, changes=changes, beyond_grain=beyond)


def points(base: pd.DataFrame, candidate: pd.DataFrame) -> Iterator[Point]:
    """Yields the points of both sides, in the order of the base.

    Raises `BadInput` if a side has a repetition of a point twice.
    """
    for side, trials in (("base", base), ("candidate", candidate)):
        twins = trials[trials.duplicated(PAIR)]
        if len(twins):
            key, repetition = twins["key"].iloc[0], twins["repetition"].iloc[0]
            twin = f"{side}: {key} has repetition {repetition} of a point twice"
            raise BadInput(f"{twin}; expected one store a side, for example RUN:postgres")
    for names, mine in base.groupby(_POINT, sort=False):
        here = mine[PAIR].merge(candidate[PAIR], on=PAIR, how="inner")
        if len(here):
            yield Point(
                label=_label(names),
                base=here.merge(base, on=PAIR),
                candidate=here.merge(candidate, on=PAIR),
            )


def unpaired(base: pd.DataFrame, candidate: pd.DataFrame) -> list[str]:
    """One line for each point that only one side has and that is not compared."""
    both = base[_POINT].merge(candidate[_POINT], on=_POINT)
    return [
        f"only the {side} has {_label(names)}"
        for side, trials in (("base", base), ("candidate", candidate))
        for names in trials[_POINT].drop_duplicates().itertuples(index=False)
        if not (both == pd.Series(names, index=_POINT)).all(axis=1).any()
    ]


def _label(names: Sequence[object]) -> str:
    return ", ".join(filter(None, (str(names[1]), str(names[3]))))


def pairs_of(point: Point, metric: Metric) -> Pairs | None:
    """The metric's pairs, without pairs that lack it on a side; None if no pair is left.

    A time of zero was too short for its clock, so it counts as missing.
    """
    base, candidate = metric.values(point.base), metric.values(point.candidate)
    had = ~(np.isnan(base) | np.isnan(candidate))
    if metric.kind == "timed":
        had &= (base > 0) & (candidate > 0)
    if not had.any():
        return None
    base, candidate = base[had], candidate[had]
    return Pairs(
        base=float(np.median(base)),
        candidate=float(np.median(candidate)),
        changes=candidate - base if metric.kind == "share" else log_ratios(base, candidate),
        beyond_grain=_beyond_grain(metric, np.abs(candidate - base), point.base[had]),
    )


def _beyond_grain(metric: Metric, difference: Values, trials: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each difference exceeds the grain; `difference` is per event, `trials` has events."""
    if not metric.grain:
        return np.ones(len(difference), dtype=bool)
    events: Values = trials["events"].to_numpy(dtype=float, na_value=0.0)
    return difference * events > metric.grain


def log_ratios(base: Values | Sequence[float], candidate: Values | Sequence[float]) -> Values:
    """ln(candidate ÷ base): 0 for two zeros, ±inf if only one of the two is zero."""
    below, above = np.asarray(base, float), np.asarray(candidate, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(above) - np.log(below)
    return np.where((below == 0) & (above == 0), 0.0, logs)


PAIRS_FOR_ONE = 9
"""The fewest pairs whose second smallest and second largest enclose the median in 95 % of cases."""


def strays(pairs: int) -> int:
    """The number of pairs to leave out at each end."""
    return pairs // PAIRS_FOR_ONE


def without_strays(pairs: Pairs) -> Pairs:
    """The pairs in order of their ratios, without the strays at both ends."""
    count = len(pairs.changes)
    kept = np.argsort(pairs.changes, kind="stable")[strays(count) : count - strays(count)]
    return pairs.taken(kept)

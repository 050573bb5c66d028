"""Trials of two sides as pairs: the same point, the same repetition, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.compare.metrics import Metric, Values
from harness.errors import BadInput

PAIR = ["workload", "point", "repetition"]
"""What the two trials of a pair agree in."""
_POINT = ["workload", "load_label", "point", "point_label"]


@dataclass(frozen=True, slots=True)
class Point:
    """The pairs of one point of the scenario; row i of both frames is pair i."""

    label: str
    base: pd.DataFrame
    candidate: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Ratios:
    """One metric at one point. `logs` are candidate over base, a pair each; ±inf beside zero."""

    base: float
    """Median, in the metric's unit."""
    candidate: float
    logs: Values
    beyond_grain: NDArray[np.bool_]
    """A pair each: whether its difference is more than the metric's grain."""

    def taken(self, chosen: NDArray[np.intp], signs: Values | float = 1.0) -> Ratios:
        """Some of the pairs, those with a sign of -1 with their sides swapped."""
        logs, beyond = self.logs[chosen] * signs, self.beyond_grain[chosen]
        return replace(self, logs=logs, beyond_grain=beyond)


def points(base: pd.DataFrame, candidate: pd.DataFrame) -> Iterator[Point]:
    """The points that both sides have, in the order of the base. Raises `BadInput` for twins."""
    for side, trials in (("base", base), ("candidate", candidate)):
        twins = trials[trials.duplicated(PAIR)]
        if len(twins):
            key, repetition = twins["key"].iloc[0], twins["repetition"].iloc[0]
            told = f"{side}: {key} has repetition {repetition} of a point twice"
            raise BadInput(f"{told}; expected one store a side, for example RUN:postgres")
    for names, mine in base.groupby(_POINT, sort=False):
        here = mine[PAIR].merge(candidate[PAIR], on=PAIR, how="inner")
        if len(here):
            yield Point(
                label=_label(names),
                base=here.merge(base, on=PAIR),
                candidate=here.merge(candidate, on=PAIR),
            )


def unpaired(base: pd.DataFrame, candidate: pd.DataFrame) -> list[str]:
    """A line for each point that only one of the sides has: nothing is compared there."""
    both = base[_POINT].merge(candidate[_POINT], on=_POINT)
    return [
        f"only the {side} has {_label(names)}"
        for side, trials in (("base", base), ("candidate", candidate))
        for names in trials[_POINT].drop_duplicates().itertuples(index=False)
        if not (both == pd.Series(names, index=_POINT)).all(axis=1).any()
    ]


def _label(names: Sequence[object]) -> str:
    """Of a point, as `_POINT` names it."""
    return ", ".join(filter(None, (str(names[1]), str(names[3]))))


def ratios(point: Point, metric: Metric) -> Ratios | None:
    """The metric's pairs, without those that lack it on a side; none where all do.

    A time of zero is one that was too short for its clock, so it is lacking, too.
    """
    base, candidate = metric.values(point.base), metric.values(point.candidate)
    had = ~(np.isnan(base) | np.isnan(candidate))
    if metric.kind == "timed":
        had &= (base > 0) & (candidate > 0)
    if not had.any():
        return None
    base, candidate = base[had], candidate[had]
    return Ratios(
        base=float(np.median(base)),
        candidate=float(np.median(candidate)),
        logs=log_ratios(base, candidate),
        beyond_grain=_beyond_grain(metric, np.abs(candidate - base), point.base[had]),
    )


def _beyond_grain(metric: Metric, difference: Values, trials: pd.DataFrame) -> NDArray[np.bool_]:
    """Of differences an event; `trials` say how many events there were."""
    if not metric.grain:
        return np.ones(len(difference), dtype=bool)
    events: Values = trials["events"].to_numpy(dtype=float, na_value=0.0)
    return difference * events > metric.grain


def log_ratios(base: Values | Sequence[float], candidate: Values | Sequence[float]) -> Values:
    """ln(candidate ÷ base); two zeros are alike, something beside nothing is infinitely more."""
    below, above = np.asarray(base, float), np.asarray(candidate, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(above) - np.log(below)
    return np.where((below == 0) & (above == 0), 0.0, logs)

"""How far each store is behind the best of its group, with an interval over the repetitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from harness.paired import Values, t_interval
from harness.summary.ranking import GROUP, overall, ranking, that_count

ALPHA = 0.05
"""Of one group as a whole: each of its intervals is that much wider (Bonferroni)."""
_COLUMNS = [*GROUP, "key", "ratio", "low", "high", "pairs"]
CLASS = ["scenario", "workload", "durability", "ranked_by"]
"""What points agree in that are summed up together."""


def leads(trials: pd.DataFrame) -> pd.DataFrame:
    """A row a ranked store behind the best: `ratio` to it, `low` and `high` of its interval.

    The ratio is the geometric mean over pairs: trials of the same repetition, which stood side by
    side in the run. The interval is a paired t on their logarithms; with one pair it is empty.
    """
    found = [row for _, group in trials.groupby(GROUP, sort=False) for row in _group(group)]
    return pd.DataFrame(found, columns=_COLUMNS)


def ranking_by_pairs(trials: pd.DataFrame) -> pd.DataFrame:
    """`ranking`, its ratios those of the pairs, with `low` and `high` of their intervals.

    So that sentences and tables tell the same.
    """
    ranked = ranking(trials)
    paired = ranked.merge(leads(trials), on=[*GROUP, "key"], how="left")
    return ranked.assign(
        relative_to_best=paired["ratio"].fillna(ranked["relative_to_best"]),
        low=paired["low"],
        high=paired["high"],
    )


def over_points(trials: pd.DataFrame) -> pd.DataFrame:
    """`overall`, its `relative` that of the pairs, with `low` and `high` of its interval.

    A repetition gives one value: the mean, over the points, of the logarithm of the ratio to the
    best of each point. The interval is a t on these, so that it has as many values as there are
    repetitions, however many the points. A store that was the best everywhere has no interval.
    """
    ranked = ranking(trials)
    found = overall(ranked)
    means = [row for _, of_class in ranked.groupby(CLASS, sort=False)
             for row in _means(trials, of_class)]  # fmt: skip
    paired = found.merge(
        pd.DataFrame(means, columns=[*CLASS, "key", "ratio", "low", "high"]),
        on=[*CLASS, "key"], how="left",
    )  # fmt: skip
    return found.assign(
        relative=paired["ratio"].fillna(found["relative"]), low=paired["low"], high=paired["high"]
    )


def _means(trials: pd.DataFrame, ranked: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A row a store of the class that was ranked at every point and behind at some."""
    points = list(ranked[ranked["rank"].notna()].groupby(GROUP, sort=False))
    logs = [_logs(trials, at_point) for _, at_point in points]
    everywhere = [key for key in ranked["key"].unique() if all(key in found for found in logs)]
    values = {
        key: pd.concat([found[key] for found in logs], axis=1, join="inner").dropna().mean(axis=1)
        for key in everywhere
    }
    behind = {key: each for key, each in values.items() if each.any()}
    named = {name: ranked[name].iloc[0] for name in CLASS}
    for key, each in behind.items():
        ratio, low, high = ratio_interval(each.to_numpy(), ALPHA / len(behind))
        yield named | {"key": key, "ratio": ratio, "low": low, "high": high}


def _logs(trials: pd.DataFrame, ranked: pd.DataFrame) -> dict[str, pd.Series]:
    """By store of one point: the logarithm of its ratio to the best, indexed by repetition."""
    here = trials[(trials[GROUP] == ranked[GROUP].iloc[0]).all(axis=1)]
    values = _values(here, by_throughput=ranked["ranked_by"].iloc[0] == "throughput")
    best = values[str(ranked["key"].iloc[0])]
    ratios = {key: values[key] / best for key in map(str, ranked["key"]) if key in values}
    return {key: ratio.map(np.log) for key, ratio in ratios.items()}


def _group(trials: pd.DataFrame) -> Iterator[dict[str, Any]]:
    ranked = ranking(trials)
    ranked = ranked[ranked["rank"].notna()]
    if len(ranked) < 2:  # noqa: PLR2004 — nobody to be compared with
        return
    values = _values(trials, by_throughput=ranked["ranked_by"].iloc[0] == "throughput")
    best = values[str(ranked["key"].iloc[0])]
    for key in ranked["key"].iloc[1:]:
        pairs = pd.concat([values[str(key)], best], axis=1, join="inner").dropna()
        logs = np.log(pairs.iloc[:, 0].to_numpy() / pairs.iloc[:, 1].to_numpy())
        ratio, low, high = ratio_interval(logs, ALPHA / (len(ranked) - 1))
        named = {name: trials[name].iloc[0] for name in GROUP}
        yield named | {"key": key, "ratio": ratio, "low": low, "high": high, "pairs": len(logs)}


def _values(trials: pd.DataFrame, *, by_throughput: bool) -> dict[str, pd.Series]:
    """By key: what is ranked by, indexed by repetition; only what counts and is above zero."""
    counted = that_count(trials)
    column = "throughput_per_s" if by_throughput else "response_p50_ns"
    positive = counted[counted[column].fillna(0) > 0]
    return {
        str(key): mine.set_index("repetition")[column].astype("float64")
        for key, mine in positive.groupby("key")
    }


def ratio_interval(logs: Values, alpha: float) -> tuple[float, float, float]:
    """Geometric mean and its interval at 1 − `alpha` from log ratios of pairs; NaN for too few."""
    if not len(logs):
        return float("nan"), float("nan"), float("nan")
    low, high = t_interval(logs, alpha)
    return float(np.exp(np.mean(logs))), float(np.exp(low)), float(np.exp(high))

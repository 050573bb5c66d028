"""The answer in sentences: who led where, by how much, and whether the scatter allows to say so."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from harness import words
from harness.percentiles import BEYOND_MIN
from harness.summary.ranking import GROUP
from harness.summary.ways import ways_that_differ

_CLASS = ["durability", "ranked_by"]

_TOLD = 3
"""So many stores are told with their interval; a table has all of them."""


def headlines(ranked: pd.DataFrame, over: pd.DataFrame | None = None) -> list[str]:
    """A sentence a durability class; where there are several points, who led at how many.

    With `over`, as `over_points` has it, also how near to the best they came over all of them.
    """
    classes = ranked.groupby(_CLASS, sort=False)
    return [sentence for _, of_class in classes for sentence in _class(of_class, over)]


def remarks(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> list[str]:
    """What holds for the page as a whole: the kind of times, paths that differ, emulators."""
    emulators = sorted(set(trials["emulator"]) - {""})
    return [
        *_times(trials), *_not_given(trials), *ways_that_differ(trials, manifest), *emulators,
    ]  # fmt: skip


def _class(of_class: pd.DataFrame, over: pd.DataFrame | None) -> Iterator[str]:
    ranked = of_class[of_class["rank"].notna()]
    points = ranked.groupby(GROUP, sort=False)
    if len(points) > 1:
        leads = Counter(group.iloc[0]["key"] for _, group in points).most_common()
        told = ", ".join(f"{key} at {count}" for key, count in leads)
        if ranked["key"].nunique() == 1:
            name = _name(ranked.iloc[0])
            yield f"{_class_name(ranked.iloc[0])}: only {name} was ranked, at {len(points)} points."
            return
        means = "" if over is None else _means(ranked.iloc[0], over)
        yield f"{_class_name(ranked.iloc[0])}: led at the {len(points)} points: {told}{means}."
    elif len(points):
        yield _led(ranked)


def _means(first: pd.Series, over: pd.DataFrame) -> str:
    """The nearest to the best over all points, each with its interval; not who always was it."""
    mine = over[(over[_CLASS] == first[_CLASS]).all(axis=1) & (over["relative"] != 1)].dropna(
        subset="relative"
    )
    ordered = mine.sort_values("relative", ascending=first["ranked_by"] != "throughput")
    told = [
        f"{row['key']} {words.ratio_between(row['relative'], row['low'], row['high'])}"
        for _, row in ordered.iterrows()
    ]
    return f"; mean ratio to the best of each: {', '.join(told[:_TOLD])}" if told else ""


def _led(ranked: pd.DataFrame) -> str:
    best = ranked.iloc[0]
    if len(ranked) == 1:
        return f"{_class_name(best)}: only {_name(best)} was ranked, {_figure(best)}."
    distance = _distance(best, ranked.iloc[1])
    return f"{_class_name(best)}: {_name(best)} led with {_figure(best)}; {distance}."


def _name(row: pd.Series) -> str:
    """An emulator's speed is not the service's, and that must stand beside its name."""
    return f"{row['key']} (an emulator)" if row["emulator"] else str(row["key"])


def _class_name(best: pd.Series) -> str:
    return str(best["durability"] or "unknown durability")


def _figure(best: pd.Series) -> str:
    if best["ranked_by"] == "throughput":
        return f"{words.rate(best['throughput_per_s'])} (median of {best['repetitions']})"
    return f"response p50 {words.duration(best['p50_ns'])} (median of {best['repetitions']})"


def _distance(best: pd.Series, second: pd.Series) -> str:
    low, high = (float(second.get(end, float("nan"))) for end in ("low", "high"))
    distance = words.ratio_between(second["relative_to_best"], low, high)
    follows = f"{_name(second)} follows at {distance}"
    if not math.isnan(low):
        told_apart = not low <= 1 <= high
        return follows if told_apart else f"{follows}, but this run does not tell them apart"
    by_throughput = best["ranked_by"] == "throughput"
    if by_throughput and second["throughput_max_per_s"] >= best["throughput_min_per_s"]:
        return f"{follows}, and their repetitions overlap: no clear lead"
    return follows


def _not_given(trials: pd.DataFrame) -> Iterator[str]:
    percentile = trials["service_p99_ns"].where(
        trials["load"] == "closed", trials["response_p99_ns"]
    )
    if percentile.isna().any():
        yield (
            f"A percentile with fewer than {BEYOND_MIN} operations beyond it is luck, and is not"
            " given (–): measure for longer."
        )


def _times(trials: pd.DataFrame) -> list[str]:
    loads = set(trials["load"])
    found = []
    if "closed" in loads:
        found.append(
            "Closed loads report service time only: a client that waits offers less load, so the "
            "times say nothing about what users would wait at a given rate."
        )
    if "open" in loads:
        found.append(
            "Open loads are ranked by response time, from the intended start: the offered rate "
            "caps throughput."
        )
    return found

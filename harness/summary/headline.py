"""The answer in sentences: who led where, by how much, and whether the scatter allows to say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pandas as pd

from harness import words
from harness.summary.ranking import GROUP


def headlines(ranked: pd.DataFrame) -> list[str]:
    """A sentence a durability class; where there are several points, who led at how many."""
    classes = ranked.groupby(["durability", "ranked_by"], sort=False)
    return [sentence for _, of_class in classes for sentence in _class(of_class)]


def remarks(trials: pd.DataFrame) -> list[str]:
    """What holds for the page as a whole: the kind of times, paths that differ, emulators."""
    return [*_times(trials), *_paths(trials), *sorted(set(trials["emulator"]) - {""})]


def _class(of_class: pd.DataFrame) -> Iterator[str]:
    ranked = of_class[of_class["rank"].notna()]
    points = ranked.groupby(GROUP, sort=False)
    if len(points) > 1:
        leads = Counter(group.iloc[0]["key"] for _, group in points).most_common()
        told = ", ".join(f"{key} at {count}" for key, count in leads)
        yield f"{_class_name(ranked.iloc[0])}: led at the {len(points)} points: {told}."
    elif len(points):
        yield _led(ranked)


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
    follows = f"{_name(second)} follows at {words.ratio(second['relative_to_best'])}"
    if pd.notna(second.get("low")):
        told_apart = not second["low"] <= 1 <= second["high"]
        return follows if told_apart else f"{follows}, but this run does not tell them apart"
    by_throughput = best["ranked_by"] == "throughput"
    if by_throughput and second["throughput_max_per_s"] >= best["throughput_min_per_s"]:
        return f"{follows}, and their repetitions overlap: no clear lead"
    return follows


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


def _paths(trials: pd.DataFrame) -> list[str]:
    providers = sorted(set(trials["provider"]) - {"", "none"})
    if len(providers) < 2:  # noqa: PLR2004 — one kind of path needs no words
        return []
    return [
        f"Servers came from different places ({', '.join(providers)}): the way from the client to "
        "the server is part of each number, and these ways differ."
    ]

"""The answer in sentences: which store led, by how much, what did not run, what differs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.percentiles import BEYOND_MIN
from harness.analysis.stored_times import stored_times
from harness.analysis.summary.ranking import GROUP
from harness.domain import formatting
from harness.domain.flags import Flag, FlagCode, explanation, listed, parsed, sentence
from harness.domain.placement import placement_of


def by_flag(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each flag: `flag`, the `stores` (keys) that have it, and its `explanation`."""
    alike: dict[tuple[object, ...], dict[str, list[Flag]]] = {}
    for key, cell in zip(trials["key"], trials["flags"], strict=True):
        for flag in listed(cell):
            alike.setdefault(flag.shape, {}).setdefault(str(key), []).append(flag)
    rows = []
    for stores in alike.values():
        flags = [flag for each in stores.values() for flag in each]
        rows.append((sentence(flags), ", ".join(sorted(stores)), explanation(flags[0])))
    return pd.DataFrame(rows, columns=["flag", "stores", "explanation"])


def run_flags(manifest: Mapping[str, Any]) -> list[Flag]:
    """The flags of the whole run; a run that was cut short has one more, for that."""
    flags = [parsed(stored) for stored in manifest.get("flags", [])]
    status = str(manifest.get("status", "done"))
    cut_short = [] if status == "done" else [Flag(FlagCode.INTERRUPTED, {"status": status})]
    return [*cut_short, *flags]


_NO_SERVER = ("", "none")


def ways_that_differ(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each durability class whose servers had different kinds of network path.

    The sentence names the recorded kind (unix socket, loopback, docker-proxy, …) and the provider
    of the server; only the provider for runs that recorded no kind. Stores without a server are
    libraries in the client's own process and have no path.
    """
    served = trials[~trials["provider"].fillna("").isin(_NO_SERVER)]
    for durability in served["durability"].unique():
        mine = served[served["durability"] == durability]
        ways: dict[str, list[str]] = {}
        for _, row in mine[["store", "provider"]].drop_duplicates().iterrows():
            technology, provider = str(row["store"]), str(row["provider"])
            ways.setdefault(_way(technology, provider, manifest), []).append(technology)
        if len(ways) > 1:
            summary = "; ".join(f"{', '.join(stores)}: {way}" for way, stores in ways.items())
            yield (
                f"{durability or 'unknown durability'}: servers were reached in different ways"
                f" ({summary}). The way from the client to the server is part of each number."
            )


def _way(technology: str, provider: str, manifest: Mapping[str, Any]) -> str:
    """`loopback (native)`; only the provider if the run recorded no path."""
    about = manifest.get("servers", {}).get(technology, {})
    kinds = list(dict.fromkeys(str(path.get("kind", "")) for path in about.get("paths", ())))
    known = " and ".join(filter(None, kinds))
    return f"{known} ({provider})" if known else provider


def _placements_that_differ(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> Iterator[str]:
    """A sentence where the servers of one run, or its two sides, had different cores."""
    stores: dict[str, dict[str, None]] = {}
    for _, row in trials[trials["status"] == "done"].iterrows():
        placement = placement_of(dict(row), manifest)
        if placement.served and str(placement):
            name = " ".join(filter(None, (str(row["store"]), str(row["side"]))))
            stores.setdefault(str(placement), {})[name] = None
    if len(stores) > 1:
        each = "; ".join(f"{', '.join(names)}: {where}" for where, names in stores.items())
        yield f"Servers were placed differently ({each}), which is part of each number."


def not_run(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Reasons by the keys of stores without a result, in scenario order; empty if all have one."""
    ended = set(trials.loc[trials["status"] == "done", "key"])
    return {key: _why(key, trials, manifest) for key in _asked_for(manifest) if key not in ended}


def missing_stores(absent: Mapping[str, str]) -> Iterator[str]:
    """One line that groups the stores by reason; no line if no store is missing."""
    by_reason: dict[str, list[str]] = {}
    for key, why in absent.items():
        by_reason.setdefault(why, []).append(key)
    if by_reason:
        each = "; ".join(f"{', '.join(keys)} ({why})" for why, keys in by_reason.items())
        yield f"Not run: {each}."


def _asked_for(manifest: Mapping[str, Any]) -> list[str]:
    """The keys in the order of the trials; pairs of commits record only the stores left out."""
    order = [str(key) for _, key in manifest.get("order", ())]
    return list(dict.fromkeys(order or manifest.get("left_out", {})))


def _why(key: str, trials: pd.DataFrame, manifest: Mapping[str, Any]) -> str:
    technology = key.partition("{")[0].partition(":")[0]
    left_out = manifest.get("left_out", {}).get(technology)
    if left_out:
        return _line(str(left_out).removeprefix(f"{technology}: "))
    mine = trials[trials["key"] == key]
    if mine.empty:
        return "the run ended before its turn"
    return _line(f"{mine['status'].iloc[0]}: {mine['message'].iloc[0]}").rstrip(": ")


def _line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


_CLASS = ["durability", "ranked_by"]

_WITH_INTERVAL = 3
"""The sentence gives the interval of at most this many stores; a table has all of them."""


def headlines(ranked: pd.DataFrame, over: pd.DataFrame | None = None) -> list[str]:
    """One sentence for each durability class: the leader, or for many points how often each leads.

    With `over`, the frame of `over_points`, it adds the mean ratio to the best over all points.
    """
    classes = ranked.groupby(_CLASS, sort=False)
    return [sentence for _, of_class in classes for sentence in _class(of_class, over)]


def remarks(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> list[str]:
    """Remarks on the whole page: the kind of times, paths that differ, emulators."""
    emulators = sorted(set(trials["emulator"]) - {""})
    return [
        *_times(trials), *_not_given(trials), *ways_that_differ(trials, manifest),
        *_placements_that_differ(trials, manifest), *emulators,
    ]  # fmt: skip


def _class(of_class: pd.DataFrame, over: pd.DataFrame | None) -> Iterator[str]:
    ranked = of_class[of_class["rank"].notna()]
    points = ranked.groupby(GROUP, sort=False)
    if len(points) > 1:
        leads = Counter(group.iloc[0]["key"] for _, group in points).most_common()
        counts = ", ".join(f"{key} at {count}" for key, count in leads)
        if ranked["key"].nunique() == 1:
            name = _name(ranked.iloc[0])
            yield f"{_class_name(ranked.iloc[0])}: only {name} was ranked, at {len(points)} points."
            return
        means = "" if over is None else _means(ranked.iloc[0], over)
        yield f"{_class_name(ranked.iloc[0])}: led at the {len(points)} points: {counts}{means}."
    elif len(points):
        yield _led(ranked)


def _means(first: pd.Series, over: pd.DataFrame) -> str:
    """The mean ratios nearest to the best, with intervals; without a store that led everywhere."""
    mine = over[(over[_CLASS] == first[_CLASS]).all(axis=1) & (over["relative"] != 1)].dropna(
        subset="relative"
    )
    ordered = mine.sort_values("relative", ascending=first["ranked_by"] != "throughput")
    ratios = [
        f"{row['key']} {formatting.ratio_between(row['relative'], row['low'], row['high'])}"
        for _, row in ordered.iterrows()
    ]
    return (
        f"; mean ratio to the best of each: {', '.join(ratios[:_WITH_INTERVAL])}" if ratios else ""
    )


def _led(ranked: pd.DataFrame) -> str:
    best = ranked.iloc[0]
    if len(ranked) == 1:
        return f"{_class_name(best)}: only {_name(best)} was ranked, {_figure(best)}."
    distance = _distance(best, ranked.iloc[1])
    return f"{_class_name(best)}: {_name(best)} led with {_figure(best)}; {distance}."


def _name(row: pd.Series) -> str:
    """The key, marked if it is an emulator: its speed is not that of the service."""
    return f"{row['key']} (an emulator)" if row["emulator"] else str(row["key"])


def _class_name(best: pd.Series) -> str:
    return str(best["durability"] or "unknown durability")


def _figure(best: pd.Series) -> str:
    if best["ranked_by"] == "throughput":
        return f"{formatting.rate(best['throughput_per_s'])} (median of {best['repetitions']})"
    return f"response p50 {formatting.duration(best['p50_ns'])} (median of {best['repetitions']})"


def _distance(best: pd.Series, second: pd.Series) -> str:
    low, high = (float(second.get(end, float("nan"))) for end in ("low", "high"))
    distance = formatting.ratio_between(second["relative_to_best"], low, high)
    follows = f"{_name(second)} follows at {distance}"
    if not math.isnan(low):
        distinct = not low <= 1 <= high
        return follows if distinct else f"{follows}, but this run does not tell them apart"
    by_throughput = best["ranked_by"] == "throughput"
    if by_throughput and second["throughput_max_per_s"] >= best["throughput_min_per_s"]:
        return f"{follows}, and their repetitions overlap: no clear lead"
    return follows


def _not_given(trials: pd.DataFrame) -> Iterator[str]:
    closed = trials["load"] == "closed"
    percentile = trials["service_p99_ns"].where(closed, stored_times(trials, "response", "p99"))
    if np.isinf(percentile.to_numpy(dtype=float, na_value=np.nan)).any():
        yield (
            "∞ is a response time among operations that failed: they count as slower than any"
            " answer."
        )
    if percentile.isna().any():
        yield (
            f"A percentile with fewer than {BEYOND_MIN} operations beyond it is chance, and is not"
            " shown (–): measure for longer."
        )


def _times(trials: pd.DataFrame) -> list[str]:
    loads = set(trials["load"])
    sentences = []
    if "closed" in loads:
        sentences.append(
            "Closed loads report service time only: a client that waits offers less load, so the "
            "times do not show how long users wait at a given rate."
        )
    if "open" in loads:
        sentences.append(
            "Open loads are ranked by response time, from the intended start: the offered rate "
            "caps throughput."
        )
    return sentences

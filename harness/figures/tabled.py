"""The tables of a run: rankings, verdicts, conflicts, what was not run, surroundings, settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from harness import summary, words
from harness.figures.captions import commit, machine
from harness.figures.tables import Facts, Lines, Table

_RATE_HEADS = ("ops a second", "least – most", "of the best")
_GIB = 1 << 30
_CONFLICTS = {
    "goodput_per_s": "goodput a second",
    "conflicts_per_op": "conflicts an op",
    "retries_per_op": "retries an op",
    "refused_per_op": "refused an op",
}


def answers(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> Lines:
    """The ranking in sentences, then what to keep in mind with it."""
    told = summary.headlines(summary.ranking_by_pairs(trials), summary.over_points(trials))
    return Lines(
        [*told, *summary.remarks(trials, manifest)], empty="No trial of this run has a result."
    )


def questions(manifests: Iterable[Mapping[str, Any]]) -> Lines:
    """Each run's name and what its scenario asks, a line a run."""
    found = [(each["run"], each["scenario"].get("description", "")) for each in manifests]
    return Lines([": ".join(filter(None, (name, text.strip()))) for name, text in found])


def remarks(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> Lines:
    """What holds for the page as a whole: the kind of times, paths that differ, emulators."""
    return Lines(summary.remarks(trials, manifest))


def rankings(trials: pd.DataFrame) -> Iterator[Table]:
    """A table a point and durability class, best first. Never across classes."""
    ranked = summary.ranking_by_pairs(trials)
    for _, group in ranked.groupby(summary.GROUP, sort=False):
        yield _ranking(group)


def verdicts(trials: pd.DataFrame) -> Table:
    """What reading everything back found, a row a store."""
    rows = [_verdict(str(key), group) for key, group in trials.groupby("key", sort=False)]
    heads = ("store", "verdict", "trials", "violations", "the first of them")
    return Table(heads, rows, numbers=frozenset({"trials", "violations"}))


def flags(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> Table:
    """Every verdict flag, whom it concerns, and what it means for the reader."""
    run = [
        (flag, "the whole run", summary.explanation(flag)) for flag in summary.run_flags(manifest)
    ]
    found = summary.by_flag(trials)
    rows = zip(found["flag"], found["stores"], found["explanation"], strict=True)
    return Table(("flag", "concerns", "how to read it"), [*run, *rows])


def conflicts(trials: pd.DataFrame) -> Table:
    """Medians of the repetitions of a point: goodput, and what happened an operation."""
    rows = summary.contention(trials)
    names = ["durability", "key", "panel", "x", "x_label"]
    medians = rows.groupby(names)[list(_CONFLICTS)].median().reset_index()
    point = str(rows["x_name"].iloc[0]) or "point"
    heads = ("durability", "store", point, *_CONFLICTS.values())
    cells = [
        (
            *(str(row[name]) for name in names[:2]),
            ", ".join(filter(None, (row["x_label"], row["panel"]))),
            words.number(row["goodput_per_s"]),
            *(_two(row[name]) for name in list(_CONFLICTS)[1:]),
        )
        for _, row in medians.iterrows()
    ]
    return Table(heads, cells, numbers=frozenset(heads[2:]))


def costs(trials: pd.DataFrame) -> Iterator[Table]:
    """A table a point and durability class: what an event costs in each store."""
    for _, group in summary.costs(trials).groupby(summary.GROUP, sort=False):
        had = [name for name in summary.COSTS if name in group and group[name].notna().any()]
        heads = ("store", *(summary.COSTS[name] for name in had))
        rows = [
            (str(row["key"]), *(words.number(row[name]) for name in had))
            for _, row in group.iterrows()
        ]
        yield Table(heads, rows, title=_title(group.iloc[0]), numbers=frozenset(heads[1:]))


_DELAYS = {
    "dispatch_delay_p50_ns": "dispatch p50", "queue_delay_p50_ns": "queue p50",
    "service_p50_ns": "service p50", "response_p50_ns": "response p50",
    "service_p99_ns": "service p99", "response_p99_ns": "response p99",
}  # fmt: skip


def delays(trials: pd.DataFrame) -> Table:
    """Where the time of an operation went; medians of the repetitions' own percentiles.

    A percentile that any repetition was too short to tell is told for none.
    """
    names = ["key", "load_label", "point_label"]
    counted = summary.that_count(trials).groupby(names, sort=False)[list(_DELAYS)]
    medians = counted.agg(_median_of_all).reset_index()
    rows = [
        (*(str(row[name]) for name in names), *(words.duration(row[name]) for name in _DELAYS))
        for _, row in medians.iterrows()
    ]
    heads = ("store", "load", "point", *_DELAYS.values())
    return Table(heads, rows, numbers=frozenset(_DELAYS.values()))


def _median_of_all(told: pd.Series) -> float:
    return float(told.median(skipna=False)) if told.notna().all() else float("nan")


def contention_remark(trials: pd.DataFrame) -> Lines:
    """What the figures of contention show, or why there are none."""
    points = summary.contended_points(trials)
    if not points:
        said = "No trial of this run had conflicts to count: its workload does not contend."
    elif points == 1:
        said = "This run has one point only, so there is no curve: the table tells it all."
    else:
        said = "Contention rises to the right; what rises with it is its cost."
    return Lines((), empty=said)


def not_run(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> Table | Lines:
    """Stores that were left out and trials that did not end, each with its reason."""
    rows = [(str(key), "left out", str(why)) for key, why in manifest.get("left_out", {}).items()]
    undone = trials[trials["status"] != "done"]
    for names, group in undone.groupby(["key", "status", "message"], sort=False):
        key, status, message = map(str, names)
        rows.append((key, f"{len(group)} × {status}", message))
    if not rows:
        return Lines((), empty="Everything that the scenario names was run.")
    return Table(("store", "what", "why"), rows)


def _sync(latency: Mapping[str, Any]) -> str:
    """What one fsync of the disk under the results took: the price of power-loss safety here."""
    told = {"p50": latency.get("p50_ns"), "p90": latency.get("p90_ns")}
    return ", ".join(f"{name} {words.duration(ns)}" for name, ns in told.items() if ns)


def surroundings(manifest: Mapping[str, Any]) -> Facts:
    """Where, when and from what code the numbers come."""
    scenario, environment = manifest.get("scenario", {}), manifest.get("environment", {})
    memory = environment.get("memory_bytes")
    versions = environment.get("versions", {})
    found = {
        "run": str(manifest.get("run", "")),
        "started": str(manifest.get("started_at", "")),
        "command": str(manifest.get("command", "")),
        "scenario": f"{scenario.get('name', '')}, seed {scenario.get('seed', '')}",
        "commit": commit(manifest),
        "machine": machine(manifest),
        "memory": f"{memory / _GIB:.1f} GiB" if memory else "",
        "system": str(environment.get("system", "")),
        "kernel": str(environment.get("kernel", "")),
        "filesystem": str(environment.get("filesystem", "")),
        "disk sync": _sync(environment.get("sync_latency", {})),
        "virtualisation": str(environment.get("virtualisation", "")),
        "clock": str(environment.get("clock_source", "")),
        "load average": ", ".join(f"{load:.1f}" for load in environment.get("load_average", ())),
        "Python": str(environment.get("python", "")),
        "packages": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "servers": "; ".join(_servers(manifest)),
        "idle round trips": "; ".join(_paths(manifest)),
    }
    return Facts({name: value for name, value in found.items() if value})


def settings(trials: pd.DataFrame) -> Table | Lines:
    """Durability as it really was: read back from each server while it ran."""
    rows = []
    for names, _ in trials.groupby(["key", "durability", "settings"], sort=False):
        key, durability, text = map(str, names)
        read = json.loads(text) if text else {}
        told = ", ".join(f"{name} = {value}" for name, value in read.items())
        rows.append((key, durability or "unknown", told or "none to read back"))
    return Table(("store", "durability class", "settings as read back"), rows)


def _ranking(group: pd.DataFrame) -> Table:
    first = group.iloc[0]
    times = str(first["times"])
    heads = ("rank", "store", *_RATE_HEADS, f"{times} p50", f"{times} p99", "flags")
    rows = [_ranked(row) for _, row in group.iterrows()]
    numbers = frozenset(heads[2:-1])
    return Table(heads, rows, title=_title(first), numbers=numbers)


def _title(row: pd.Series) -> str:
    parts = (row["durability"] or "unknown durability", row["workload"], row["load_label"],
             row["point_label"])  # fmt: skip
    return " · ".join(map(str, filter(None, parts)))


def _ranked(row: pd.Series) -> tuple[str, ...]:
    said = [*([f"not ranked: {row['reason']}"] if row["reason"] else []), *row["flags"]]
    return (
        words.MISSING if row["reason"] else str(row["rank"]),
        str(row["key"]), words.number(row["throughput_per_s"]),
        words.numbers(row["throughput_min_per_s"], row["throughput_max_per_s"]),
        words.ratio(row["relative_to_best"]),
        words.duration(row["p50_ns"]), words.duration(row["p99_ns"]),
        "; ".join(filter(None, [*said, row["emulator"]])),
    )  # fmt: skip


def _verdict(key: str, group: pd.DataFrame) -> tuple[str, ...]:
    verdict = ", ".join(dict.fromkeys(map(str, group["verified"])))
    violations = group["violations"].dropna()
    many = words.span(violations.min(), violations.max()) if len(violations) else words.MISSING
    first = next(filter(None, group["first_violation"]), "")
    return key, verdict, str(len(group)), many, str(first)


def _servers(manifest: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} {about.get('version', '')} ({about.get('provider', '')})"
        for name, about in manifest.get("servers", {}).items()
    ]


def _paths(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The idle round trip to each server, and past its published port where that was possible."""
    for name, about in manifest.get("servers", {}).items():
        for path in about.get("paths", []):
            added = f" + {path['added_rtt_ms']:g} ms" if path["added_rtt_ms"] else ""
            times = (path["round_trip_us"], path["direct_round_trip_us"])
            took, past = (words.duration(us * 1000) if us else words.MISSING for us in times)
            direct = f" ({past} past the port)" if times[1] else ""
            yield f"{name}: {path['kind']}{added}, {took}{direct}"


def _two(value: float) -> str:
    return words.MISSING if pd.isna(value) else f"{value:.2f}"

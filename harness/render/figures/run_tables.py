"""The tables of a run: rankings, verdicts, conflicts, missing stores, environment, settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from harness.analysis import summary
from harness.analysis.stored_times import median_time, stored_times
from harness.domain import formatting
from harness.domain.flags import explanation, sentence
from harness.render.figures.paragraphs import Facts, Lines
from harness.render.figures.sheet import commit, machine
from harness.render.table import Table, numbers, texts

_RATE_HEADS = ("ops a second", "least – most", "of the best")
_CONFLICTS = {
    "goodput_per_s": "goodput a second",
    "conflicts_per_op": "conflicts an op",
    "retries_per_op": "retries an op",
    "refused_per_op": "refused an op",
}


def answers(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> Lines:
    """The ranking in sentences, then remarks on it."""
    sentences = summary.headlines(summary.ranking(trials), summary.over_points(trials))
    return Lines(
        [*sentences, *summary.remarks(trials, manifest)], empty="No trial of this run has a result."
    )


def questions(manifests: Iterable[Mapping[str, Any]]) -> Lines:
    """One line for each run: its name and the question of its scenario."""
    scenarios = [(each["run"], each["scenario"].get("description", "")) for each in manifests]
    return Lines([": ".join(filter(None, (name, text.strip()))) for name, text in scenarios])


def remarks(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> Lines:
    """Remarks on the whole page: the kind of times, paths that differ, emulators."""
    return Lines(summary.remarks(trials, manifest))


def rankings(trials: pd.DataFrame) -> Iterator[Table]:
    """One table for each point and durability class, best first."""
    ranked = summary.ranking(trials)
    for _, group in ranked.groupby(summary.GROUP, sort=False):
        yield _ranking(group)


def verdicts(trials: pd.DataFrame) -> Table:
    """The results of verification, one row for each store."""
    rows = [_verdict(str(key), group) for key, group in trials.groupby("key", sort=False)]
    columns = (*texts("store", "verdict"), *numbers("trials", "violations"))
    return Table((*columns, *texts("the first of them")), rows)


def flags(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> Table:
    """Every verdict flag, the stores it concerns, and its meaning for the reader."""
    run = [
        (sentence([flag]), "the whole run", explanation(flag))
        for flag in summary.run_flags(manifest)
    ]
    by_flag = summary.by_flag(trials)
    rows = zip(by_flag["flag"], by_flag["stores"], by_flag["explanation"], strict=True)
    return Table(texts("flag", "concerns", "how to read it"), [*run, *rows])


def conflicts(trials: pd.DataFrame) -> Table:
    """Medians of a point's repetitions: goodput, and conflicts, retries, refusals an operation."""
    rows = summary.contention(trials)
    names = ["durability", "key", "panel", "x", "x_label"]
    medians = rows.groupby(names)[list(_CONFLICTS)].median().reset_index()
    point = str(rows["x_name"].iloc[0]) or "point"
    columns = (*texts("durability", "store"), *numbers(point, *_CONFLICTS.values()))
    cells = [
        (
            *(str(row[name]) for name in names[:2]),
            ", ".join(filter(None, (row["x_label"], row["panel"]))),
            formatting.number(row["goodput_per_s"]),
            *(formatting.hundredths(row[name]) for name in list(_CONFLICTS)[1:]),
        )
        for _, row in medians.iterrows()
    ]
    return Table(columns, cells)


_RULES = (
    "goodput a second", "conflicts an op", "false an op", "read a decision", "undone an op",
    "rules broken",
)  # fmt: skip


def rules_tables(trials: pd.DataFrame) -> Iterator[Table]:
    """One table for each durability class: by design and point, what it took to keep the rules."""
    rows = summary.rules_by_point(summary.under_rules(trials))
    for names, group in rows.groupby(["durability", "load_label"], sort=False):
        point = str(group["x_name"].iloc[0]).rpartition(".")[2]
        columns = (*texts("design"), *numbers(*[point] * bool(point), *_RULES))
        yield Table(
            columns, list(_rules_rows(group.sort_values(["key", "x"]), point)), _joined(names)
        )


def _rules_rows(group: pd.DataFrame, point: str) -> Iterator[Sequence[str]]:
    for _, row in group.iterrows():
        yield (
            str(row["key"]),
            *([str(row["x_label"])] if point else []),
            formatting.number(row["goodput_per_s"]),
            formatting.hundredths(row["conflicts_per_op"]),
            formatting.hundredths(row["false_conflicts_per_op"]),
            formatting.number(row["read_per_decision"]),
            formatting.hundredths(row["compensations_per_op"]),
            str(row["broken"]),
        )


def _joined(names: Iterable[object]) -> str:
    return " · ".join(filter(None, map(str, names)))


def rules_remark(trials: pd.DataFrame) -> Lines:
    """How to read the figures of rules, or why there are none."""
    points = summary.under_rules(trials)["point"].nunique()
    if not points:
        remark = "No trial of this run has rules of its own: its workload is not `boundary`."
    elif points == 1:
        remark = "This run has one point only, so there is no curve, only the table."
    else:
        remark = (
            "Contention rises to the right. Compare the designs that broke no rule; what one"
            " without protection reaches shows the price of theirs."
        )
    return Lines((), empty=remark)


def costs(trials: pd.DataFrame) -> Iterator[Table]:
    """One table for each point and durability class: the costs of an event in each store."""
    for _, group in summary.costs(trials).groupby(summary.GROUP, sort=False):
        had = [name for name in summary.COSTS if name in group and group[name].notna().any()]
        columns = (*texts("store"), *numbers(*(summary.COSTS[name] for name in had)))
        rows = [
            (str(row["key"]), *(formatting.number(row[name]) for name in had))
            for _, row in group.iterrows()
        ]
        yield Table(columns, rows, _title(group.iloc[0]))


def client_cpu(trials: pd.DataFrame) -> Iterator[Table | Lines]:
    """One table for each point and class: where a client's CPU time goes; then what is not known.

    No table without a store whose driver is known by itself.
    """
    parts = summary.client_cpu(trials)
    for _, group in parts.groupby(summary.GROUP, sort=False):
        if group["driver_share"].isna().all():
            continue
        columns = (*texts("store"), *numbers(*summary.CLIENT_PARTS.values(), "bare loop"))
        rows = [
            (
                str(row["key"]),
                *(formatting.number(row[name]) for name in summary.CLIENT_PARTS),
                formatting.percent(row["driver_share"]),
            )
            for _, row in group.iterrows()
        ]
        yield Table(columns, rows, f"client CPU · {_title(group.iloc[0])}")
    unknown = parts[parts["unknown"] != ""]
    if len(unknown):
        reasons = unknown.groupby("unknown", sort=False)["key"].agg(_names)
        yield Lines([f"client CPU is not split: {keys}: {why}" for why, keys in reasons.items()])


def _names(keys: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(map(str, keys)))


_DELAYS = {
    "dispatch_delay_p50_ns": "dispatch p50", "queue_delay_p50_ns": "queue p50",
    "service_p50_ns": "service p50", "response_p50_ns": "response p50",
    "service_p99_ns": "service p99", "response_p99_ns": "response p99",
}  # fmt: skip


def delays(trials: pd.DataFrame) -> Table:
    """The parts of an operation's time: medians of the repetitions' own percentiles.

    A percentile that is missing in any repetition is missing here.
    """
    names = ["key", "load_label", "point_label"]
    trials = summary.that_count(trials)
    trials = trials.assign(
        response_p50_ns=stored_times(trials, "response", "p50"),
        response_p99_ns=stored_times(trials, "response", "p99"),
    )
    counted = trials.groupby(names, sort=False)[list(_DELAYS)]
    medians = counted.agg(median_time).reset_index()
    rows = [
        (*(str(row[name]) for name in names), *(formatting.duration(row[name]) for name in _DELAYS))
        for _, row in medians.iterrows()
    ]
    return Table((*texts("store", "load", "point"), *numbers(*_DELAYS.values())), rows)


def contention_remark(trials: pd.DataFrame) -> Lines:
    """How to read the figures of contention, or why there are none."""
    points = summary.contended_points(trials)
    if not points:
        remark = "No trial of this run had conflicts to count: its workload does not contend."
    elif points == 1:
        remark = "This run has one point only, so there is no curve, only the table."
    else:
        remark = "Contention rises to the right; a curve that rises with it shows its cost."
    return Lines((), empty=remark)


def not_run(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> Table | Lines:
    """The stores that were left out and the trials that did not end, with reasons."""
    rows = [(str(key), "left out", str(why)) for key, why in manifest.get("left_out", {}).items()]
    undone = trials[trials["status"] != "done"]
    for names, group in undone.groupby(["key", "status", "message"], sort=False):
        key, status, message = map(str, names)
        rows.append((key, f"{len(group)} × {status}", message))
    if not rows:
        return Lines((), empty="Everything that the scenario names was run.")
    return Table(texts("store", "what", "why"), rows)


def _sync(latency: Mapping[str, Any]) -> str:
    """The time of one fsync on the disk of the results, which is the price of power-loss safety."""
    percentiles = {"p50": latency.get("p50_ns"), "p90": latency.get("p90_ns")}
    return ", ".join(f"{name} {formatting.duration(ns)}" for name, ns in percentiles.items() if ns)


def surroundings(manifest: Mapping[str, Any]) -> Facts:
    """The machine, time and code of the run."""
    scenario, environment = manifest.get("scenario", {}), manifest.get("environment", {})
    memory = environment.get("memory_bytes")
    versions = environment.get("versions", {})
    values = {
        "run": str(manifest.get("run", "")),
        "started": str(manifest.get("started_at", "")),
        "command": str(manifest.get("command", "")),
        "scenario": f"{scenario.get('name', '')}, seed {scenario.get('seed', '')}",
        "commit": commit(manifest),
        "machine": machine(manifest),
        "memory": formatting.size(memory) if memory else "",
        "system": str(environment.get("system", "")),
        "kernel": str(environment.get("kernel", "")),
        "filesystem": str(environment.get("filesystem", "")),
        "disk sync": _sync(environment.get("sync_latency", {})),
        "data": "; ".join(_places(manifest)),
        "virtualisation": str(environment.get("virtualisation", "")),
        "clock": str(environment.get("clock_source", "")),
        "load average": ", ".join(f"{load:.1f}" for load in environment.get("load_average", ())),
        "Python": str(environment.get("python", "")),
        "packages": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "servers": "; ".join(_servers(manifest)),
        "placement": str(manifest.get("placement", {}).get("why", "")),
        "one process is full": "; ".join(_full(manifest)),
        "idle round trips": "; ".join(_paths(manifest)),
    }
    return Facts({name: value for name, value in values.items() if value})


def settings(trials: pd.DataFrame) -> Table | Lines:
    """The durability settings that each server reported while it ran."""
    rows = []
    for names, _ in trials.groupby(["key", "durability", "settings"], sort=False):
        key, durability, text = map(str, names)
        read = json.loads(text) if text else {}
        values = ", ".join(f"{name} = {value}" for name, value in read.items())
        rows.append((key, durability or "unknown", values or "none to read back"))
    return Table(texts("store", "durability class", "settings as read back"), rows)


def _ranking(group: pd.DataFrame) -> Table:
    first = group.iloc[0]
    times = str(first["times"])
    measured = numbers(*_RATE_HEADS, f"{times} p50", f"{times} p99")
    rows = [_ranked(row) for _, row in group.iterrows()]
    return Table((*texts("rank", "store"), *measured, *texts("flags")), rows, _title(first))


def _title(row: pd.Series) -> str:
    parts = (row["durability"] or "unknown durability", row["workload"], row["load_label"],
             row["point_label"])  # fmt: skip
    return " · ".join(map(str, filter(None, parts)))


def _ranked(row: pd.Series) -> tuple[str, ...]:
    remarks = [*([f"not ranked: {row['reason']}"] if row["reason"] else []), *row["flags"]]
    return (
        formatting.MISSING if row["reason"] else str(row["rank"]),
        str(row["key"]), formatting.number(row["throughput_per_s"]),
        formatting.numbers(row["throughput_min_per_s"], row["throughput_max_per_s"]),
        formatting.ratio_between(row["relative_to_best"], row["low"], row["high"]),
        formatting.duration(row["p50_ns"]), formatting.duration(row["p99_ns"]),
        "; ".join(filter(None, [*remarks, row["emulator"]])),
    )  # fmt: skip


def _verdict(key: str, group: pd.DataFrame) -> tuple[str, ...]:
    verdict = ", ".join(dict.fromkeys(map(str, group["verified"])))
    violations = group["violations"].dropna()
    many = (
        formatting.span(violations.min(), violations.max())
        if len(violations)
        else formatting.MISSING
    )
    first = next(filter(None, group["first_violation"]), "")
    return key, verdict, str(len(group)), many, str(first)


def _servers(manifest: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} {about.get('version', '')} ({about.get('provider', '')})"
        for name, about in manifest.get("servers", {}).items()
    ]


def _full(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The rate at which one worker process would need its whole core, by store and point."""
    for each in manifest.get("processes", []):
        if rate_per_s := each.get("one_is_full_at_per_s"):
            point = formatting.point(json.loads(each.get("point") or "{}"))
            name = " ".join(filter(None, (str(each["key"]), point)))
            yield f"{name}: {formatting.rate(rate_per_s)}"


def _places(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Where the data of each server, or in-process store, lay, and the time of a sync there."""
    for name, place in manifest.get("places", {}).items():
        sync = _sync(place.get("sync_latency", {}))
        yield f"{name}: {formatting.place(place)}" + (f", sync {sync}" if sync else "")


def _paths(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The idle round trip to each server, and the one past its published port if measured."""
    for name, about in manifest.get("servers", {}).items():
        for path in about.get("paths", []):
            added_ms = path.get("added_rtt_ms")
            added = f" + {added_ms:g} ms" if added_ms else ""
            times = (path.get("round_trip_us"), path.get("direct_round_trip_us"))
            took, past = (
                formatting.duration(us * 1000) if us else formatting.MISSING for us in times
            )
            direct = f" ({past} past the port)" if times[1] else ""
            yield f"{name}: {path.get('kind', '')}{added}, {took}{direct}"

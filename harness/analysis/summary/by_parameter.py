"""Results by the varied parameters: scaling, contention, costs, deliveries, searches."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from harness.analysis.summary.ranking import GROUP, that_count, unranked_reasons

Point = Mapping[str, object]


def varied_axis(trials: pd.DataFrame, *, falling: Collection[str] = ()) -> pd.DataFrame:
    """One row for each trial: `x_name`, the varied name with the most values; `x`, its place;
    `x_label`, its value.

    Places rise with the value, or fall for names in `falling`. `panel` has the other varied values.
    """
    points = [json.loads(point or "{}") for point in trials["point"]]
    name = _varied_most(points)
    order = _order(points, name, falling=name in falling)
    columns = {
        "x_name": [name] * len(points),
        "x": [order[_value(point, name)] for point in points],
        "x_label": [_value(point, name) for point in points],
        "panel": [_rest(point, name) for point in points],
    }
    return pd.DataFrame(columns, index=trials.index)


def _varied_most(points: Sequence[Point]) -> str:
    names = list(dict.fromkeys(name for point in points for name in point))
    return max(names, key=lambda name: len({_value(point, name) for point in points}), default="")


def _order(points: Sequence[Point], name: str, *, falling: bool) -> dict[str, int]:
    values = {_value(point, name): point.get(name) for point in points}
    ordered = sorted(values, key=lambda label: _sortable(values[label]), reverse=falling)
    return {label: place for place, label in enumerate(ordered)}


def _value(point: Point, name: str) -> str:
    value = point.get(name)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _sortable(value: object) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return 0, float(value), ""
    return 1, 0.0, str(value)


def _rest(point: Point, name: str) -> str:
    return ", ".join(f"{other} = {_value(point, other)}" for other in point if other != name)


_ALIKE = ["scenario", "workload", "load"]
_KEPT = ["key", "durability", "repetition", "trial_id", "flags"]


def scaling(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each trial: `value` by `x`, `x_label`, `x_name`; `panel` has the other values.

    `value` is operations a second in closed loops and searches, and the median response time in
    ns in open loops, whose rate is given; `measure` names it. A trial that does not count has a
    `reason`.
    """
    rated = (trials["load"] == "closed") | (trials["rate_found"] == "search")
    value = trials["throughput_per_s"].where(rated, trials["response_p50_ns"])
    return pd.concat([trials[_KEPT], varied_axis(trials)], axis=1).assign(
        measure=["throughput" if each else "response p50" for each in rated],
        value=value.astype("float64"),
        reason=unranked_reasons(trials),
    )


def scaling_groups(trials: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yields the trials of one figure at a time; nothing for a run with one point."""
    if trials["point"].nunique() < 2:  # noqa: PLR2004 — one point is no curve
        return
    panels = varied_axis(trials)["panel"]
    for _, alike in trials.groupby([*(trials[name] for name in _ALIKE), panels], sort=False):
        if alike["point"].nunique() > 1:
            yield alike


_CONTENTION_KEPT = [
    "scenario", "workload", "load_label", "durability", "key", "repetition", "status", "valid",
    "flags", "violations",
]  # fmt: skip
_CONTENTION_ALIKE = ["scenario", "workload", "load", "durability"]
_FINISHED = ["ok", "conflict", "refused", "timeout", "unknown"]
_FALLING = {"streams.count"}
"""Varied names whose smaller values mean more contention."""


def has_contention(trials: pd.DataFrame) -> bool:
    """Whether a run measures contention: it ran commands, or operations conflicted."""
    conflicted = trials["conflicts"].fillna(0) + trials["retries"].fillna(0) > 0
    return bool((conflicted | (trials["workload"] == "command")).any())


def contended_points(trials: pd.DataFrame) -> int:
    """The number of points of a run that measures contention, otherwise 0."""
    return int(trials["point"].nunique()) if has_contention(trials) else 0


def contention(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each trial: `goodput_per_s`, `conflicts_per_op`, `retries_per_op` and
    `refused_per_op`.

    An operation is a logical one and includes its retries; `operations` ended. `x_name` is the
    varied name with the most values, `x_label` its value and `x` its place in the order of rising
    contention; `panel` has the other varied values. A trial that does not count has a `reason`. A
    trial that is not done has no numbers: unsupported is not zero conflicts. A design without
    conflicts of its own may have refusals instead: its database refuses the operation, and no
    client retries it.
    """
    axis = varied_axis(trials, falling=_FALLING)
    operations = trials[_FINISHED].sum(axis=1, min_count=1).astype("Float64")
    operations = operations.where(operations > 0)
    return pd.concat([trials[_CONTENTION_KEPT], axis], axis=1).assign(
        operations=operations,
        goodput_per_s=trials["throughput_per_s"],
        conflicts_per_op=(trials["conflicts"] / operations).astype("float64"),
        retries_per_op=(trials["retries"] / operations).astype("float64"),
        refused_per_op=(trials["refused"] / operations).astype("float64"),
        reason=unranked_reasons(trials),
    )


def contention_groups(trials: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yields the trials of one figure at a time: only store, repetition and contention differ."""
    panels = contention(trials)["panel"]
    for _, alike in trials.groupby(
        [*(trials[name] for name in _CONTENTION_ALIKE), panels], sort=False
    ):
        yield alike


COSTS: Mapping[str, str] = MappingProxyType(
    {
        "server_cpu_per_event_us": "server µs",
        "generator_cpu_per_event_us": "client µs",
        "round_trips_per_event": "trips",
        "commits_per_event": "commits",
        "syncs_per_event": "syncs",
        "log_bytes_per_event": "log bytes",
        "full_page_bytes_per_event": "page image bytes",
        "data_bytes_per_event": "data bytes",
        "read_units_per_event": "read units",
        "write_units_per_event": "write units",
        "write_units_by_rule_per_event": "… by rule",
    }
)
"""Columns of the trials and their headings in a table."""


def costs(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each store, point and durability class: medians of the repetitions that count.

    Has only the columns of `COSTS` for which some store has a value; empty if no trial counts.
    """
    counted = that_count(trials)
    medians = counted.groupby([*GROUP, "key"], sort=False)[list(COSTS)].median().reset_index()
    had = [name for name in COSTS if medians[name].notna().any()]
    return medians[[*GROUP, "key", *had]]


def client_cpu(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each store, point and durability class: where its clients' CPU time goes.

    Medians of the repetitions that count, in µs an event: `client_us`, and its parts `driver_us`,
    `lab_us` and `system_us`, that in the kernel. `driver_share` is a bare loop's share of it all,
    its own time in the kernel included; `unknown` says why there is none. Empty for runs that did
    not tell the kernel's part.
    """
    counted = that_count(trials)
    counted = counted[counted["generator_kernel_per_event_us"].notna()]
    client_us, system_us, driver_us = (
        counted[name].astype("float64")
        for name in (
            "generator_cpu_per_event_us", "generator_kernel_per_event_us", "driver_cpu_per_event_us"
        )
    )  # fmt: skip
    parts = counted.assign(
        client_us=client_us,
        driver_us=driver_us,
        lab_us=client_us - system_us - driver_us,
        system_us=system_us,
    )
    by_store = parts.groupby([*GROUP, "key"], sort=False)
    medians = by_store[[*CLIENT_PARTS, "driver_share"]].median()
    return medians.assign(unknown=by_store["driver_unknown"].first()).reset_index()


CLIENT_PARTS: Mapping[str, str] = MappingProxyType(
    {"client_us": "client µs", "driver_us": "driver", "lab_us": "lab", "system_us": "system"}
)
"""Columns of `client_cpu` and their headings in a table."""


_PERCENTILES = ("p50", "p90", "p99", "p999")


def has_deliveries(trials: pd.DataFrame) -> bool:
    """Whether any trial delivered events to subscribers."""
    return bool((trials["delivery_count"].fillna(0) > 0).any())


def delivery(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each trial with subscribers: `count`, `p50_ns`, `p90_ns`, `p99_ns`, `p999_ns`,
    `max_ns`.

    A time is negative if the subscriber got the event before the writer got its answer.
    """
    with_subscribers = trials[trials["delivery_count"].fillna(0) > 0]
    columns = {f"{label}_ns": with_subscribers[f"delivery_{label}_ns"] for label in _PERCENTILES}
    return with_subscribers[[*GROUP, "key", "repetition", "flags", "valid"]].assign(
        count=with_subscribers["delivery_count"],
        **columns,
        max_ns=with_subscribers["delivery_max_ns"],
        reason=unranked_reasons(with_subscribers),
    )


def searched_rates(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each trial with a rate search: `held_per_s`, and `failed_per_s` above it."""
    searches = trials[trials["rate_found"] == "search"]
    return searches[[*GROUP, "key", "repetition", "flags"]].assign(
        held_per_s=searches["rate_per_s"].astype("float64"),
        failed_per_s=searches["failed_rate_per_s"].astype("float64"),
    )

"""Ranks the stores inside one point and durability class, with ratios and their intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.paired import Values, t_interval
from harness.analysis.stored_times import median_time, stored_times
from harness.domain import formatting
from harness.domain.flags import Flag, FlagCode, dumped, listed, merged, sentence

POINT = ["scenario", "workload", "load_label", "point", "point_label"]
"""The columns in which the trials of one figure agree."""
GROUP = [*POINT, "durability"]
"""Numbers are compared only between rows that agree in all of these."""

_FAILED = ["refused", "timeout", "unknown", "dropped", "unfinished"]
INTERRUPTED_MAX = 0.01
"""If operations wait for nothing in a larger share of the window, its rates are no measure."""
_FAILED_MAX = 0.5
"""If a larger share of the operations fails, the others are no measure of the store."""

_COLUMNS = [
    *GROUP,
    "rank", "key", "ranked_by", "throughput_per_s", "throughput_min_per_s", "throughput_max_per_s",
    "times", "p50_ns", "p99_ns", "repetitions", "relative_to_best", "flags", "reason", "provider",
    "emulator",
]  # fmt: skip


_REASONED = [
    *("status", "message", "valid", "first_violation", "verified", "measured_s", "stalled_s"),
    *("without_service_s", "refusals"),
]
"""What `unranked_reasons` looks at, beside `_FAILED`."""
_RANKED = [
    *GROUP, *_REASONED, *_FAILED,
    "key", "repetition", "load", "rate_found", "scheduled", "ok", "conflict", "throughput_per_s",
    "service_p50_ns", "service_p99_ns", "service_count",
    "response_p50_ns", "response_p99_ns", "response_count", "flags", "provider", "emulator",
]  # fmt: skip
"""What a ranking looks at: pandas takes the fewer columns apart the faster."""


def _of(trials: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """These columns, without those that a run of an older version lacks."""
    return trials[[name for name in names if name in trials]]


def _groups(trials: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """The trials of each point and class, each with why it is left out, and its stores' rows."""
    trials = _of(trials, _RANKED)
    left_out = [_unranked_reason(trial) or _mostly_failed(trial) for trial in _records(trials)]
    for _, group in trials.assign(left_out=left_out).groupby(GROUP, sort=False):
        yield group, _group(group)


def _by_medians(groups: list[pd.DataFrame]) -> pd.DataFrame:
    """`ranking` without pairs: `relative_to_best` is a ratio of medians."""
    if not groups:
        return pd.DataFrame(columns=_COLUMNS)
    return pd.concat(groups, ignore_index=True)[_COLUMNS]


Ranked = Callable[[pd.DataFrame], pd.DataFrame]
_KEPT_MAX = 16


def _kept(compute: Ranked) -> Ranked:
    """Remembers the last results: a page asks a dozen times, mostly for the same trials."""
    results: dict[bytes, pd.DataFrame] = {}

    @wraps(compute)
    def found(trials: pd.DataFrame) -> pd.DataFrame:
        trials = _of(trials, _RANKED)
        content = _content(trials)
        if content not in results:
            while len(results) >= _KEPT_MAX:
                del results[next(iter(results))]
            results[content] = compute(trials)
        return results[content].copy()

    return found


def _content(trials: pd.DataFrame) -> bytes:
    """What tells a frame from another: columns with their types, and a hash of each row."""
    rows = pd.util.hash_pandas_object(trials).to_numpy()
    return repr(trials.dtypes.to_dict()).encode() + rows.tobytes()


@_kept
def ranking(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each store key inside each point and durability class, best first.

    `throughput_per_s` is the median of the valid repetitions, with their minimum and maximum;
    `p50_ns` and `p99_ns` are medians of the repetitions' own percentiles (`times` is service or
    response), empty where a repetition has too few samples for them, infinite where they lie among
    operations that failed. Closed loads and
    searches rank by throughput; open ones by response p50, since the rate caps throughput.
    `relative_to_best` is a ratio of the value ranked by: 1 for the best, for throughput below,
    for times above. It comes from `relative_speed`, with `low` and `high` of its interval, so that
    terminal, page, exports and sentences agree; the best has no interval.
    A key without a valid repetition has no `rank` but a `reason`.
    """
    groups = list(_groups(trials))
    ranked = _by_medians([rows for _, rows in groups])
    paired = ranked.merge(_speeds(groups), on=[*GROUP, "key"], how="left")
    return ranked.assign(
        relative_to_best=paired["ratio"].fillna(ranked["relative_to_best"]),
        low=paired["low"],
        high=paired["high"],
    )


def _overall(ranked: pd.DataFrame) -> pd.DataFrame:
    """For each key and durability class, the geometric mean of `relative_to_best` over all points.

    It is NaN for a key that is not ranked at every point of its class.
    """
    within = ["scenario", "workload", "durability", "ranked_by"]
    rows = []
    for names, group in ranked.groupby(within, sort=False):
        points = group[["load_label", "point"]].drop_duplicates().shape[0]
        for key, mine in group.groupby("key", sort=False):
            ratios = mine["relative_to_best"].dropna().to_numpy()
            mean = geometric_mean(ratios) if len(ratios) == points else np.nan
            rows.append(
                dict(zip(within, names, strict=True))
                | {"key": key, "points": points, "ranked_points": len(ratios), "relative": mean}
            )
    columns = [*within, "key", "points", "ranked_points", "relative"]
    return pd.DataFrame(rows, columns=columns)


def geometric_mean(ratios: np.ndarray) -> float:
    """The geometric mean, the right mean for ratios; NaN for an empty array."""
    return float(np.exp(np.mean(np.log(ratios)))) if len(ratios) else float("nan")


def unranked_reasons(trials: pd.DataFrame) -> list[str]:
    """Why each trial does not count; empty for one that counts."""
    return [_unranked_reason(trial) for trial in _records(_of(trials, [*_REASONED, *_FAILED]))]


def _records(trials: pd.DataFrame) -> list[dict[Hashable, Any]]:
    return trials.to_dict("records")


def _unranked_reason(trial: Mapping[Hashable, Any]) -> str:
    if trial["status"] != "done":
        return f"{trial['status']}: {trial['message']}".rstrip(": ")
    if not trial["valid"]:
        cause = trial["first_violation"] or trial["message"] or "accounting does not balance"
        return f"invalid: {cause}"
    if trial["verified"] == "impossible":
        return "keeps nothing to read back: it shows the generator's own ceiling"
    flag = _interruption(trial)
    if flag is None:
        return ""
    silent = flag.code == FlagCode.WITHOUT_SERVICE
    return sentence([flag]) + (f"{_refused(trial)}: the rest is no measure" if silent else "")


def _interruption(trial: Mapping[Hashable, Any]) -> Flag | None:
    """What took too much of the window; the lab's own stall hides what the store did meanwhile."""
    window_s = _seconds(trial, "measured_s")
    stalled_s, silent_s = _seconds(trial, "stalled_s"), _seconds(trial, "without_service_s")
    allowed_s = INTERRUPTED_MAX * window_s
    if stalled_s > allowed_s and silent_s - stalled_s <= allowed_s:
        return Flag(FlagCode.LAB_STALLED, {"seconds": stalled_s, "of_s": window_s})
    if silent_s > allowed_s:
        return Flag(FlagCode.WITHOUT_SERVICE, {"seconds": silent_s, "of_s": window_s})
    return None


def _refused(trial: Mapping[Hashable, Any]) -> str:
    """The commonest refusal, in brackets, where the store refused any operation."""
    cell = json.loads(str(trial.get("refusals") or "{}"))
    counts = {name: count for name, count in cell.items() if isinstance(count, int)}
    most = max(counts, key=lambda name: counts[name], default="")
    return f" (refused with {most})" if most and trial["refused"] else ""


def _seconds(trial: Mapping[Hashable, Any], name: str) -> float:
    """A cell; 0 where a run of an older version lacks it."""
    cell = trial.get(name)
    return 0.0 if cell is None or pd.isna(cell) else float(cell)


def that_count(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials that count; keeps all columns if none counts."""
    reasons = unranked_reasons(trials)
    return trials[np.array([not reason for reason in reasons], dtype=bool)]


def _mostly_failed(trial: Mapping[Hashable, Any]) -> str:
    scheduled = trial["scheduled"]
    counts = [trial[name] for name in _FAILED if pd.notna(trial[name])]
    failed = sum(counts) / scheduled if scheduled else 0.0
    if failed <= _FAILED_MAX:
        return ""
    share = formatting.percent(failed)
    return f"{share} of its operations failed: the speed of the rest is no measure"


def _group(trials: pd.DataFrame) -> pd.DataFrame:
    rows = pd.DataFrame([_row(of_key) for _, of_key in trials.groupby("key", sort=False)])
    by_throughput = rows["ranked_by"].iloc[0] == "throughput"
    value = rows["throughput_per_s"] if by_throughput else rows["p50_ns"]
    counts = (rows["reason"] == "") & (value > 0)
    rows.loc[(rows["reason"] == "") & ~counts, "reason"] = "too few operations to rank"
    value = value.where(counts)
    rows["rank"] = value.rank(method="min", ascending=not by_throughput).astype("Int64")
    rows["relative_to_best"] = value / (value.max() if by_throughput else value.min())
    return rows.sort_values(["rank", "key"], na_position="last")


def _row(trials: pd.DataFrame) -> dict[str, Any]:
    first = trials.iloc[0]
    reasons = list(trials["left_out"])
    counted = trials[[not reason for reason in reasons]]
    shown = counted if len(counted) else trials[trials["status"] == "done"]
    reason = "" if len(counted) else next(filter(None, reasons), "")
    flags = _flags(counted, reasons) if len(counted) else _flags(_without_reason(trials), reasons)
    times = "response" if first["load"] == "open" else "service"
    throughput = shown["throughput_per_s"]
    return {name: first[name] for name in [*GROUP, "key", "emulator"]} | {
        "ranked_by": "throughput" if _by_throughput(first) else "response p50",
        "throughput_per_s": throughput.median(),
        "throughput_min_per_s": throughput.min(),
        "throughput_max_per_s": throughput.max(),
        "times": times,
        "p50_ns": median_time(stored_times(shown, times, "p50")),
        "p99_ns": median_time(stored_times(shown, times, "p99")),
        "repetitions": len(counted),
        "flags": tuple(flags),
        "reason": reason,
        "provider": ", ".join(sorted(set(trials["provider"]) - {""})),
    }


def _by_throughput(trial: pd.Series) -> bool:
    """Closed loops and searches measure a rate; an open loop has a given one."""
    return bool(trial["load"] == "closed" or trial.get("rate_found") == "search")


def _without_reason(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials without the flag that is the reason why they are not ranked."""
    cells = []
    for trial in _records(trials):
        reason = _interruption(trial)
        others = [flag for flag in listed(trial["flags"]) if not reason or flag.code != reason.code]
        cells.append(dumped(others))
    return trials.assign(flags=cells)


def _flags(counted: pd.DataFrame, reasons: list[str]) -> list[str]:
    flags = merged([listed(text) for text in counted["flags"]])
    out = [reason for reason in reasons if reason]
    if out and len(out) < len(reasons):
        left_out = Flag(
            FlagCode.REPETITIONS_LEFT_OUT,
            {"count": len(out), "of": len(reasons), "reason": out[0]},
        )
        flags.append(sentence([left_out]))
    if (counted["verified"] == "off").any():
        flags.append(sentence([Flag(FlagCode.NOT_VERIFIED)]))
    return flags


ALPHA = 0.05
"""The level of one group as a whole; its intervals are widened for that (Bonferroni)."""
_SPEED_COLUMNS = [*GROUP, "key", "ratio", "low", "high", "pairs"]
CLASS = ["scenario", "workload", "durability", "ranked_by"]
"""The columns in which points agree that have one mean."""


@_kept
def relative_speed(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each ranked store but the best: `ratio` to the best, `low`, `high` and `pairs`.

    The ratio is the geometric mean over pairs: trials of the same repetition, which ran close in
    time. The interval is a paired t interval on their logarithms; with one pair it is NaN.
    """
    return _speeds(_groups(trials))


def _speeds(groups: Iterable[tuple[pd.DataFrame, pd.DataFrame]]) -> pd.DataFrame:
    rows = [row for group, ranked in groups for row in _speeds_of_group(group, ranked)]
    return pd.DataFrame(rows, columns=_SPEED_COLUMNS)


@_kept
def over_points(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each key and class over all points: `relative` to the best, with its interval.

    A repetition gives one value: the mean, over the points, of the logarithm of the ratio to the
    best of each point. The interval is a t interval on these values, so it has as many values as
    there are repetitions, for any number of points. A store that is best everywhere has none.
    """
    ranked = _by_medians([rows for _, rows in _groups(trials)])
    overall = _overall(ranked)
    means = [row for _, of_class in ranked.groupby(CLASS, sort=False)
             for row in _means(trials, of_class)]  # fmt: skip
    paired = overall.merge(
        pd.DataFrame(means, columns=[*CLASS, "key", "ratio", "low", "high"]),
        on=[*CLASS, "key"], how="left",
    )  # fmt: skip
    return overall.assign(
        relative=paired["ratio"].fillna(overall["relative"]), low=paired["low"], high=paired["high"]
    )


def _means(trials: pd.DataFrame, ranked: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """One row for each store ranked at every point of the class, unless it is best at all."""
    points = list(ranked[ranked["rank"].notna()].groupby(GROUP, sort=False))
    if not points:
        return
    logs = [_logs(trials, at_point) for _, at_point in points]
    everywhere = [
        key for key in ranked["key"].unique() if all(key in at_point for at_point in logs)
    ]
    values = {
        key: pd.concat([at_point[key] for at_point in logs], axis=1, join="inner")
        .dropna()
        .mean(axis=1)
        for key in everywhere
    }
    slower = {key: each for key, each in values.items() if each.any()}
    named = {name: ranked[name].iloc[0] for name in CLASS}
    for key, each in slower.items():
        ratio, low, high = ratio_interval(each.to_numpy(), ALPHA / len(slower))
        yield named | {"key": key, "ratio": ratio, "low": low, "high": high}


def _logs(trials: pd.DataFrame, ranked: pd.DataFrame) -> dict[str, pd.Series]:
    """For each store at one point, the logarithm of its ratio to the best, by repetition."""
    here = trials[(trials[GROUP] == ranked[GROUP].iloc[0]).all(axis=1)]
    values = _values(here, by_throughput=ranked["ranked_by"].iloc[0] == "throughput")
    best = values[str(ranked["key"].iloc[0])]
    ratios = {key: values[key] / best for key in map(str, ranked["key"]) if key in values}
    return {key: ratio.map(np.log) for key, ratio in ratios.items()}


def _speeds_of_group(trials: pd.DataFrame, ranked: pd.DataFrame) -> Iterator[dict[str, Any]]:
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
    """For each key, the values that rank it, by repetition; only those that count and exceed 0."""
    counted = that_count(trials)
    column = "throughput_per_s" if by_throughput else "response_p50_ns"
    positive = counted[counted[column].fillna(0) > 0]
    return {
        str(key): mine.set_index("repetition")[column].astype("float64")
        for key, mine in positive.groupby("key")
    }


def ratio_interval(logs: Values, alpha: float) -> tuple[float, float, float]:
    """The geometric mean of log ratios and its interval at 1 − `alpha`; NaN for too few pairs."""
    if not len(logs):
        return float("nan"), float("nan"), float("nan")
    low, high = t_interval(logs, alpha)
    return float(np.exp(np.mean(logs))), float(np.exp(low)), float(np.exp(high))

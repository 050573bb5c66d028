"""Who is ahead: inside one point and one durability class, over repetitions, never across."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from harness import words
from harness.summary.flags import listed, merged

POINT = ["scenario", "workload", "load_label", "point", "point_label"]
"""What the trials of one figure agree in."""
GROUP = [*POINT, "durability"]
"""Numbers are compared only between rows that agree in all of these."""

_FAILED = ["refused", "timeout", "unknown", "dropped", "unfinished"]
_FAILED_MAX = 0.5
"""Where more operations than this failed, the rest is no measure of the store."""

_COLUMNS = [
    *GROUP,
    "rank", "key", "ranked_by", "throughput_per_s", "throughput_min_per_s", "throughput_max_per_s",
    "times", "p50_ns", "p99_ns", "repetitions", "relative_to_best", "flags", "reason", "provider",
    "emulator",
]  # fmt: skip


def ranking(trials: pd.DataFrame) -> pd.DataFrame:
    """A row a store key inside each point and durability class, best first.

    `throughput_per_s` is the median of the valid repetitions, with their minimum and maximum;
    `p50_ns` and `p99_ns` are medians of the repetitions' own percentiles (`times` says whether
    service or response), empty where a repetition has too few samples for them. Closed loads and
    searches rank by throughput; open ones by response p50, since the rate caps throughput.
    `relative_to_best` is a ratio of the value ranked by: 1 for the best, for throughput below,
    for times above. A key without a valid repetition has no `rank` but a `reason`.
    """
    groups = [_group(group) for _, group in trials.groupby(GROUP, sort=False)]
    if not groups:
        return pd.DataFrame(columns=_COLUMNS)
    return pd.concat(groups, ignore_index=True)[_COLUMNS]


def overall(ranked: pd.DataFrame) -> pd.DataFrame:
    """Over all points: the geometric mean of `relative_to_best` a key and durability class.

    Only for keys that are ranked at every point of their class; the others have none.
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
    """The only mean that a ratio may have; NaN for none."""
    return float(np.exp(np.mean(np.log(ratios)))) if len(ratios) else float("nan")


def unranked_reason(trial: pd.Series) -> str:
    """Why a trial does not count; empty for one that does."""
    if trial["status"] != "done":
        return f"{trial['status']}: {trial['message']}".rstrip(": ")
    if not trial["valid"]:
        cause = trial["first_violation"] or trial["message"] or "accounting does not balance"
        return f"invalid: {cause}"
    if trial["verified"] == "impossible":
        return "keeps nothing to read back: it shows the generator's own ceiling"
    return ""


def that_count(trials: pd.DataFrame) -> pd.DataFrame:
    """Those that count, with all their columns even where there are none."""
    reasons = [unranked_reason(trial) for _, trial in trials.iterrows()]
    return trials[np.array([not reason for reason in reasons], dtype=bool)]


def _mostly_failed(trial: pd.Series) -> str:
    failed = trial[_FAILED].sum() / trial["scheduled"] if trial["scheduled"] else 0.0
    if failed <= _FAILED_MAX:
        return ""
    return f"{words.percent(failed)} of its operations failed: the speed of the rest is no measure"


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
    reasons = [unranked_reason(trial) or _mostly_failed(trial) for _, trial in trials.iterrows()]
    counted = trials[[not reason for reason in reasons]]
    shown = counted if len(counted) else trials[trials["status"] == "done"]
    times = "response" if first["load"] == "open" else "service"
    throughput = shown["throughput_per_s"]
    return {name: first[name] for name in [*GROUP, "key", "emulator"]} | {
        "ranked_by": "throughput" if _by_throughput(first) else "response p50",
        "throughput_per_s": throughput.median(),
        "throughput_min_per_s": throughput.min(),
        "throughput_max_per_s": throughput.max(),
        "times": times,
        "p50_ns": _median_of_all(shown[f"{times}_p50_ns"]),
        "p99_ns": _median_of_all(shown[f"{times}_p99_ns"]),
        "repetitions": len(counted),
        "flags": tuple(_flags(counted if len(counted) else trials, reasons)),
        "reason": "" if len(counted) else next(filter(None, reasons), ""),
        "provider": ", ".join(sorted(set(trials["provider"]) - {""})),
    }


def _by_throughput(trial: pd.Series) -> bool:
    """Closed loops and searches end with a rate; an open loop was given one."""
    return bool(trial["load"] == "closed" or trial.get("rate_found") == "search")


def _median_of_all(percentiles: pd.Series) -> float:
    """The median over repetitions; none where one of them has none, not the rest."""
    return float(percentiles.median(skipna=False)) if len(percentiles) else float("nan")


def _flags(counted: pd.DataFrame, reasons: list[str]) -> list[str]:
    flags = merged([listed(text) for text in counted["flags"]])
    out = [reason for reason in reasons if reason]
    if out and len(out) < len(reasons):
        flags.append(f"{len(out)} of {len(reasons)} repetitions left out: {out[0]}")
    if (counted["verified"] == "off").any():
        flags.append("not verified")
    return flags

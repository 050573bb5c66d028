"""What faults did to each store: the worst of its repetitions, who was away longest, who lost."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from harness.domain import formatting

ERRORS = ["refused", "timeout", "unknown", "dropped", "unfinished"]
JUDGED = [
    "written_twice", "written_though_refused", "refused_though_written", "unknown_written",
    "unknown_lost",
]  # fmt: skip
_NS_A_S = 1e9
_WORST = [
    "silent_s", "first_ok_s", "restored_s", "errors", "response_p99_during_ns",
    "response_p99_after_ns", "backlog_max", "drained_s", "connections", "delivery_gap_s",
    "delivered_again", "lost",
]  # fmt: skip
_PLACE = ["key", "fault"]


def faults_of(trials: pd.DataFrame, faults: pd.DataFrame) -> pd.DataFrame:
    """The faults of these trials, named as the trials are: the sides of pairs apart."""
    names = trials.set_index("trial_id")["key"]
    mine = faults[faults["trial_id"].isin(names.index)]
    return mine.assign(key=mine["trial_id"].map(names))


def worst(faults: pd.DataFrame) -> pd.DataFrame:
    """A row per store and kind of fault, in the order of the plan: the worst of what was seen.

    `reached` says whether any began, `why_not` why not, `came_back` whether an acknowledgement
    followed every time.
    """
    if not len(faults):
        return pd.DataFrame(columns=[*_PLACE, "at_s", "reached", "came_back", "why_not", *_WORST])
    seen = faults.assign(
        errors=faults[ERRORS].sum(axis=1, min_count=1),
        came_back=faults["began_s"].isna() | faults["first_ok_s"].notna(),
        reached=faults["began_s"].notna(),
    )
    groups = seen.groupby(_PLACE, sort=False)
    rows = groups[_WORST].max()
    rows["at_s"] = groups["at_s"].first()
    rows["reached"] = groups["reached"].any()
    rows["came_back"] = groups["came_back"].all()
    rows["why_not"] = groups["why_not"].max()
    return rows.reset_index()


def losses(trials: pd.DataFrame) -> pd.DataFrame:
    """A row per store that was verified: what it lost at most, and whether its class allows that.

    Columns: `key`, `durability`, `lost`, `broken` (declared violations), and counts of what else
    was found when everything was read back.
    """
    rows = trials[trials["lost"].notna()]
    return pd.DataFrame(
        {
            "durability": rows.groupby("key", sort=False)["durability"].first(),
            "lost": rows.groupby("key", sort=False)["lost"].max(),
            "broken": rows.groupby("key", sort=False)["declared_violations"].max(),
            **{name: rows.groupby("key", sort=False)[name].max() for name in JUDGED},
        }
    ).reset_index()


def trouble(trials: pd.DataFrame, faults: pd.DataFrame) -> list[str]:
    """Who was away longest, who lost what, and what was not reached, in sentences."""
    if not len(faults):
        return []
    return [
        *_away(worst(faults)),
        *_lost(losses(trials), faults),
        *_broken(trials),
        *_unreached(worst(faults)),
    ]


def _away(rows: pd.DataFrame) -> Iterator[str]:
    reached = rows[rows["reached"] & rows["silent_s"].notna()]
    if not len(reached):
        return
    longest = reached.sort_values("silent_s").groupby("key", sort=False).last()
    longest = longest.sort_values("silent_s", ascending=False)
    first = longest.iloc[0]
    yield (
        f"{longest.index[0]} was away longest: {_time(first['silent_s'])} without an"
        f" acknowledgement after {first['fault']}" + ("" if first["came_back"] else _NOT_BACK) + "."
    )
    count = reached.groupby("key").size()
    whole = longest[count[longest.index] == count.max()]
    if len(whole) > 1:
        last = whole.iloc[-1]
        yield (
            f"{whole.index[-1]} was away shortest: at most {_time(last['silent_s'])}, after"
            f" {last['fault']}."
        )


_NOT_BACK = "; nothing was acknowledged any more"


def _lost(rows: pd.DataFrame, faults: pd.DataFrame) -> Iterator[str]:
    losers = rows[rows["lost"] > 0]
    for _, row in losers.iterrows():
        words = "acknowledged event" + ("" if row["lost"] == 1 else "s")
        allowed = (
            f"although it is {row['durability']}: a broken promise{_evidence(row['key'], faults)}"
            if row["broken"]
            else f"which its durability class allows ({row['durability']})"
        )
        yield f"{row['key']} lost {row['lost']:,} {words}, {allowed}."
    if len(rows) and not len(losers):
        yield "No store lost an acknowledged event."
    elif len(rows) > len(losers):
        yield "The others lost no acknowledged event."


def _evidence(key: str, faults: pd.DataFrame) -> str:
    """The first lost event: which client had its acknowledgement, when, before which fault."""
    found = faults.loc[(faults["key"] == key) & (faults["evidence"] != ""), "evidence"]
    return f" ({str(found.iloc[0]).partition(';')[0]})" if len(found) else ""


def _broken(trials: pd.DataFrame) -> Iterator[str]:
    """Promises broken without a loss, one store a sentence."""
    broken = trials[(trials["declared_violations"] > 0) & ~(trials["lost"] > 0)]
    for key, group in broken.groupby("key", sort=False):
        yield f"{key} broke a promise: {group['first_violation'].iloc[0]}."


def _unreached(rows: pd.DataFrame) -> Iterator[str]:
    for key, group in rows[~rows["reached"]].groupby("key", sort=False):
        yield f"Not reached on {key}: {', '.join(group['fault'])}."


def _time(seconds: float) -> str:
    return formatting.duration(seconds * _NS_A_S)

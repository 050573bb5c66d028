"""Sentences for a reader who chooses a store: the answer, and what would change it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pandas as pd

from harness.analysis.summary.headline import headlines, missing_stores
from harness.analysis.summary.ranking import GROUP, over_points, ranking, relative_speed
from harness.analysis.summary.requirements import (
    FAIL,
    PASS,
    UNKNOWN,
    kept,
    requirements,
    strongest_first,
)
from harness.domain import formatting
from harness.domain.flags import FlagCode, has_flag

_NOTHING = (
    "The scenario requires nothing of a store, so all of them are ranked: with require: {…}"
    " each one passes or fails."
)
_NOT_CHECKED = (
    "What the stores promise was not checked in this run: eslab run … --set verify=conformance."
)
_ENOUGH = 5
"""With fewer repetitions a small difference may be chance."""
_BY_NAME = 2
"""Up to this many points without a clear leader are named; more are only counted."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The requirements for the stores of a run, and the results of its conformance checks."""

    require: Mapping[str, Any]
    checked: pd.DataFrame | None = None
    """`summary.matrix` of the run, if it has one."""
    absent: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """`summary.not_run` of the run: reasons by the keys of the stores without a result."""

    def judged(self, trials: pd.DataFrame) -> pd.DataFrame:
        """The rows of `summary.requirements` for these trials."""
        return requirements(trials, self.require, self.checked)


def candidates(trials: pd.DataFrame, asked: Asked) -> pd.DataFrame:
    """The trials of the stores that fail no requirement, the strongest class first."""
    verdicts = kept(asked.judged(trials))
    failed = {key for key, status in verdicts.items() if status == FAIL}
    return strongest_first(trials[~trials["key"].isin(failed)])


def answer(trials: pd.DataFrame, asked: Asked) -> list[str]:
    """The answer: which stores meet the requirements, which leads in each durability class, which
    keep their promises, and which have no result."""
    chosen = candidates(trials, asked)
    leaders = headlines(ranking(chosen), over_points(chosen))
    sentences = (each[:1].upper() + each[1:] for each in leaders)
    return [
        *_promises(trials, asked),
        *sentences,
        *_unprotected(trials),
        *_checked(asked.checked),
        *missing_stores(asked.absent),
    ]


def _promises(trials: pd.DataFrame, asked: Asked) -> Iterator[str]:
    if not asked.require:
        return
    judged = asked.judged(trials)
    verdicts = kept(judged)
    passed = [key for key, status in verdicts.items() if status == PASS]
    failed = [key for key, status in verdicts.items() if status == FAIL]
    unknown = [f"{key} ({', '.join(_unknown_of(judged, key))})"
               for key, status in verdicts.items() if status == UNKNOWN]  # fmt: skip
    if passed:
        yield f"Keeping everything that is required: {', '.join(passed)}."
    else:
        yield "No store is known to keep everything that is required."
    if unknown:
        yield f"Not known yet: {'; '.join(unknown)}."
    yield from _failing(judged, failed)


def _unprotected(trials: pd.DataFrame) -> Iterator[str]:
    """A design that keeps no rules may lead; whoever needs them has to pass it over."""
    broke = trials[(trials["rule_violations"] > 0).fillna(value=False)]
    for key, group in broke[broke["valid"]].groupby("key", sort=False):
        most = int(group["rule_violations"].max())
        yield (
            f"{key} protects no rule and broke up to {most:,} in a trial: its rank counts only"
            " where they need not hold."
        )


def _checked(checked: pd.DataFrame | None) -> Iterator[str]:
    """How many checks each store passes and fails, and how many of the failures it promised."""
    if checked is None or checked.empty:
        return
    stores = checked.groupby("key", sort=False)
    yield f"Guarantees: {'; '.join(f'{key} {_held(mine)}' for key, mine in stores)}."


def _held(mine: pd.DataFrame) -> str:
    marks = mine["mark"].value_counts()
    broken = int(mine["defect"].sum())
    failed = f"fails {marks.get('✗', 0)} ({broken or 'none'} of them promised)"
    return ", ".join([
        f"holds {marks.get('✓', 0)}",
        *([failed] if "✗" in marks else []),
        *([f"does not have {marks['○']}"] if "○" in marks else []),
        *([f"{marks['?']} not reached"] if "?" in marks else []),
    ])  # fmt: skip


def _failing(judged: pd.DataFrame, failed: list[str]) -> Iterator[str]:
    """One line for stores with the same failures: the first with its reason, then the others."""
    by_reasons: dict[str, list[str]] = {}
    for key in failed:
        mine = judged[(judged["key"] == key) & (judged["status"] == FAIL)]
        first, *others = (f"“{requirement}”" for requirement in mine["requirement"])
        also = f"; also {', '.join(others)}" if others else ""
        by_reasons.setdefault(f"{first} ({mine['reason'].iloc[0]}){also}", []).append(key)
    for reason, keys in by_reasons.items():
        yield f"Failing: {', '.join(keys)}: {reason}."


def _unknown_of(judged: pd.DataFrame, key: str) -> list[str]:
    mine = judged[(judged["key"] == key) & (judged["status"] == UNKNOWN)]
    return [str(name) for name in mine["requirement"]]


def changes(trials: pd.DataFrame, asked: Asked) -> list[str]:
    """What would change the answer, most important first; empty if nothing is known."""
    judged = asked.judged(trials)
    chosen = candidates(trials, asked)
    return [
        *([] if asked.require else [_NOTHING]),
        *_unknowns(judged),
        *([_NOT_CHECKED] if asked.checked is None or asked.checked.empty else []),
        *_near_misses(trials, judged),
        *_undecided(chosen),
        *_limited_by_generator(chosen),
        *_repetitions(chosen),
        *_round_trips(chosen),
        *_closed(chosen),
    ]


def _unknowns(judged: pd.DataFrame) -> Iterator[str]:
    """One sentence for each requirement that is unknown for a store that fails nothing."""
    failed = {key for key, status in kept(judged).items() if status == FAIL}
    open_ = judged[(judged["status"] == UNKNOWN) & ~judged["key"].isin(failed)]
    for requirement, group in open_.groupby("requirement", sort=False):
        yield f"{requirement}: not known for {', '.join(group['key'])}."


def _near_misses(trials: pd.DataFrame, judged: pd.DataFrame) -> Iterator[str]:
    """Stores that fail exactly one requirement, and the best rate they reached."""
    for key, mine in judged.groupby("key", sort=False):
        failed = mine.loc[mine["status"] == FAIL, "requirement"]
        if len(failed) == 1:
            points = trials[trials["key"] == key].groupby(GROUP)["throughput_per_s"]
            best = float(points.median().max())
            reached = f", which reached {formatting.rate(best)} here" if best > 0 else ""
            yield f"Only “{failed.iloc[0]}” keeps {key} out{reached}."


def _undecided(trials: pd.DataFrame) -> Iterator[str]:
    """Followers whose interval contains the leader: by name, or counted if points are many."""
    ranked, followers = ranking(trials), relative_speed(trials)
    sentences = [
        f"This run does not tell {_leader(ranked, group)} from {', '.join(near)}{_at(group)}:"
        " repeat more."
        for _, group in followers.groupby(GROUP, sort=False)
        if (near := list(group.loc[(group["low"] <= 1) & (group["high"] >= 1), "key"]))
    ]
    if len(sentences) <= _BY_NAME:
        yield from sentences
        return
    points = followers.groupby(GROUP).ngroups
    yield (
        f"At {len(sentences)} of {points} points this run does not tell the leader from others:"
        " repeat more."
    )


def _leader(ranked: pd.DataFrame, group: pd.DataFrame) -> str:
    same = (ranked[GROUP] == group[GROUP].iloc[0]).all(axis=1)
    return str(ranked.loc[same, "key"].iloc[0])


def _at(group: pd.DataFrame) -> str:
    label = group["point_label"].iloc[0]
    return f" at {label}" if label else ""


def _limited_by_generator(trials: pd.DataFrame) -> Iterator[str]:
    by_driver = _flagged(trials, FlagCode.DRIVER_BOUND)
    by_lab = [key for key in _flagged(trials, FlagCode.GENERATOR_BOUND) if key not in by_driver]
    for limit, keys in (("load generator", by_lab), ("driver", by_driver)):
        if keys:
            named = ", ".join(keys)
            yield f"The {limit} was the limit for {named}: they may be faster than shown."


def _flagged(trials: pd.DataFrame, code: FlagCode) -> list[str]:
    keys = trials.loc[[has_flag(text, code) for text in trials["flags"]], "key"]
    return list(dict.fromkeys(map(str, keys)))


def _repetitions(trials: pd.DataFrame) -> Iterator[str]:
    most = trials["repetition"].max()
    if len(trials) and most < _ENOUGH:
        show = "One repetition shows" if most == 1 else f"{most} repetitions show"
        yield f"{show} only large differences: --repeat {_ENOUGH} or more."


def _round_trips(trials: pd.DataFrame) -> Iterator[str]:
    """The round trips of each store, if they differ: loopback hides what they cost."""
    near = trials[trials["added_rtt_ms"].fillna(0) == 0]
    trips = near.groupby("key")["round_trips_per_event"].median().dropna()
    if len(trips) > 1 and trips.max() >= 1.5 * trips.min():
        counts = ", ".join(f"{key} {value:.1f}" for key, value in trips.sort_values().items())
        yield (
            f"A network between client and server: round trips an event are {counts}."
            " Try --set path.rtt_ms=1."
        )


def _closed(trials: pd.DataFrame) -> Iterator[str]:
    if len(trials) and (trials["load"] == "closed").all():
        yield (
            "What users would wait at a given rate: closed loops cannot say;"
            " load: {open: {rate_per_s: …}} can."
        )

"""The answer first, then what would change it: sentences for whoever has to choose a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pandas as pd

from harness import words
from harness.summary import absent
from harness.summary.answers import FAIL, PASS, UNKNOWN
from harness.summary.flags import listed
from harness.summary.headline import headlines
from harness.summary.leads import leads, over_points, ranking_by_pairs
from harness.summary.ranking import GROUP, ranking
from harness.summary.requirements import kept, requirements, strongest_first

_NOTHING = (
    "The scenario requires nothing of a store, so all of them are ranked: with require: {…}"
    " each one passes or fails."
)
_NOT_CHECKED = (
    "What the stores promise was not checked in this run: eslab run … --set verify=conformance."
)
_ENOUGH = 5
"""Repetitions below which a small difference cannot be told from luck."""
_BY_NAME = 2
"""So many points at which nobody leads are named; more are counted."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is required of the stores of a run, and what was checked apart from its trials."""

    require: Mapping[str, Any]
    checked: pd.DataFrame | None = None
    """`summary.matrix` of the run, if it has one."""
    absent: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """`summary.not_run` of the run: why, by the keys of the stores that have no result."""

    def judged(self, trials: pd.DataFrame) -> pd.DataFrame:
        """As `summary.requirements`."""
        return requirements(trials, self.require, self.checked)


def candidates(trials: pd.DataFrame, asked: Asked) -> pd.DataFrame:
    """The trials of the stores that fail nothing, those of the strongest class first."""
    verdicts = kept(asked.judged(trials))
    failed = {key for key, status in verdicts.items() if status == FAIL}
    return strongest_first(trials[~trials["key"].isin(failed)])


def answer(trials: pd.DataFrame, asked: Asked) -> list[str]:
    """Which stores keep what is required and what they promise, then who leads in each class, and
    which stores have no result."""
    chosen = candidates(trials, asked)
    leaders = headlines(ranking_by_pairs(chosen), over_points(chosen))
    told = (each[:1].upper() + each[1:] for each in leaders)
    return [
        *_promises(trials, asked), *told, *_checked(asked.checked), *absent.told(asked.absent),
    ]  # fmt: skip


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


def _checked(checked: pd.DataFrame | None) -> Iterator[str]:
    """How many checks each store held and failed, and whether it promises what it failed."""
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
    """A line for the stores that fail the same: why they do the first, and what they fail, too."""
    by_reasons: dict[str, list[str]] = {}
    for key in failed:
        mine = judged[(judged["key"] == key) & (judged["status"] == FAIL)]
        first, *others = (f"“{requirement}”" for requirement in mine["requirement"])
        also = f"; also {', '.join(others)}" if others else ""
        by_reasons.setdefault(f"{first} ({mine['reason'].iloc[0]}){also}", []).append(key)
    for told, keys in by_reasons.items():
        yield f"Failing: {', '.join(keys)}: {told}."


def _unknown_of(judged: pd.DataFrame, key: str) -> list[str]:
    mine = judged[(judged["key"] == key) & (judged["status"] == UNKNOWN)]
    return [str(name) for name in mine["requirement"]]


def changes(trials: pd.DataFrame, asked: Asked) -> list[str]:
    """What would change the answer, the strongest first; empty where nothing is known to."""
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
    """A sentence a requirement, of the stores that fail nothing."""
    failed = {key for key, status in kept(judged).items() if status == FAIL}
    open_ = judged[(judged["status"] == UNKNOWN) & ~judged["key"].isin(failed)]
    for requirement, group in open_.groupby("requirement", sort=False):
        yield f"{requirement}: not known for {', '.join(group['key'])}."


def _near_misses(trials: pd.DataFrame, judged: pd.DataFrame) -> Iterator[str]:
    """Stores that one requirement alone keeps out, and how fast they were."""
    for key, mine in judged.groupby("key", sort=False):
        failed = mine.loc[mine["status"] == FAIL, "requirement"]
        if len(failed) == 1:
            points = trials[trials["key"] == key].groupby(GROUP)["throughput_per_s"]
            best = float(points.median().max())
            reached = f", which reached {words.rate(best)} here" if best > 0 else ""
            yield f"Only “{failed.iloc[0]}” keeps {key} out{reached}."


def _undecided(trials: pd.DataFrame) -> Iterator[str]:
    """Followers whose interval reaches the leader: by name, or counted where points are many."""
    ranked, behind = ranking(trials), leads(trials)
    told = [
        f"This run does not tell {_leader(ranked, group)} from {', '.join(near)}{_at(group)}:"
        " repeat more."
        for _, group in behind.groupby(GROUP, sort=False)
        if (near := list(group.loc[(group["low"] <= 1) & (group["high"] >= 1), "key"]))
    ]
    if len(told) <= _BY_NAME:
        yield from told
        return
    points = behind.groupby(GROUP).ngroups
    yield (
        f"At {len(told)} of {points} points this run does not tell the leader from others:"
        " repeat more."
    )


def _leader(ranked: pd.DataFrame, group: pd.DataFrame) -> str:
    same = (ranked[GROUP] == group[GROUP].iloc[0]).all(axis=1)
    return str(ranked.loc[same, "key"].iloc[0])


def _at(group: pd.DataFrame) -> str:
    label = group["point_label"].iloc[0]
    return f" at {label}" if label else ""


def _limited_by_generator(trials: pd.DataFrame) -> Iterator[str]:
    flagged = trials[[any("generator-bound" in flag for flag in listed(text))
                      for text in trials["flags"]]]  # fmt: skip
    if len(flagged):
        keys = ", ".join(dict.fromkeys(flagged["key"]))
        yield f"The load generator was the limit for {keys}: they may be faster than shown."


def _repetitions(trials: pd.DataFrame) -> Iterator[str]:
    most = trials["repetition"].max()
    if len(trials) and most < _ENOUGH:
        tell = "One repetition tells" if most == 1 else f"{most} repetitions tell"
        yield f"{tell} large differences only: --repeat {_ENOUGH} or more."


def _round_trips(trials: pd.DataFrame) -> Iterator[str]:
    """Loopback hides what round trips cost; told where designs differ in them."""
    near = trials[trials["added_rtt_ms"].fillna(0) == 0]
    trips = near.groupby("key")["round_trips_per_event"].median().dropna()
    if len(trips) > 1 and trips.max() >= 1.5 * trips.min():
        told = ", ".join(f"{key} {value:.1f}" for key, value in trips.sort_values().items())
        yield (
            f"A network between client and server: round trips an event are {told}."
            " Try --set path.rtt_ms=1."
        )


def _closed(trials: pd.DataFrame) -> Iterator[str]:
    if len(trials) and (trials["load"] == "closed").all():
        yield (
            "What users would wait at a given rate: closed loops cannot say;"
            " load: {open: {rate_per_s: …}} can."
        )

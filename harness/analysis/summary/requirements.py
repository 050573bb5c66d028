"""Judges each store by what the scenario requires, the store declares and the run measured."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd

from harness.analysis.stored_times import stored_times
from harness.analysis.summary.matrix import matrix
from harness.analysis.summary.ranking import that_count
from harness.domain import durability, formatting
from harness.domain.durability import SHORT_NAME_OF, SHORT_NAMES, Durability
from harness.domain.errors import BadInput
from harness.domain.flags import FlagCode, has_flag

Status = Literal["pass", "fail", "unknown"]
PASS: Status = "pass"  # noqa: S105 — the word, not a secret
FAIL: Status = "fail"
UNKNOWN: Status = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """One store's answer to one requirement. Only people read the reason; no code does."""

    status: Status
    reason: str


LEVELS: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        "occ": ("none", "emulated", "native"),
        "global_order": ("none", "per-partition", "total"),
        "idempotency": ("none", "window", "durable"),
        "append_only": ("none", "by-convention", "enforced"),
        "stream_read": ("scan", "indexed"),
        "subscription": ("none", "poll", "push"),
        "payload": ("json", "exact"),
        "writers": ("one", "one-per-partition", "many"),
        "atomic_append": (False, True),
        "gap_free_read": (False, True),
    }
)
"""The values that a store may declare, from the weakest to the strongest."""
_NUMBERS = ("at_rate_per_s", "p50_ms", "p99_ms", "errors")


def require_known(require: Mapping[str, Any]) -> None:
    """Raises `BadInput` in one line for the first value that is not allowed.

    Ignores a name that this lab does not know: a newer version may have written it.
    """
    for name, wanted in require.items():
        levels = durability.SHORT_NAMES if name == "durability" else LEVELS.get(name, ())
        if levels and wanted not in levels:
            raise _odd(name, wanted, " or ".join(map(str, levels)))
        if name in _NUMBERS and not _is_number(wanted):
            raise _odd(name, wanted, "a number from 0")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _odd(name: str, wanted: object, expected: str) -> BadInput:
    return BadInput(f"manifest.json: scenario.require.{name}: expected {expected}, got {wanted!r}")


_KEPT_UP = 0.99
"""A store keeps up with a rate if it reaches at least this share of it."""
_CHANCE = 3.0
"""Standard deviations of a Poisson count within which a shortfall is chance."""
_ERRORS = 0.001
_FAILED = ["refused", "timeout", "unknown", "dropped", "unfinished"]
_NS_A_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Level:
    """One offered rate. `fine` is None where some of its trials pass and others fail.

    Only a rate that was `kept` answers for lower ones.
    """

    rate_per_s: float
    fine: bool | None
    reason: str
    kept: bool = True


def at_rate(trials: pd.DataFrame, require: Mapping[str, Any]) -> Iterator[tuple[str, Answer]]:
    """An answer for the rate itself, then one for each response time limit at that rate.

    The nearest rate decides that is at least as high and was kept: a pass there is a pass here.
    So is a failure at a lower rate a failure here. Response times are those of everybody: what
    failed is slower than any limit.
    """
    rate_per_s = float(require["at_rate_per_s"])
    errors = float(require.get("errors", _ERRORS))
    counted = that_count(trials)
    yield f"keeps up with {formatting.rate(rate_per_s)}", _rate(counted, rate_per_s, errors)
    for name in ("p50", "p99"):
        limit_ms = require.get(f"{name}_ms")
        if limit_ms is not None:
            requirement = f"{name} ≤ {limit_ms:g} ms at {formatting.rate(rate_per_s)}"
            yield requirement, _time(counted, name, float(limit_ms), rate_per_s, errors)


def _rate(counted: pd.DataFrame, rate_per_s: float, errors: float) -> Answer:
    levels = _levels(counted, errors, _kept_up)
    missed = counted[counted["failed_rate_per_s"].notna()]
    levels += [
        _Level(float(each), fine=False, reason="the search missed its objective at this rate")
        for each in missed["failed_rate_per_s"].unique()
    ]
    closed = counted.loc[counted["load"] == "closed", "throughput_per_s"]
    reached = f"; closed loops reached {formatting.rate(closed.max())}" if len(closed) else ""
    return _judged(levels, rate_per_s, without=f"no open load offered that much{reached}")


def _kept_up(trials: pd.DataFrame, errors: float) -> tuple[list[bool | None], str]:
    reached = trials["throughput_per_s"] / trials["rate_per_s"]
    chance = _CHANCE / trials["scheduled"].astype("float64") ** 0.5
    failed = trials[_FAILED].sum(axis=1) / trials["scheduled"]
    short = trials["flags"].map(lambda cell: has_flag(cell, FlagCode.BELOW_TARGET)).astype(bool)
    fine = (reached >= _KEPT_UP - chance) & ~short & (failed <= errors)
    reason = f"reached {formatting.rate(trials['throughput_per_s'].min())}"
    reason += f", {formatting.percent(failed.max())} failed" if failed.max() > errors else ""
    return [bool(each) for each in fine], reason


def _time(
    counted: pd.DataFrame, name: str, limit_ms: float, rate_per_s: float, errors: float
) -> Answer:
    levels = _levels(counted, errors, lambda trials, _: _in_time(trials, name, limit_ms))
    without = "no open load offered that much, and closed loops have no response time"
    return _judged(levels, rate_per_s, without=without)


def _in_time(trials: pd.DataFrame, name: str, limit_ms: float) -> tuple[list[bool | None], str]:
    times_ns = stored_times(trials, "response", name)
    fine: list[bool | None] = [bool(ns <= limit_ms * _NS_A_MS) for ns in times_ns]
    worst = f"{formatting.duration(float(times_ns.max()))} in the worst of {len(fine)}"
    if np.isinf(times_ns).any():
        worst += ": too many of its operations failed"
    if not all(fine) and not times_ns.isna().any():
        return fine, worst
    if times_ns.isna().any():
        return [None], "too few operations for that percentile: measure for longer"
    if _of_survivors(trials).any():
        return [None], f"{worst} without those that failed: an older version stored it"
    return fine, worst


def _of_survivors(trials: pd.DataFrame) -> pd.Series:
    """Whether each trial's response times leave out what failed: format 2 once did."""
    failed = trials[_FAILED].sum(axis=1)
    return (failed > 0) & (trials["response_count"].fillna(0) <= trials["ok"])


_Judge = Callable[[pd.DataFrame, float], tuple[list[bool | None], str]]
"""Judges the trials of one rate; the number is the share of errors that is allowed."""


def _levels(counted: pd.DataFrame, errors: float, judge: _Judge) -> list[_Level]:
    """One level for each rate of the open loads, from the lowest."""
    levels = []
    for rate_per_s, trials in counted[counted["load"] == "open"].groupby("rate_per_s"):
        fine, reason = judge(trials, errors)
        kept, _ = _kept_up(trials, errors)
        agreed = fine[0] if len(set(fine)) == 1 else None
        mixed = f"{fine.count(True)} of {len(fine)} trials held it: " if len(set(fine)) > 1 else ""
        if agreed and not all(kept):
            agreed, mixed = None, "the rate was not kept, so its times say nothing: "
        levels.append(_Level(float(str(rate_per_s)), agreed, mixed + reason, kept=all(kept)))
    return levels


def _judged(levels: list[_Level], rate_per_s: float, *, without: str) -> Answer:
    levels = sorted(levels, key=lambda level: level.rate_per_s)
    here = [level for level in levels if level.rate_per_s == rate_per_s]
    above = [level for level in levels if level.rate_per_s > rate_per_s]
    below = [level for level in reversed(levels) if level.rate_per_s < rate_per_s]
    nearest = here or [level for level in above if level.kept][:1]
    for status, deciding in (
        (FAIL, [level for level in here if level.fine is False]),
        (PASS, nearest if all(level.fine for level in nearest) else []),
        (FAIL, [] if here else [level for level in below if level.fine is False]),
        (UNKNOWN, nearest or above),
    ):
        if deciding:
            first = deciding[0]
            return Answer(status, f"at {formatting.rate(first.rate_per_s)}: {first.reason}")
    return Answer(UNKNOWN, without)


_BROKEN_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "occ": ("misplaced", "expected-version-ignored"),
        "global_order": ("inverted", "position-not-increasing", "delivered-out-of-order"),
        "idempotency": ("retry-duplicated",),
        "append_only": ("lost", "duplicated", "not-contiguous", "stream-read-differs"),
        "atomic_append": ("torn", "batch-broken"),
        "gap_free_read": ("skipped",),
        "payload": ("altered",),
    }
)
"""For each requirement the kinds of violation that break it."""
_COLUMNS = ["key", "requirement", "status", "reason"]


def requirements(
    trials: pd.DataFrame, require: Mapping[str, Any], checked: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row for each store and requirement: `key`, `requirement`, `status`, `reason`.

    `status` is pass, fail or unknown. Without requirements there are no rows. `checked` is the
    run's `summary.matrix`: a promise that failed a check there fails here.

    Raises `BadInput` for a requirement with a value that is not allowed.
    """
    require_known(require)
    rows = [
        {"key": key, "requirement": name, "status": answer.status, "reason": answer.reason}
        for key, mine in trials.groupby("key", sort=False)
        for name, answer in _answers(mine, require, _of_store(checked, mine.iloc[0]))
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _of_store(checked: pd.DataFrame | None, trial: pd.Series) -> pd.DataFrame:
    """Its checks. They know the store alone; the key may go on with what its clients do."""
    results = matrix({}) if checked is None else checked
    variant, options = trial["variant"], trial["options"]
    alone = f"{trial['store']}{variant and f':{variant}'}{options and f'{{{options}}}'}"
    return results[results["key"] == alone]


def strongest_first(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials sorted by durability class, strongest first and the unknown class last.

    Inside a class the order stays.
    """
    place = trials["durability"].map(
        lambda text: -SHORT_NAMES.index(SHORT_NAME_OF[text]) if text in SHORT_NAME_OF else 1
    )
    return trials.loc[place.sort_values(kind="stable").index]


def kept(judged: pd.DataFrame) -> dict[str, str]:
    """Status by store key: pass if all its requirements pass, fail if any fails, else unknown."""
    return {str(key): _of_all(set(mine["status"])) for key, mine in judged.groupby("key")}


def _of_all(statuses: set[str]) -> str:
    return FAIL if FAIL in statuses else UNKNOWN if UNKNOWN in statuses else PASS


def _answers(
    trials: pd.DataFrame, require: Mapping[str, Any], checked: pd.DataFrame
) -> Iterator[tuple[str, Answer]]:
    for name, wanted in require.items():
        checks = checked.loc[[name in text.split(", ") for text in checked["declared_by"]]]
        if name == "durability":
            yield f"durability: {wanted}", _held(_durability(trials, str(wanted)), checks)
        elif name in LEVELS:
            label = name.replace("_", " ")
            requirement = label if wanted is True else f"{label}: {wanted}"
            answer = _held(_promise(trials, name, wanted), checks)
            yield requirement, _exercised(answer, trials, checks) if name == "occ" else answer
    if "at_rate_per_s" in require:
        yield from at_rate(trials, require)


def _held(answer: Answer, checks: pd.DataFrame) -> Answer:
    """The answer after the checks of the same promise: a failed check turns it into a failure."""
    broken = checks[checks["defect"].astype(bool)]
    if answer.status == FAIL or not len(checks):
        return answer
    if len(broken):
        first = broken.iloc[0]
        failure = f"check {first['number']}, {first['check']}: {first['word']}"
        return Answer(FAIL, f"{answer.reason}; {failure}")
    numbers = [str(number) for number in checks.loc[checks["mark"] == "✓", "number"]]
    if not numbers or answer.status == UNKNOWN:
        return answer
    return Answer(PASS, f"{answer.reason}; checks held: {', '.join(numbers)}")


def _exercised(answer: Answer, trials: pd.DataFrame, checks: pd.DataFrame) -> Answer:
    """A pass only if the run appended with expected versions, in its load or in its checks."""
    if answer.status != PASS or (checks["mark"] == "✓").any():
        return answer
    counts = trials["versioned_appends"].dropna()
    if counts.sum() > 0:
        return answer
    missing = "no append of this run had an expected version"
    unrecorded = "this run does not record whether its appends had expected versions"
    declares = answer.reason.partition(";")[0]
    return Answer(UNKNOWN, f"{declares}; {missing if len(counts) else unrecorded}")


def _durability(trials: pd.DataFrame, wanted: str) -> Answer:
    """Compares `wanted` with the weakest class that any trial read back from its server."""
    texts = set(trials["durability"])
    classes = [SHORT_NAME_OF[text] for text in texts if text in SHORT_NAME_OF]
    least = min(classes, key=SHORT_NAMES.index, default="")
    enough = bool(least) and SHORT_NAMES.index(least) >= SHORT_NAMES.index(wanted)
    if least and not enough:
        return Answer(FAIL, f"{least}, as read back from what ran")
    if Durability.UNKNOWN in texts:
        return Answer(UNKNOWN, "the server does not report the settings that decide")
    if not least:
        return Answer(UNKNOWN, "no trial of this store read its settings back")
    return Answer(PASS, f"{least}, as read back from what ran")


def _promise(trials: pd.DataFrame, name: str, wanted: object) -> Answer:
    declared = _declared(trials, name)
    if declared is None:
        return Answer(UNKNOWN, "no trial of this store ended, so there is no declaration")
    levels = LEVELS[name]
    if levels.index(declared) < levels.index(wanted):
        return Answer(FAIL, f"declares {_word(declared)}")
    broken = _broken(trials, name)
    if broken:
        return Answer(FAIL, f"declares {_word(declared)}, but verification found: {broken}")
    if not (trials["verified"].isin(["ok", "findings"])).any():
        return Answer(UNKNOWN, f"declares {_word(declared)}; not verified in this run")
    return Answer(PASS, f"declares {_word(declared)}; this run found nothing against it")


def _declared(trials: pd.DataFrame, name: str) -> object:
    """The value that the trials recorded; None where none of them recorded one."""
    for text in trials["guarantees"]:
        declared = json.loads(text or "{}")
        if declared.get(name) in LEVELS[name]:
            value: object = declared[name]
            return value
    return None


def _broken(trials: pd.DataFrame, name: str) -> str:
    """The first violation of a kind that breaks the requirement, promised or not; empty if none."""
    kinds = _BROKEN_BY.get(name, ())
    for text in trials["violation_list"]:
        for violation in json.loads(text or "[]"):
            if _kind(violation) in kinds:
                return str(violation)
    return ""


def _kind(violation: str) -> str:
    """The kind of a stored violation, `kind: stream … version … event …: detail`."""
    return violation.partition(":")[0]


def _word(declared: object) -> str:
    if isinstance(declared, bool):
        return "it" if declared else "that it does not"
    return str(declared)


def sided(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials with the side added to a key that ran on both sides: `postgres (base)`."""
    on_both = trials.groupby("key")["side"].transform("nunique") > 1
    named = trials["key"] + " (" + trials["side"] + ")"
    return trials.assign(key=trials["key"].where(~on_both, named))


def shown(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials for pages, notebooks and exports: strongest durability first, with sides."""
    return sided(strongest_first(trials))


def candidates_of_pairs(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials without the base side of pairs; all of them in a run without pairs."""
    return trials[trials["side"] != "base"]

"""What a scenario requires against what each store declares and what this run measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from harness.summary.answers import FAIL, PASS, UNKNOWN, Answer
from harness.summary.matrix import matrix
from harness.summary.rates import at_rate
from harness.summary.required import CLASSES, LEVELS, require_known

_CLASS_OF = MappingProxyType(
    {
        "memory": "memory",
        "bounded loss at a crash": "bounded-loss",
        "process-crash safe": "process-crash",
        "power-loss safe as configured": "power-loss",
    }
)
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
"""The kinds of violation, as the trials name them, that break what is required."""
_COLUMNS = ["key", "requirement", "status", "reason"]


def requirements(
    trials: pd.DataFrame, require: Mapping[str, Any], checked: pd.DataFrame | None = None
) -> pd.DataFrame:
    """A row a store and requirement: `key`, `requirement`, `status`, `reason`.

    `status` is pass, fail or unknown. Nothing required gives no rows. `checked` is what
    `summary.matrix` has of the run: what was declared and did not hold there fails.

    Raises `BadInput` for a requirement that is no value of its kind.
    """
    require_known(require)
    rows = [
        {"key": key, "requirement": name, "status": answer.status, "reason": answer.reason}
        for key, mine in trials.groupby("key", sort=False)
        for name, answer in _answers(mine, require, _of_store(checked, str(key)))
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _of_store(checked: pd.DataFrame | None, key: str) -> pd.DataFrame:
    found = matrix({}) if checked is None else checked
    return found[found["key"] == key]


def strongest_first(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials by durability class, what survives most on top; inside a class as they were."""
    place = trials["durability"].map(
        lambda text: -CLASSES.index(_CLASS_OF[text]) if text in _CLASS_OF else 1
    )
    return trials.loc[place.sort_values(kind="stable").index]


def kept(judged: pd.DataFrame) -> dict[str, str]:
    """By store key: pass if all of its requirements do, fail if any does, else unknown."""
    return {str(key): _of_all(set(mine["status"])) for key, mine in judged.groupby("key")}


def _of_all(found: set[str]) -> str:
    return FAIL if FAIL in found else UNKNOWN if UNKNOWN in found else PASS


def _answers(
    trials: pd.DataFrame, require: Mapping[str, Any], checked: pd.DataFrame
) -> Iterator[tuple[str, Answer]]:
    for name, wanted in require.items():
        checks = checked.loc[[name in text.split(", ") for text in checked["declared_by"]]]
        if name == "durability":
            yield f"durability: {wanted}", _held(_durability(trials, str(wanted)), checks)
        elif name in LEVELS:
            label = name.replace("_", " ")
            told = label if wanted is True else f"{label}: {wanted}"
            yield told, _held(_promise(trials, name, wanted), checks)
    if "at_rate_per_s" in require:
        yield from at_rate(trials, require)


def _held(answer: Answer, checks: pd.DataFrame) -> Answer:
    """What was declared, held against the checks that put it to the test."""
    broken = checks[checks["defect"].astype(bool)]
    if answer.status == FAIL or not len(checks):
        return answer
    if len(broken):
        first = broken.iloc[0]
        told = f"check {first['number']}, {first['check']}: {first['word']}"
        return Answer(FAIL, f"{answer.reason}; {told}")
    numbers = [str(number) for number in checks.loc[checks["mark"] == "✓", "number"]]
    if not numbers or answer.status == UNKNOWN:
        return answer
    return Answer(PASS, f"{answer.reason}; checks held: {', '.join(numbers)}")


def _durability(trials: pd.DataFrame, wanted: str) -> Answer:
    """As read back from the server: the least that it had in any trial."""
    found = [_CLASS_OF[text] for text in trials["durability"] if text in _CLASS_OF]
    if not found:
        return Answer(UNKNOWN, "no trial of it read its settings back")
    least = min(found, key=CLASSES.index)
    enough = CLASSES.index(least) >= CLASSES.index(wanted)
    return Answer(PASS if enough else FAIL, f"{least}, as read back from what ran")


def _promise(trials: pd.DataFrame, name: str, wanted: object) -> Answer:
    declared = _declared(trials, name)
    if declared is None:
        return Answer(UNKNOWN, "no trial of it ended, so nothing was declared")
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
    """As its trials recorded it; None for a store of which none came so far."""
    for text in trials["guarantees"]:
        declared = json.loads(text or "{}")
        if declared.get(name) in LEVELS[name]:
            found: object = declared[name]
            return found
    return None


def _broken(trials: pd.DataFrame, name: str) -> str:
    """The first violation of a kind that breaks it, whether or not the store promised."""
    kinds = tuple(f"{kind}:" for kind in _BROKEN_BY.get(name, ()))
    for text in trials["violation_list"]:
        for violation in json.loads(text or "[]"):
            if kinds and violation.startswith(kinds):
                return str(violation)
    return ""


def _word(declared: object) -> str:
    if isinstance(declared, bool):
        return "it" if declared else "that it does not"
    return str(declared)

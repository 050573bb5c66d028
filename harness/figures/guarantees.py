"""The guarantee matrix as tables: by requirement, check by check, and what did not hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from harness import summary
from harness.figures.tables import Lines, Link, Table

HOLDS, FAILS, UNSUPPORTED, UNREACHED = "✓", "✗", "○", "?"
_NOT_MEASURED = (
    "Not measured in this run. The same with every check: eslab run … --set verify=conformance"
)
_Places = Mapping[tuple[int, str], str]
"""Where the evidence of a failed check stands, by the check's number and the store's key."""


def matrix(conformance: Mapping[str, Any]) -> Iterator[Table | Lines]:
    """All of it: the requirements, each one's checks, and the evidence of what failed."""
    yield kept(conformance)
    yield from checks(conformance)
    yield from failures(conformance)
    yield from unreached(conformance)


def kept(conformance: Mapping[str, Any]) -> Table | Lines:
    """Requirements down and stores across: how many of its checks held, or failed."""
    found = summary.matrix(conformance)
    if found.empty:
        return Lines((), empty=_NOT_MEASURED)
    places, keys = _places(found), list(dict.fromkeys(found["key"]))
    rows = [
        (_heading(requirement), *(_of_all(group[group["key"] == key], places) for key in keys))
        for requirement, group in found.groupby("requirement", sort=False)
    ]
    return Table(("requirement", *keys), rows)


def checks(conformance: Mapping[str, Any]) -> Iterator[Table]:
    """A table a requirement, its checks down and stores across."""
    found = summary.matrix(conformance)
    places = _places(found)
    for requirement, group in found.groupby("requirement", sort=False):
        yield _checks(str(requirement), group, places)


def failures(conformance: Mapping[str, Any]) -> Iterator[Table]:
    """What did not hold, with the smallest evidence of it; nothing where all did."""
    found = summary.matrix(conformance)
    failed = found[found["mark"] == FAILS]
    if failed.empty:
        return
    rows = [
        (str(row["key"]), f"{row['number']} {row['check']}", str(row["word"]),
         ":\n".join(filter(None, (str(row["why"]), str(row["evidence"])))))
        for _, row in failed.iterrows()
    ]  # fmt: skip
    heads = ("store", "check", "verdict", "evidence")
    row_ids = tuple(_places(found).values())
    yield Table(heads, rows, title="What did not hold", row_ids=row_ids)


def unreached(conformance: Mapping[str, Any]) -> Iterator[Lines]:
    """Which checks say nothing of a store, and why; nothing where all were reached."""
    found = summary.matrix(conformance)
    missed = found[found["mark"] == UNREACHED]
    if missed.empty:
        return
    yield Lines(
        [
            f"{key}: {', '.join(map(str, group['number']))} not reached: {why}"
            for (key, why), group in missed.groupby(["key", "why"], sort=False)
        ]
    )


def _places(found: pd.DataFrame) -> _Places:
    failed = found[found["mark"] == FAILS]
    return {
        (number, key): f"evidence-{place}"
        for place, (number, key) in enumerate(zip(failed["number"], failed["key"], strict=True), 1)
    }


def _of_all(results: pd.DataFrame, places: _Places) -> str | Link:
    """A store's results for one requirement, in a few words; leads to the first failure."""
    if results.empty:
        return ""
    failed, total = results[results["mark"] == FAILS], len(results)
    if len(failed):
        promised = int(failed["defect"].sum())
        told = f"{FAILS} {len(failed)} of {total} fail" + (
            f", {promised} promised" * bool(promised)
        )
        return Link(told, places[failed["number"].iloc[0], failed["key"].iloc[0]])
    counts = results["mark"].value_counts()
    words = {HOLDS: "hold", UNSUPPORTED: "unsupported", UNREACHED: "not reached"}
    first, *others = [(mark, word) for mark, word in words.items() if mark in counts]
    return ", ".join([
        f"{first[0]} {counts[first[0]]} of {total} {first[1]}",
        *(f"{mark} {counts[mark]} {word}" for mark, word in others),
    ])  # fmt: skip


def _checks(requirement: str, group: pd.DataFrame, places: _Places) -> Table:
    keys = list(dict.fromkeys(group["key"]))
    told = {(row["number"], row["key"]): f"{row['mark']} {row['word']}"
            for _, row in group.iterrows()}  # fmt: skip
    cells = {at: Link(text, places[at]) if at in places else text for at, text in told.items()}
    rows = [
        (f"{number} {check}", *(cells.get((number, key), "") for key in keys))
        for number, check in dict(zip(group["number"], group["check"], strict=True)).items()
    ]
    return Table(("check", *keys), rows, title=_heading(requirement))


def _heading(requirement: object) -> str:
    return str(requirement).replace("_", "-").capitalize()

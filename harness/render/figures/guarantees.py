"""The guarantee matrix as tables: by requirement, by check, and the failures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from harness.analysis import summary
from harness.domain import formatting
from harness.render.figures.paragraphs import Lines
from harness.render.table import Cell, Table, numbers, texts

HOLDS, FAILS, UNSUPPORTED, UNREACHED = "✓", "✗", "○", "?"
_NOT_MEASURED = "Not measured in this run. To measure it: eslab run … --set verify=conformance"
_Places = Mapping[tuple[int, str], str]
"""Row identifiers of the evidence of failed checks, by check number and store key."""


def matrix(conformance: Mapping[str, Any]) -> Iterator[Table | Lines]:
    """All tables: the requirements, the checks of each, the evidence of failures."""
    yield kept(conformance)
    yield from durability(conformance)
    yield from checks(conformance)
    yield from failures(conformance)
    yield from unreached(conformance)


def kept(conformance: Mapping[str, Any]) -> Table | Lines:
    """Requirements down and stores across: how many checks of each hold or fail."""
    results = summary.matrix(conformance)
    if results.empty:
        return Lines((), empty=_NOT_MEASURED)
    places, keys = _places(results), list(dict.fromkeys(results["key"]))
    rows = [
        (_heading(requirement), *(_of_all(group[group["key"] == key], places) for key in keys))
        for requirement, group in results.groupby("requirement", sort=False)
    ]
    return Table(texts("requirement", *keys), rows)


def durability(conformance: Mapping[str, Any]) -> Iterator[Table]:
    """What losing power showed, beside what settings promise; nothing if no power was lost."""
    rows = [
        (str(key), about["declared"], _seen(about["measured"]), *_lost(about))
        for key, about in summary.measured_durability(conformance).items()
    ]
    if rows:
        columns = (
            *texts("store", "by its settings", "measured"),
            *numbers("power\nlosses", "acknowledged", "lost", "oldest\nlost"),
        )
        yield Table(columns, rows, "Durability, measured by losing power")


def _seen(durability: str) -> str:
    """A class that was measured is not "as configured"."""
    return durability.removesuffix(" as configured")


def _lost(about: Mapping[str, Any]) -> tuple[str, str, str, str]:
    lost, oldest_s = about["lost"], about["oldest_lost_s"]
    return (
        formatting.number(about["losses"]),
        formatting.number(about["acknowledged"]),
        about["no_start"] or formatting.number(lost),
        f"{oldest_s:.2f} s" if lost else formatting.MISSING,
    )


def checks(conformance: Mapping[str, Any]) -> Iterator[Table]:
    """One table for each requirement, with checks down and stores across."""
    results = summary.matrix(conformance)
    places = _places(results)
    for requirement, group in results.groupby("requirement", sort=False):
        yield _checks(str(requirement), group, places)


def failures(conformance: Mapping[str, Any]) -> Iterator[Table]:
    """The failed checks with their smallest evidence; nothing if all checks hold."""
    results = summary.matrix(conformance)
    failed = results[results["mark"] == FAILS]
    if failed.empty:
        return
    rows = [
        (str(row["key"]), f"{row['number']} {row['check']}", str(row["word"]),
         ":\n".join(filter(None, (str(row["why"]), str(row["evidence"])))))
        for _, row in failed.iterrows()
    ]  # fmt: skip
    columns = texts("store", "check", "verdict", "evidence")
    row_ids = tuple(_places(results).values())
    yield Table(columns, rows, "What did not hold", row_ids)


def unreached(conformance: Mapping[str, Any]) -> Iterator[Lines]:
    """The checks that were not reached for a store, and why; nothing if all were."""
    results = summary.matrix(conformance)
    missed = results[results["mark"] == UNREACHED]
    if missed.empty:
        return
    yield Lines(
        [
            f"{key}: {', '.join(map(str, group['number']))} not reached: {why}"
            for (key, why), group in missed.groupby(["key", "why"], sort=False)
        ]
    )


def _places(results: pd.DataFrame) -> _Places:
    failed = results[results["mark"] == FAILS]
    return {
        (number, key): f"evidence-{place}"
        for place, (number, key) in enumerate(zip(failed["number"], failed["key"], strict=True), 1)
    }


def _of_all(results: pd.DataFrame, places: _Places) -> str | Cell:
    """A store's results for one requirement in a few words, with a link to the first failure."""
    if results.empty:
        return ""
    failed, total = results[results["mark"] == FAILS], len(results)
    if len(failed):
        promised = int(failed["defect"].sum())
        text = f"{FAILS} {len(failed)} of {total} fail" + (
            f", {promised} promised" * bool(promised)
        )
        return Cell(text, to=places[failed["number"].iloc[0], failed["key"].iloc[0]])
    counts = results["mark"].value_counts()
    words = {HOLDS: "hold", UNSUPPORTED: "unsupported", UNREACHED: "not reached"}
    first, *others = [(mark, word) for mark, word in words.items() if mark in counts]
    return ", ".join([
        f"{first[0]} {counts[first[0]]} of {total} {first[1]}",
        *(f"{mark} {counts[mark]} {word}" for mark, word in others),
    ])  # fmt: skip


def _checks(requirement: str, group: pd.DataFrame, places: _Places) -> Table:
    keys = list(dict.fromkeys(group["key"]))
    words = {(row["number"], row["key"]): _verdict(row) for _, row in group.iterrows()}
    cells = {at: Cell(text, to=places[at]) if at in places else text for at, text in words.items()}
    rows = [
        (f"{number} {check}", *(cells.get((number, key), "") for key in keys))
        for number, check in dict(zip(group["number"], group["check"], strict=True)).items()
    ]
    return Table(texts("check", *keys), rows, _heading(requirement))


def _verdict(row: pd.Series) -> str:
    """The mark and its meaning, and what the check looked at."""
    counted = f": {row['provoked'][0]}" if row["provoked"] else ""
    return f"{row['mark']} {row['word']}{counted}"


def _heading(requirement: object) -> str:
    return str(requirement).replace("_", "-").capitalize()

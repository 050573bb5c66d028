"""Dotted names, and the parameter points that the values of `vary:` span."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

from harness.scenario.model import VALUES_MAX
from harness.scenario.text import Document
from harness.scenario.types import Scalar
from harness.scenario.wording import did_you_mean, shown

TRIALS_MAX = 10_000
VARIABLE = (
    "workload", "load", "events", "streams", "path",
    "warm_up_s", "duration_s", "operations", "drain_s",
)  # fmt: skip
"""What may differ between the points of one scenario."""

Point = Mapping[str, Scalar]


def points(vary: Mapping[str, Sequence[Any]]) -> Iterator[Point]:
    """Every combination, the last name changing fastest; one empty point if nothing varies."""
    for values in product(*vary.values()):
        yield dict(zip(vary, values, strict=True))


def check(document: Document, vary: Mapping[str, Sequence[Any]]) -> None:
    """Names must be ones that may vary, values scalars, each of them once, and not too many."""
    for name, values in vary.items():
        head = name.split(".")[0]
        if head not in VARIABLE:
            hint = did_you_mean(head, VARIABLE)
            message = (
                f"{shown(name)} cannot vary; allowed: {', '.join(VARIABLE)} and what is in them"
            )
            raise document.wrong(message + hint, ("vary", name), at_key=True)
        _check_values(document, name, values)
    if prod(map(len, vary.values())) > TRIALS_MAX:
        raise document.wrong(f"more than {TRIALS_MAX:,} points", ("vary",))


def _check_values(document: Document, name: str, values: Sequence[Any]) -> None:
    if len(values) > VALUES_MAX:
        message = f"{name}: {len(values):,} values; expected at most {VALUES_MAX:,}"
        raise document.wrong(message, ("vary", name))
    seen: set[Scalar] = set()
    for number, value in enumerate(values):
        path = ("vary", name, number)
        if not isinstance(value, Scalar):
            raise document.wrong(f"{name}: expected a single value", path)
        if value in seen:
            raise document.wrong(f"{name}: {shown(value)} is here twice", path)
        seen.add(value)


def blamed(
    document: Document, content: Mapping[str, Any], point: Point, vary: Mapping[str, Sequence[Any]]
) -> Document:
    """The document at a point: what is wrong with a varied name stands at its value in `vary`."""
    places = dict(document.places)
    for name, value in point.items():
        place = document.places.get(("vary", name, vary[name].index(value)))
        path = tuple(name.split("."))
        if place:
            places |= {path[:end]: place for end in range(1, len(path) + 1)}
    return replace(document, content=content, places=places)


def applied(content: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """The content with each dotted name of a point set to its value."""
    changed: dict[str, Any] = copy.deepcopy(dict(content))
    for name, value in point.items():
        *way, last = name.split(".")
        inner = changed
        for number, step in enumerate(way):
            if not isinstance(inner.get(step), dict):
                inner[step] = _spelt_out(number, step, inner.get(step))
            inner = inner[step]
        inner[last] = value
    return changed


def _spelt_out(depth: int, step: str, short: Any) -> dict[str, Any]:
    """`workload: append` is short for a mapping with that name in it."""
    return {"name": short} if depth == 0 and step == "workload" and short is not None else {}

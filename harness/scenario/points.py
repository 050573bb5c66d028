"""`vary:` and `--set`: dotted names, and the parameter points that their values span."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from harness.errors import BadInput
from harness.scenario.problems import did_you_mean
from harness.scenario.text import Document, parse
from harness.scenario.types import Scalar

TRIALS_MAX = 10_000
VARIABLE = (
    "workload", "load", "events", "streams", "warm_up_s", "duration_s", "operations", "drain_s",
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
            message = f"{name!r} cannot vary; allowed: {', '.join(VARIABLE)} and what is in them"
            raise document.wrong(message + hint, ("vary", name), at_key=True)
        for number, value in enumerate(values):
            path = ("vary", name, number)
            if not isinstance(value, Scalar):
                raise document.wrong(f"{name}: expected a single value", path)
            if value in values[:number]:
                raise document.wrong(f"{name}: {value!r} is here twice", path)
    if prod(map(len, vary.values())) > TRIALS_MAX:
        raise document.wrong(f"more than {TRIALS_MAX:,} points", ("vary",))


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


def without_rivals(content: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The content without what cannot stand beside a setting: `--set operations=…` ends it."""
    kept = dict(content)
    for one, other in (("operations", "duration_s"), ("duration_s", "operations")):
        if one in given:
            kept.pop(other, None)
    loads = {name.split(".")[1] for name in given if name.startswith("load.")}
    if len(loads) == 1 and isinstance(kept.get("load"), dict):
        kept["load"] = {name: value for name, value in kept["load"].items() if name in loads}
    return kept


def settings(given: Sequence[str]) -> dict[str, Any]:
    """`name=value` pairs, each value read as YAML. Raises `BadInput` that names the pair."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not all(part for part in name.split(".")):
            raise BadInput(f"--set {text}: expected name=value, for example load.closed.workers=8")
        try:
            found[name] = parse(value, "--set").content if value.strip() else ""
        except BadInput as error:
            raise BadInput(f"--set {text}: {error.message}") from None
    return found


def _spelt_out(depth: int, step: str, short: Any) -> dict[str, Any]:
    """`workload: append` is short for a mapping with that name in it."""
    return {"name": short} if depth == 0 and step == "workload" and short is not None else {}

"""From a file to its trials: ramps, the points that `vary:` spans, their order, pairs."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, product
from math import prod
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from harness.domain.workload import WorkloadParameters
from harness.scenario.faults import planned
from harness.scenario.model import (
    VALUES_MAX,
    Ramp,
    Scalar,
    Scenario,
    ScenarioFile,
    Trial,
    point_key,
)
from harness.scenario.names import StoreRef
from harness.scenario.problems import translate
from harness.scenario.text import Document
from harness.scenario.wording import did_you_mean, shown

TRIALS_MAX = 10_000
VARIABLE = (
    "workload", "load", "events", "streams", "path",
    "warm_up_s", "duration_s", "operations", "drain_s",
)  # fmt: skip
"""What may differ between the points of one scenario."""

Point = Mapping[str, Scalar]
"""The varied names and their values in one place of the parameter space."""

_RATE = "load.open.rate_per_s"
_RAMP = ("load", "open", "ramp")


def unrolled(document: Document) -> Document:
    """The document with its ramp, if any, rewritten as values of `vary`. Raises `BadInput`."""
    content = document.content
    offered = _section(_section(content, "load"), "open")
    if "ramp" not in offered:
        return document
    rates = offered.keys() & {"rate_per_s", "of_capacity", "search"}
    if rates or _RATE in _section(content, "vary"):
        raise document.wrong("ramp: expected no other rate with it", _RAMP)
    try:
        ramp = Ramp.model_validate(offered["ramp"])
    except ValidationError as error:
        raise translate(error, document, Ramp, _RAMP) from None
    rest = {name: value for name, value in offered.items() if name != "ramp"}
    load = {**content["load"], "open": rest}
    vary = {**content.get("vary", {}), _RATE: ramp.rates()}
    return replace(document, content={**content, "load": load, "vary": vary})


def _section(content: Any, name: str) -> dict[str, Any]:
    """A mapping inside the content; empty where the file has another value or none there."""
    section = content.get(name) if isinstance(content, dict) else None
    return section if isinstance(section, dict) else {}


def points(vary: Mapping[str, Sequence[Any]]) -> Iterator[Point]:
    """Every combination, the last name changing fastest; one empty point if nothing varies."""
    for values in product(*vary.values()):
        yield dict(zip(vary, values, strict=True))


def check_varied(document: Document, vary: Mapping[str, Sequence[Any]]) -> None:
    """Refuse names that cannot vary, lists as values, duplicates and too many points."""
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
            raise document.wrong(f"{name}: {shown(value)} is given twice", path)
        seen.add(value)


def at_point(
    document: Document, content: Mapping[str, Any], point: Point, vary: Mapping[str, Sequence[Any]]
) -> Document:
    """The document at a point, where errors about a varied name point at its value in `vary`."""
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
        *sections, last = name.split(".")
        inner = changed
        for depth, section in enumerate(sections):
            if not isinstance(inner.get(section), dict):
                inner[section] = _spelt_out(depth, section, inner.get(section))
            inner = inner[section]
        inner[last] = value
    return changed


def _spelt_out(depth: int, section: str, short: Any) -> dict[str, Any]:
    """`workload: append` is short for a mapping with that name in it."""
    return {"name": short} if depth == 0 and section == "workload" and short is not None else {}


@dataclass(frozen=True, slots=True)
class FileAtPoint:
    """A valid scenario file with the values of one point, and its workload's parameters."""

    point: Point
    file: ScenarioFile
    parameters: WorkloadParameters
    differing: Mapping[str, WorkloadParameters] = field(default_factory=dict)
    """By the key of a store with parameters of its own."""

    def parameters_on(self, store: StoreRef) -> WorkloadParameters:
        """The workload's parameters on a store."""
        return self.differing.get(store.key, self.parameters)

    def canonical(self) -> dict[str, Any]:
        """The load that a run of it offers, defaults spelt out, as plain values.

        Conformance checks run after the trials and change nothing of them.
        """
        left_out = {"description", "stores", "repetitions", "require", "vary", "workload", "faults"}
        content = self.file.model_dump(mode="json", exclude=left_out)
        if content["verify"] == "conformance":
            content["verify"] = True
        faults = [each.model_dump(mode="json", exclude_none=True) for each in self.file.faults]
        if faults:
            content["faults"] = faults
        parameters = self.parameters.model_dump(mode="json")
        content["workload"] = {"name": self.file.workload_name, **parameters}
        return content


def scenario_hash(files: Sequence[FileAtPoint]) -> str:
    """SHA-256 of the offered load; spelling, stores and repetitions don't change it.

    What differs on a store is part of the store's key instead, as its options are.
    """
    content = [[dict(each.point), each.canonical()] for each in files]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def trials(
    stores: Sequence[StoreRef],
    files: Sequence[FileAtPoint],
    server_settings: Mapping[str, Mapping[str, Scalar]],
) -> Iterator[Trial]:
    """Point by point, repetition by repetition; stores take turns: A B C, then C B A.

    A machine that slows down for a while thus slows down all stores. `server_settings` are
    those of each technology's server.
    """
    settings = {name: _as_text(each) for name, each in server_settings.items()}
    numbers = count(1)
    for each in files:
        for repetition in range(1, each.file.repetitions + 1):
            for store in stores if repetition % 2 else reversed(stores):
                own = settings.get(store.technology, MappingProxyType({}))
                yield _trial(next(numbers), store, each, repetition, own)


def _trial(
    number: int,
    store: StoreRef,
    at_point: FileAtPoint,
    repetition: int,
    server_settings: Mapping[str, str],
) -> Trial:
    file, point = at_point.file, at_point.point
    return Trial(
        number=number,
        scenario=file.name,
        store=store,
        workload=file.workload_name,
        parameters=at_point.parameters_on(store),
        load=file.load.offered,
        processes=file.load.processes,
        events=file.events,
        streams=file.streams,
        verify=file.read_back,
        conformance=file.verify == "conformance",
        server_settings=server_settings,
        added_rtt_ms=float(file.path.rtt_ms),
        point=MappingProxyType(dict(point)),
        warm_up_s=file.warm_up_s,
        duration_s=file.length_s,
        operations=file.operations,
        drain_s=file.drain_s,
        repetition=repetition,
        seed=f"{file.seed}/{point_key(point)}/{repetition}",
        faults=planned(file.faults, file.length_s),
    )


def as_text(value: Scalar) -> str:
    """A server's setting as the server reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as_text(settings: Mapping[str, Scalar]) -> Mapping[str, str]:
    return MappingProxyType({name: as_text(value) for name, value in settings.items()})


def paired(base: Scenario, candidate: Scenario) -> Scenario:
    """The trials of both as pairs, interleaved: A B, B A, A B, …

    Both have the same points and repetitions. Each store of the base is paired with the
    candidate's at the same place. In every other pair the candidate goes first, so that a machine
    that slows down for a while slows both sides down.
    """
    numbered = tuple(
        replace(trial, number=number)
        for number, trial in enumerate(_interleaved(base, candidate), start=1)
    )
    return replace(base, trials=numbered)


def _interleaved(base: Scenario, candidate: Scenario) -> Iterator[Trial]:
    for one, other in zip(base.trials, candidate.trials, strict=True):
        pair = (replace(one, side="base"), replace(other, side="candidate"))
        yield from pair if one.repetition % 2 else reversed(pair)

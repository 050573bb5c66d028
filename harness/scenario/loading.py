"""From a file and the flags beside it to a frozen `Scenario` with all its trials."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.catalogue import Catalogue
from harness.errors import BadInput
from harness.scenario import points as points_
from harness.scenario.model import ScenarioFile, StoreEntry, WorkloadEntry
from harness.scenario.names import store_named, store_with, unknown_workload
from harness.scenario.naming import StoreRef, split_store_list
from harness.scenario.problems import did_you_mean, translate
from harness.scenario.text import Document, Path_, read
from harness.scenario.trials import Declared, in_order
from harness.scenario.types import Scenario
from harness.workload import WorkloadParameters


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line changes of a file.

    `settings` are `dotted.name=value`; one that the file varies no longer varies.
    """

    stores: str | None = None
    settings: Sequence[str] = ()
    repeat: int | None = None


def load(path: Path, catalogue: Catalogue, *, overrides: Overrides = Overrides()) -> Scenario:
    """Read, check and expand a scenario file. Raises `BadInput`: one line, with its place."""
    document = read(Path(path))
    if not isinstance(document.content, dict):
        raise document.wrong("expected a mapping (key: value)")
    loader = _Loader(_overridden(document, overrides), catalogue)
    return loader.scenario(overrides.stores)


def _overridden(document: Document, overrides: Overrides) -> Document:
    given = points_.settings(overrides.settings)
    if overrides.repeat is not None:
        given["repetitions"] = overrides.repeat
    content = points_.applied(points_.without_rivals(document.content, given), given)
    if isinstance(content.get("vary"), dict):
        content["vary"] = {
            name: values for name, values in content["vary"].items() if name not in given
        }
    places = {path: place for path, place in document.places.items() if not _set(path, given)}
    return replace(document, content=content, places=places, flags=_flags(overrides, given))


def _set(path: Path_, given: Mapping[str, Any]) -> bool:
    return ".".join(map(str, path)) in given


def _flags(overrides: Overrides, given: Mapping[str, Any]) -> Mapping[str, str]:
    flags = {text.partition("=")[0]: f"--set {text}" for text in overrides.settings}
    if "repetitions" in given and "repetitions" not in flags:
        flags["repetitions"] = f"--repeat {overrides.repeat}"
    return flags


class _Loader:
    """One document against one catalogue."""

    def __init__(self, document: Document, catalogue: Catalogue) -> None:
        self._document, self._catalogue = document, catalogue

    def scenario(self, stores: str | None) -> Scenario:
        vary = self._vary()
        first = {name: values[0] for name, values in vary.items()}
        base = self._declared(first)
        for name, values in vary.items():
            for number, value in enumerate(values[1:], start=1):
                self._declared({**first, name: value}, ("vary", name, number))
        refs = self._chosen(stores) if stores else self._stores(base.file)
        declared = [(point, self._declared(point, ("vary",))) for point in points_.points(vary)]
        trials = tuple(in_order(refs, declared))
        if len(trials) > points_.TRIALS_MAX:
            message = f"{len(trials):,} trials; expected at most {points_.TRIALS_MAX:,}"
            raise self._document.wrong(message, ("vary",))
        return Scenario(
            name=base.file.name,
            description=base.file.description,
            seed=base.file.seed,
            path=self._document.file,
            text=self._document.text,
            hash=_hash(declared),
            repetitions=base.file.repetitions,
            trials=trials,
        )

    def _vary(self) -> dict[str, list[Any]]:
        vary = self._document.content.get("vary", {})
        if not isinstance(vary, dict):
            raise self._document.wrong("vary: expected a mapping of names to lists", ("vary",))
        for name, values in vary.items():
            if not isinstance(values, list) or not values:
                raise self._document.wrong(f"{name}: expected a list of values", ("vary", name))
        points_.check(self._document, vary)
        return vary

    def _declared(self, point: Mapping[str, Any], place: Path_ = ()) -> Declared:
        """The file as it is at a point. `place` is what to blame if it does not fit there."""
        content = points_.applied(self._document.content, point)
        document = (
            self._document if not point else _Blamed.at(self._document, content, point, place)
        )
        try:
            file = ScenarioFile.model_validate(content)
        except ValidationError as error:
            raise translate(error, document, ScenarioFile) from None
        return Declared(file, self._parameters(file, document))

    def _parameters(self, file: ScenarioFile, document: Document) -> WorkloadParameters:
        entry = file.workload
        name = entry.name if isinstance(entry, WorkloadEntry) else entry
        kind = self._catalogue.workloads.get(name)
        if kind is None:
            path: Path_ = (
                ("workload", "name") if isinstance(entry, WorkloadEntry) else ("workload",)
            )
            raise document.wrong(unknown_workload(name, self._catalogue), path)
        given = (entry.model_extra or {}) if isinstance(entry, WorkloadEntry) else {}
        if kind.reads_prefilled and file.streams.prefill < 1:
            message = f"{name} reads what is there: streams.prefill must be at least 1"
            raise document.wrong(message, ("streams", "prefill"))
        try:
            return kind.parameters.model_validate(given)
        except ValidationError as error:
            raise translate(error, document, kind.parameters, ("workload",)) from None

    def _stores(self, file: ScenarioFile) -> list[StoreRef]:
        refs: list[StoreRef] = []
        for number, entry in enumerate(file.stores):
            try:
                refs.append(self._store(entry))
                _refuse_twice(refs)
            except BadInput as error:
                raise self._document.wrong(error.message, ("stores", number)) from None
        self._check_servers(file)
        return refs

    def _store(self, entry: str | StoreEntry) -> StoreRef:
        if isinstance(entry, StoreEntry):
            return store_with(entry.store, entry.options, self._catalogue)
        return store_named(entry, self._catalogue)

    def _chosen(self, text: str) -> list[StoreRef]:
        refs: list[StoreRef] = []
        for name in split_store_list(text):
            try:
                refs.append(store_named(name, self._catalogue))
                _refuse_twice(refs)
            except BadInput as error:
                raise BadInput(f"--stores: {error.message}") from None
        if not refs:
            raise BadInput("--stores: expected names, for example postgres,sqlite")
        return refs

    def _check_servers(self, file: ScenarioFile) -> None:
        known = [kind.server for kind in self._catalogue.stores.values() if kind.server]
        for name in file.servers:
            if name not in known:
                names = sorted(set(known))
                message = f"unknown server {name!r}; allowed: {', '.join(names) or 'none'}"
                hint = did_you_mean(name, names)
                raise self._document.wrong(message + hint, ("servers", name), at_key=True)


class _Blamed:
    """A document at a point of `vary`, whose varied values have their places in the lists."""

    @staticmethod
    def at(
        document: Document, content: dict[str, Any], point: Mapping[str, Any], place: Path_
    ) -> Document:
        """The same file with the point's values in place."""
        places = dict(document.places)
        for name in point:
            blamed = place if place[1:2] == (name,) else ("vary", name, 0)
            if blamed in document.places:
                places[tuple(name.split("."))] = document.places[blamed]
        return replace(document, content=content, places=places)


def _refuse_twice(refs: Sequence[StoreRef]) -> None:
    if refs[-1].key in [ref.key for ref in refs[:-1]]:
        raise BadInput(f"{refs[-1].key} is here twice")


def _hash(declared: Sequence[tuple[Mapping[str, Any], Declared]]) -> str:
    """Over what is offered, not over how it is written, to whom, or how often."""
    content = [[dict(point), each.canonical()] for point, each in declared]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()

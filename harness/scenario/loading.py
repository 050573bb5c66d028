"""From a file and the flags beside it to a frozen `Scenario` with all its trials."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.catalogue import Catalogue
from harness.errors import BadInput
from harness.scenario import points as points_
from harness.scenario.model import ScenarioFile, Setting, StoreEntry, WorkloadEntry
from harness.scenario.names import chosen, refuse_twice, store_named, store_with, unknown_workload
from harness.scenario.naming import StoreRef
from harness.scenario.nodes import Path_
from harness.scenario.overrides import Overrides, overridden
from harness.scenario.problems import translate
from harness.scenario.ramps import unrolled
from harness.scenario.text import Document, read
from harness.scenario.trials import Declared, in_order
from harness.scenario.types import Scenario
from harness.scenario.wording import did_you_mean, one_line, shown
from harness.workload import WorkloadParameters

_AS_WRITTEN = Overrides()


def load(path: Path, catalogue: Catalogue, *, overrides: Overrides = _AS_WRITTEN) -> Scenario:
    """Read, check and expand a scenario file. Raises `BadInput`: one line, with its place."""
    try:
        document = read(Path(path))
        if not isinstance(document.content, dict):
            raise document.wrong("expected a mapping (key: value)")
        loader = _Loader(unrolled(overridden(document, overrides)), catalogue)
        return loader.scenario(overrides.stores)
    except BadInput as error:
        raise one_line(error) from None


class _Loader:
    """One document against one catalogue."""

    def __init__(self, document: Document, catalogue: Catalogue) -> None:
        self._document, self._catalogue = document, catalogue
        self._vary = self._varied()

    def scenario(self, stores: str | None) -> Scenario:
        base = self._declared(next(points_.points(self._vary)))
        self._check_servers(base.file)
        refs = chosen(stores, self._catalogue) if stores else self._stores(base.file)
        self._check_size(len(refs) * base.file.repetitions)
        declared = [(point, self._declared(point)) for point in points_.points(self._vary)]
        trials = tuple(in_order(refs, declared, self._server_settings(base.file)))
        return Scenario(
            name=base.file.name,
            description=base.file.description,
            seed=base.file.seed,
            path=self._document.file,
            text=self._document.text,
            hash=_hash(declared),
            repetitions=base.file.repetitions,
            trials=trials,
            require=base.file.require.stated(),
        )

    def _varied(self) -> dict[str, list[Any]]:
        vary = self._document.content.get("vary", {})
        if not isinstance(vary, dict):
            raise self._document.wrong("vary: expected a mapping of names to lists", ("vary",))
        for name, values in vary.items():
            if not isinstance(values, list) or not values:
                raise self._document.wrong(f"{name}: expected a list of values", ("vary", name))
        points_.check(self._document, vary)
        return vary

    def _check_size(self, trials_a_point: int) -> None:
        trials = trials_a_point * prod(map(len, self._vary.values()))
        if trials > points_.TRIALS_MAX:
            message = f"{trials:,} trials; expected at most {points_.TRIALS_MAX:,}"
            raise self._document.wrong(message, ("vary",))

    def _declared(self, point: Mapping[str, Any]) -> Declared:
        """The file as it is at a point."""
        content = points_.applied(self._document.content, point)
        try:
            file = ScenarioFile.model_validate(content)
        except ValidationError as error:
            raise translate(error, self._at(point, content), ScenarioFile) from None
        return Declared(file, self._parameters(file, point, content))

    def _at(self, point: Mapping[str, Any], content: Mapping[str, Any]) -> Document:
        return points_.blamed(self._document, content, point, self._vary)

    def _parameters(
        self, file: ScenarioFile, point: Mapping[str, Any], content: Mapping[str, Any]
    ) -> WorkloadParameters:
        entry = file.workload
        name = entry.name if isinstance(entry, WorkloadEntry) else entry
        kind = self._catalogue.workloads.get(name)
        if kind is None:
            path = ("workload", "name") if isinstance(entry, WorkloadEntry) else ("workload",)
            message = unknown_workload(name, self._catalogue)
            raise self._at(point, content).wrong(message, path)
        if kind.reads_prefilled and file.streams.prefill < 1:
            message = f"{name} reads what is there: streams.prefill must be at least 1"
            raise _wrong_prefill(self._at(point, content), message)
        given = (entry.model_extra or {}) if isinstance(entry, WorkloadEntry) else {}
        try:
            return kind.parameters.model_validate(given)
        except ValidationError as error:
            at = self._at(point, content)
            raise translate(error, at, kind.parameters, ("workload",)) from None

    def _stores(self, file: ScenarioFile) -> list[StoreRef]:
        refs: list[StoreRef] = []
        for number, entry in enumerate(file.stores):
            try:
                refs.append(self._store(entry))
                refuse_twice(refs)
            except BadInput as error:
                raise self._document.wrong(error.message, ("stores", number)) from None
        return refs

    def _store(self, entry: str | StoreEntry) -> StoreRef:
        if isinstance(entry, StoreEntry):
            return store_with(entry.store, entry.options, self._catalogue)
        return store_named(entry, self._catalogue)

    def _check_servers(self, file: ScenarioFile) -> None:
        known = [kind.server for kind in self._catalogue.stores.values() if kind.server]
        for name in file.servers:
            if name not in known:
                names = sorted(set(known))
                message = f"unknown server {shown(name)}; allowed: {', '.join(names) or 'none'}"
                hint = did_you_mean(name, names)
                raise self._document.wrong(message + hint, ("servers", name), at_key=True)

    def _server_settings(self, file: ScenarioFile) -> dict[str, Mapping[str, Setting]]:
        """By technology, which need not be called as the server that it needs."""
        kinds = self._catalogue.stores.values()
        return {kind.name: file.servers.get(kind.server or "", {}) for kind in kinds}


def _wrong_prefill(document: Document, message: str) -> BadInput:
    path: Path_ = ("streams", "prefill")
    return document.wrong(message, path if path in document.places else ("workload",))


def _hash(declared: Sequence[tuple[Mapping[str, Any], Declared]]) -> str:
    """Over what is offered, not over how it is written, to whom, or how often."""
    content = [[dict(point), each.canonical()] for point, each in declared]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()

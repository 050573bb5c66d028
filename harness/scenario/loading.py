"""From a file and the command line's overrides to a frozen `Scenario` with all its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from harness.domain.errors import BadInput
from harness.domain.server import ServerSettings
from harness.domain.workload import Catalogue, WorkloadParameters
from harness.scenario import expansion
from harness.scenario.expansion import FileAtPoint, Point
from harness.scenario.faults import problem
from harness.scenario.model import Scalar, Scenario, ScenarioFile, StoreEntry
from harness.scenario.names import (
    StoreRef,
    chosen,
    refuse_twice,
    store_named,
    store_with,
    unknown_workload,
)
from harness.scenario.overrides import Overrides, overridden
from harness.scenario.problems import translate
from harness.scenario.text import Document, Path_, read
from harness.scenario.wording import did_you_mean, one_line, shown

_AS_WRITTEN = Overrides()
_ALIKE = 0.8
"""Of hundreds of settings, one is somewhat like any word."""


def load(path: Path, catalogue: Catalogue, *, overrides: Overrides = _AS_WRITTEN) -> Scenario:
    """Read, check and expand a scenario file. Raises `BadInput`: one line, with its place."""
    try:
        document = read(Path(path))
        if not isinstance(document.content, dict):
            raise document.wrong("expected a mapping (key: value)")
        document = expansion.unrolled(overridden(document, overrides))
        return _Loader(document, catalogue).scenario(overrides)
    except BadInput as error:
        raise one_line(error) from None


class _Loader:
    """One document against one catalogue."""

    def __init__(self, document: Document, catalogue: Catalogue) -> None:
        self._document, self._catalogue = document, catalogue
        self._vary = self._varied()
        self._numbers: dict[str, int] = {}
        """Places in the file of stores with parameters of their own, by key."""

    def scenario(self, overrides: Overrides) -> Scenario:
        base = self._file(next(expansion.points(self._vary))).file
        self._check_servers(base)
        refs = self._chosen(base, overrides) or self._stores(base)
        self._check_size(len(refs) * base.repetitions)
        files = [self._file(point, refs) for point in expansion.points(self._vary)]
        return Scenario(
            name=base.name,
            description=base.description,
            seed=base.seed,
            path=self._document.file,
            text=self._document.text,
            hash=expansion.scenario_hash(files),
            repetitions=base.repetitions,
            trials=tuple(expansion.trials(refs, files, self._server_settings(base))),
            require=base.require.stated(),
        )

    def _varied(self) -> dict[str, list[Any]]:
        vary = self._document.content.get("vary", {})
        if not isinstance(vary, dict):
            raise self._document.wrong("vary: expected a mapping of names to lists", ("vary",))
        for name, values in vary.items():
            if not isinstance(values, list) or not values:
                raise self._document.wrong(f"{name}: expected a list of values", ("vary", name))
        expansion.check_varied(self._document, vary)
        return vary

    def _check_size(self, trials_a_point: int) -> None:
        trials = trials_a_point * prod(map(len, self._vary.values()))
        if trials > expansion.TRIALS_MAX:
            message = f"{trials:,} trials; expected at most {expansion.TRIALS_MAX:,}"
            raise self._document.wrong(message, ("vary",))

    def _file(self, point: Point, refs: Sequence[StoreRef] = ()) -> FileAtPoint:
        content = expansion.applied(self._document.content, point)
        try:
            file = ScenarioFile.model_validate(content)
        except ValidationError as error:
            raise translate(error, self._at(point, content), ScenarioFile) from None
        if wrong := problem(file.faults, file.length_s):
            number, why = wrong
            raise self._at(point, content).wrong(f"faults: {why}", ("faults", number))
        parameters = self._parameters(file, point, content)
        for ref in refs:
            self._refuse_set(ref)
        differing = {
            ref.key: self._own_parameters(ref.workload, self._numbers[ref.key], file)
            for ref in refs
            if ref.workload
        }
        return FileAtPoint(point, file, parameters, differing)

    def _at(self, point: Point, content: Mapping[str, Any]) -> Document:
        return expansion.at_point(self._document, content, point, self._vary)

    def _parameters(
        self, file: ScenarioFile, point: Point, content: Mapping[str, Any]
    ) -> WorkloadParameters:
        name = file.workload_name
        kind = self._catalogue.workloads.get(name)
        if kind is None:
            path = ("workload",) if isinstance(file.workload, str) else ("workload", "name")
            message = unknown_workload(name, self._catalogue)
            raise self._at(point, content).wrong(message, path)
        if kind.reads_prefilled and file.streams.prefill < 1:
            message = f"{name} reads existing events: streams.prefill must be at least 1"
            raise _wrong_prefill(self._at(point, content), message)
        try:
            return kind.parameters.model_validate(file.given_parameters)
        except ValidationError as error:
            at = self._at(point, content)
            raise translate(error, at, kind.parameters, ("workload",)) from None

    def _refuse_set(self, ref: StoreRef) -> None:
        """Raises `BadInput` for a `--set` that this store's own parameter would undo."""
        for name in ref.workload:
            flag = self._document.flags.get(f"workload.{name}")
            if flag:
                raise BadInput(
                    f"{flag}: {ref.key} has its own {name}, which stays; leave that store out"
                    " with --stores, or change its entry in the file"
                )

    def _own_parameters(
        self, own: Mapping[str, Any], number: int, file: ScenarioFile
    ) -> WorkloadParameters:
        """The parameters on the file's store `number`, which has some of its own."""
        kind = self._catalogue.workloads[file.workload_name]
        under = ("stores", number, "workload")
        for name in own:
            if f"workload.{name}" in self._vary:
                message = f"{name}: expected in stores or in vary, not in both"
                raise self._document.wrong(message, (*under, name))
        try:
            return kind.parameters.model_validate({**file.given_parameters, **own})
        except ValidationError as error:
            raise translate(error, self._document, kind.parameters, under) from None

    def _chosen(self, file: ScenarioFile, overrides: Overrides) -> list[StoreRef]:
        """The stores that take the place of the file's, if any do; some may be entries of it."""
        if not overrides.stores:
            return []
        own = {
            ref.key: ref
            for ref in (
                self._store(number, file)
                for number, entry in enumerate(file.stores)
                if isinstance(entry, StoreEntry) and entry.workload
            )
        }
        return chosen(overrides.stores, self._catalogue, flag=overrides.stores_flag, own=own)

    def _stores(self, file: ScenarioFile) -> list[StoreRef]:
        refs: list[StoreRef] = []
        for number in range(len(file.stores)):
            refs.append(self._store(number, file))
            try:
                refuse_twice(refs)
            except BadInput as error:
                raise self._document.wrong(error.message, ("stores", number)) from None
        return refs

    def _store(self, number: int, file: ScenarioFile) -> StoreRef:
        entry = file.stores[number]
        try:
            if not isinstance(entry, StoreEntry):
                return store_named(entry, self._catalogue)
            ref = store_with(entry.store, entry.options, self._catalogue)
        except BadInput as error:
            raise self._document.wrong(error.message, ("stores", number)) from None
        if not entry.workload:
            return ref
        parameters = self._own_parameters(entry.workload, number, file)
        own = {name: getattr(parameters, name) for name in entry.workload}
        ref = replace(ref, workload=MappingProxyType(own))
        self._numbers[ref.key] = number
        return ref

    def _check_servers(self, file: ScenarioFile) -> None:
        known = [kind.server for kind in self._catalogue.stores.values() if kind.server]
        for name in file.servers:
            if name not in known:
                names = sorted(set(known))
                message = f"unknown server {shown(name)}; allowed: {', '.join(names) or 'none'}"
                hint = did_you_mean(name, names)
                raise self._document.wrong(message + hint, ("servers", name), at_key=True)
            self._check_settings(name, file.servers[name])

    def _check_settings(self, server: str, settings: Mapping[str, Scalar]) -> None:
        allowed = self._catalogue.settings.get(server, ServerSettings(server, {}))
        for name, value in settings.items():
            fault = allowed.fault(name, expansion.as_text(value))
            if fault:
                known = name in allowed.values
                hint = "" if known else did_you_mean(name, allowed.values, alike=_ALIKE)
                message = f"servers.{server}: {fault}{hint}"
                raise self._document.wrong(message, ("servers", server, name), at_key=not known)

    def _server_settings(self, file: ScenarioFile) -> dict[str, Mapping[str, Scalar]]:
        """By technology, whose name may differ from that of the server it needs."""
        kinds = self._catalogue.stores.values()
        return {kind.name: file.servers.get(kind.server or "", {}) for kind in kinds}


def _wrong_prefill(document: Document, message: str) -> BadInput:
    path: Path_ = ("streams", "prefill")
    return document.wrong(message, path if path in document.places else ("workload",))

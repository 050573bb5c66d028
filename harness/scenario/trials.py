"""Trials of a scenario, in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType
from typing import Any

from harness.scenario import model
from harness.scenario.naming import StoreRef
from harness.scenario.types import (
    ClosedLoop,
    DataSize,
    EventShape,
    Load,
    Objective,
    OpenLoop,
    Scalar,
    Search,
    StreamChoice,
    Streams,
    Trial,
    Verify,
    point_key,
)
from harness.workload import WorkloadParameters

DURATION_S = 5.0
"""Where a scenario says neither a duration nor a number of operations."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A scenario file as it is at one point, valid, and its workload's parameters."""

    file: model.ScenarioFile
    parameters: WorkloadParameters

    @property
    def workload(self) -> str:
        """The workload's name."""
        entry = self.file.workload
        return entry.name if isinstance(entry, model.WorkloadEntry) else entry

    def canonical(self) -> dict[str, Any]:
        """What a run of it offers, defaults spelt out, as plain values.

        Checks run behind the trials and change nothing of them.
        """
        left_out = {"description", "stores", "repetitions", "require", "vary", "workload"}
        content = self.file.model_dump(mode="json", exclude=left_out)
        if content["verify"] == "conformance":
            content["verify"] = True
        content["workload"] = {"name": self.workload, **self.parameters.model_dump(mode="json")}
        return content


def in_order(
    stores: Sequence[StoreRef],
    declared: Sequence[tuple[Mapping[str, Scalar], Declared]],
    server_settings: Mapping[str, Mapping[str, Scalar]],
) -> Iterator[Trial]:
    """Point by point, repetition by repetition; stores take turns: A B C, then C B A.

    So a machine that slows down for a while slows all of them down. `server_settings` are
    those of each technology's server.
    """
    settings = {name: _as_text(each) for name, each in server_settings.items()}
    numbers = count(1)
    for point, each in declared:
        for repetition in range(1, each.file.repetitions + 1):
            for store in stores if repetition % 2 else reversed(stores):
                found = settings.get(store.technology, MappingProxyType({}))
                yield _trial(next(numbers), store, point, each, repetition, found)


def _trial(
    number: int,
    store: StoreRef,
    point: Mapping[str, Scalar],
    declared: Declared,
    repetition: int,
    server_settings: Mapping[str, str],
) -> Trial:
    file = declared.file
    duration_s = file.duration_s
    if duration_s is None and file.operations is None:
        duration_s = DURATION_S
    return Trial(
        number=number,
        scenario=file.name,
        store=store,
        workload=declared.workload,
        parameters=declared.parameters,
        load=_load(file.load),
        processes=file.load.processes,
        events=_events(file.events),
        streams=_streams(file.streams),
        verify=_verify(file.verify),
        server_settings=server_settings,
        added_rtt_ms=float(file.path.rtt_ms),
        point=MappingProxyType(dict(point)),
        warm_up_s=file.warm_up_s,
        duration_s=duration_s,
        operations=file.operations,
        drain_s=file.drain_s,
        repetition=repetition,
        seed=f"{file.seed}/{point_key(point)}/{repetition}",
    )


def _load(load: model.Load) -> Load:
    if load.closed is not None:
        return ClosedLoop(load.closed.workers)
    assert load.open is not None, "the model takes one of the two"
    offered = load.open
    return OpenLoop(
        rate_per_s=offered.rate_per_s or 0.0,
        arrivals=offered.arrivals,
        in_flight_max=offered.in_flight_max,
        deadline_s=offered.deadline_s,
        pacer=offered.pacer,
        of_capacity=offered.of_capacity,
        search=_search(offered.search),
    )


def _search(search: model.Search | None) -> Search | None:
    if search is None:
        return None
    slo = search.slo
    return Search(Objective(slo.p50_ms, slo.p99_ms, slo.errors), search.probe_s)


def _events(events: model.Events) -> EventShape:
    size = events.size_bytes
    if isinstance(size, model.Spread):
        sizes = DataSize("lognormal", size.median, size.sigma, size.min, size.max)
    else:
        sizes = DataSize("fixed", size, 0.0, size, size)
    return EventShape(MappingProxyType(dict(events.types)), sizes, events.content)


def _streams(streams: model.Streams) -> Streams:
    choice = streams.choice
    chosen = (
        StreamChoice("zipf", choice.zipf)
        if isinstance(choice, model.Zipf)
        else StreamChoice(choice)
    )
    return Streams(streams.count, streams.category, chosen, streams.prefill, streams.cache)


def _verify(verify: model.VerifyOrNot) -> Verify:
    if isinstance(verify, model.Verify):
        return Verify(enabled=True, streams_max=verify.streams_max)
    conformance = verify == "conformance"
    return Verify(bool(verify), model.Verify().streams_max, conformance=conformance)


def _as_text(settings: Mapping[str, Scalar]) -> Mapping[str, str]:
    return MappingProxyType(
        {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in settings.items()
        }
    )

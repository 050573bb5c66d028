"""Where a scenario would run, and what stands in the way of its faults, before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.domain.errors import BadInput, NoServer
from harness.domain.faults import Fault, FaultKind
from harness.domain.store import StoreKind
from harness.domain.workload import Catalogue
from harness.run.faults import IN_PROCESS
from harness.run.placing import foreseen
from harness.run.worker_allocation import Asked, Decision
from harness.scenario.faults import NETWORK_KINDS
from harness.scenario.model import Scenario
from harness.servers import TECHNOLOGIES, choose_way, lab_disk_hindrance
from harness.servers.library import LibraryOnLabDisk
from harness.servers.path.relaying import why_no_relay


class Hindrance(NamedTuple):
    """Some kinds of fault that a store cannot have here, and why."""

    key: str
    kinds: tuple[FaultKind, ...]
    why_not: str


def hindrances(scenario: Scenario, catalogue: Catalogue, asked: str) -> list[Hindrance]:
    """By store, in the order of the run. Starts no server; `asked` is the way to them."""
    faults = {trial.store.key: trial.faults for trial in scenario.trials if trial.faults}
    kinds = {trial.store.key: catalogue.stores[trial.store.technology] for trial in scenario.trials}
    if not faults:
        return []
    servers = {kinds[key].server for key in faults}
    choice = choose_way({server for server in servers if server}, asked)
    found = []
    for key, planned in faults.items():
        whys = {fault: _why_not(fault, kinds[key], choice.ways) for fault in _kinds(planned)}
        found += [Hindrance(key, *each) for each in _by_reason(whys)]
    return found


def foreseen_placement(
    scenario: Scenario, catalogue: Catalogue, asked: str, pin: Asked
) -> Decision:
    """On which cores both sides would run. Starts no server; `asked` is the way to them."""
    names = dict.fromkeys(trial.store.technology for trial in scenario.trials)
    servers = [catalogue.stores[name].server for name in names]
    ways = choose_way([server for server in servers if server], asked).ways
    return foreseen(scenario, catalogue, ways, pin)


def _kinds(planned: Sequence[Fault]) -> list[FaultKind]:
    return list(dict.fromkeys(fault.kind for fault in planned))


def _by_reason(whys: Mapping[FaultKind, str]) -> Iterator[tuple[tuple[FaultKind, ...], str]]:
    for reason in dict.fromkeys(filter(None, whys.values())):
        yield tuple(kind for kind, why in whys.items() if why == reason), reason


def _why_not(kind: FaultKind, store: StoreKind, ways: Mapping[str, str]) -> str:
    server = store.server
    if server is None:
        return _why_no_library(kind, store)
    way = ways.get(server, "")
    if not way:
        return "there is no server"
    if way == "native":
        return lab_disk_hindrance() if kind.of_the_disk else ""
    return _why_not_elsewhere(kind, server, way)


def _why_no_library(kind: FaultKind, store: StoreKind) -> str:
    if not store.keeps_files or kind in NETWORK_KINDS:
        return IN_PROCESS
    disk = LibraryOnLabDisk(store.name, scratch=Path(), clients_may_end=False)
    return disk.why_not(kind) or lab_disk_hindrance()


def _why_not_elsewhere(kind: FaultKind, server: str, way: str) -> str:
    provider = TECHNOLOGIES[server].providers[way]
    try:
        unstarted = provider.server(scratch=Path(), settings={}, on_lab_disk=True)
    except (NoServer, BadInput) as error:
        return str(error)
    if kind not in NETWORK_KINDS:
        return unstarted.why_not(kind)
    # Where a container's clients connect is known once it runs.
    known = way == "external"
    return why_no_relay(TECHNOLOGIES[server].line, unstarted.endpoint) if known else ""

"""What stands in the way of a scenario's faults, before anything is started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.domain.errors import BadInput, NoServer
from harness.domain.faults import Fault, FaultKind
from harness.domain.workload import Catalogue
from harness.run.faults import IN_PROCESS
from harness.scenario.faults import NETWORK_KINDS
from harness.scenario.model import Scenario
from harness.servers import TECHNOLOGIES, choose_way, lab_disk_hindrance
from harness.servers.path.relaying import why_no_relay


class Hindrance(NamedTuple):
    """Some kinds of fault that a store cannot have here, and why."""

    key: str
    kinds: tuple[FaultKind, ...]
    why_not: str


def hindrances(scenario: Scenario, catalogue: Catalogue, asked: str) -> list[Hindrance]:
    """By store, in the order of the run. Starts no server; `asked` is the way to them."""
    faults = {trial.store.key: trial.faults for trial in scenario.trials if trial.faults}
    if not faults:
        return []
    technologies = {trial.store.key: trial.store.technology for trial in scenario.trials}
    servers = {key: catalogue.stores[technologies[key]].server for key in faults}
    choice = choose_way({server for server in servers.values() if server}, asked)
    found = []
    for key, planned in faults.items():
        server = servers[key]
        whys = {kind: _why_not(kind, server, choice.ways) for kind in _kinds(planned)}
        found += [Hindrance(key, *each) for each in _by_reason(whys)]
    return found


def _kinds(planned: Sequence[Fault]) -> list[FaultKind]:
    return list(dict.fromkeys(fault.kind for fault in planned))


def _by_reason(whys: Mapping[FaultKind, str]) -> Iterator[tuple[tuple[FaultKind, ...], str]]:
    for reason in dict.fromkeys(filter(None, whys.values())):
        yield tuple(kind for kind, why in whys.items() if why == reason), reason


def _why_not(kind: FaultKind, server: str | None, ways: Mapping[str, str]) -> str:
    if server is None or server not in ways:
        return IN_PROCESS if server is None else "there is no server"
    way = ways[server]
    if way == "native":
        return lab_disk_hindrance() if kind.of_the_disk else ""
    provider = TECHNOLOGIES[server].providers[way]
    try:
        unstarted = provider.server(scratch=Path(), settings={}, on_lab_disk=True)
    except (NoServer, BadInput) as error:
        return str(error)
    if kind not in NETWORK_KINDS:
        return unstarted.why_not(kind)
    # Where a container's clients connect is known once it runs.
    known = way == "external"
    return why_no_relay(server, TECHNOLOGIES[server].line, unstarted.endpoint) if known else ""

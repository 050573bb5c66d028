"""Where running servers come from: external, docker or native, each as a `Server`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

from harness.domain.errors import NoServer
from harness.domain.server import (
    Availability,
    Server,
    ServerSettings,
    Statistics,
    UnsupportedByServer,
)
from harness.servers.choice import WAYS, Choice, choose_way, probe
from harness.servers.native.disk import lab_disk_hindrance
from harness.servers.technologies import TECHNOLOGIES

__all__ = [
    "TECHNOLOGIES",
    "WAYS",
    "Availability",
    "Choice",
    "Server",
    "Statistics",
    "UnsupportedByServer",
    "choose_way",
    "declarable_settings",
    "lab_disk_hindrance",
    "probe",
    "serving",
]

_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


def declarable_settings() -> Mapping[str, ServerSettings]:
    """What a scenario may set, by technology."""
    return {name: technology.settings for name, technology in TECHNOLOGIES.items()}


@asynccontextmanager
async def serving(
    technology: str,
    *,
    way: str = "auto",
    scratch: Path,
    settings: Mapping[str, str] = _NO_SETTINGS,
    on_lab_disk: bool = False,
) -> AsyncIterator[Server]:
    """A started server, stopped and removed after the block, also if the block raises.

    `on_lab_disk` puts its data on a disk of the lab's own, where the machine and the way can.

    Raises `NoServer` with one line that says what would make one available, and `BadInput`
    where a name, a setting or an address is wrong.
    """
    choice = choose_way([technology], way)
    if technology not in choice.ways:
        raise NoServer(choice.reasons[technology])
    chosen = TECHNOLOGIES[technology].providers[choice.ways[technology]]
    server = chosen.server(scratch=scratch, settings=settings, on_lab_disk=on_lab_disk)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()

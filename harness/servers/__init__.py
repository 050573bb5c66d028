"""Where running servers come from: external, docker or native, all behind one `Server`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

from harness.errors import NoServer
from harness.servers.choice import WAYS, Choice, choose_way, probe
from harness.servers.protocol import Availability, Server, Statistics, UnsupportedByServer
from harness.servers.table import TECHNOLOGIES

__all__ = [
    "TECHNOLOGIES",
    "WAYS",
    "Availability",
    "Choice",
    "Server",
    "Statistics",
    "UnsupportedByServer",
    "choose_way",
    "probe",
    "serving",
]

_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


@asynccontextmanager
async def serving(
    technology: str,
    *,
    way: str = "auto",
    scratch: Path,
    settings: Mapping[str, str] = _NO_SETTINGS,
) -> AsyncIterator[Server]:
    """A started server, stopped and removed on the way out, whatever happens inside.

    Raises `NoServer` with one line that says what would make one available, and `BadInput`
    where a name, a setting or an address is wrong.
    """
    choice = choose_way([technology], way)
    if technology not in choice.ways:
        raise NoServer("; ".join(choice.reasons))
    chosen = TECHNOLOGIES[technology][choice.ways[technology]]
    server = chosen.server(scratch=scratch, settings=settings)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()

"""A way that is not there for a technology, and what to take instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import NoServer
from harness.servers.protocol import Availability, Server


@dataclass(frozen=True, slots=True)
class Nowhere:
    """Never ready."""

    technology: str
    way: str
    instead: str

    def probe(self) -> Availability:
        """What gives a server."""
        return Availability(self.technology, self.way, ready=False, detail=self.instead)

    def server(self, *, scratch: Path, settings: Mapping[str, str]) -> Server:
        """Raises `NoServer`."""
        del scratch, settings
        raise NoServer(f"{self.technology}: {self.instead}")

"""How a run reaches its servers: measured once a server, lengthened where a scenario says so."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from typing import Any

from harness.scenario.types import Trial
from harness.servers import Server
from harness.servers.path import Path, delayed, measure
from harness.store import Endpoint

Key = tuple[str, float]


class Paths:
    """The paths of one run, and its relays."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._relays: dict[Key, str] = {}
        self._found: dict[Key, Path] = {}

    async def to(self, server: Server, trial: Trial) -> Endpoint:
        """Where the trial's clients find the server. Raises `NoServer` if no relay can be."""
        technology, rtt_ms = server.technology, trial.added_rtt_ms
        if (technology, 0.0) not in self._found:
            self._found[technology, 0.0] = await measure(server)
        if not rtt_ms:
            return server.endpoint
        if (technology, rtt_ms) not in self._relays:
            relayed = delayed(technology, server.endpoint, rtt_ms)
            through = await self._stack.enter_async_context(relayed)
            self._relays[technology, rtt_ms] = through.address
            longer = await measure(server, through)
            self._found[technology, rtt_ms] = replace(longer, added_rtt_ms=rtt_ms)
        return replace(server.endpoint, address=self._relays[technology, rtt_ms])

    def described(self) -> Mapping[str, list[dict[str, Any]]]:
        """For the manifest: the paths to each technology's server."""
        told: dict[str, list[dict[str, Any]]] = {}
        for (technology, _), path in self._found.items():
            told.setdefault(technology, []).append(asdict(path))
        return told

    def flags(self) -> list[str]:
        """What is to be said of the paths beside the numbers."""
        proxied = sorted({t for (t, _), path in self._found.items() if path.kind == "docker-proxy"})
        return [f"behind docker-proxy: {', '.join(proxied)}"] if proxied else []

"""The servers of one run: each started for the first trial that needs it, and then kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

from harness.catalogue import Catalogue
from harness.errors import NoServer, StoreError
from harness.runner.opening import namespace, opening
from harness.runner.paths import Paths
from harness.runner.staffing import kept_on
from harness.scenario.types import Trial
from harness.servers import Server, UnsupportedByServer, serving
from harness.store import Endpoint


class ServerPool:
    """Servers by technology, the paths to them, and which of them are warm."""

    def __init__(
        self,
        run_id: str,
        catalogue: Catalogue,
        *,
        scratch: Path,
        stack: AsyncExitStack,
        note: Callable[[str], None],
        cores: frozenset[int] | None = None,
    ) -> None:
        self._run_id, self._catalogue, self._scratch = run_id, catalogue, scratch
        self._stack, self._note = stack, note
        self._cores = cores
        self._warm: set[str] = set()
        self.ways: Mapping[str, str] = {}
        self.servers: dict[str, Server] = {}
        self.pinned: list[str] = []
        self.paths = Paths(stack)

    async def reach(self, trial: Trial) -> tuple[Endpoint, Server | None]:
        """Where the trial's store is, in a namespace of the trial's own. Raises `NoServer`."""
        name = f"eslab_{self._run_id}_{trial.number}"
        technology = self._catalogue.stores[trial.store.technology].server
        if technology is None:
            self._scratch.mkdir(parents=True, exist_ok=True)
            return Endpoint(address=str(self._scratch), namespace=name), None
        if technology not in self.servers:
            self.servers[technology] = await self._started(technology, trial)
        server = self.servers[technology]
        endpoint = await self.paths.to(server, trial)
        return replace(endpoint, namespace=name), server

    def warmed_up(self, trial: Trial, server: Server | None) -> Trial:
        """The first trial on a fresh server warms that up as well, before anything is measured."""
        if server is None or server.technology in self._warm:
            return trial
        self._warm.add(server.technology)
        return replace(trial, warm_up_s=max(trial.warm_up_s, server.warm_up_s))

    async def _started(self, technology: str, trial: Trial) -> Server:
        way = self.ways[technology]
        self._note(f"starting {technology} ({way})")
        settings = trial.server_settings
        with kept_on(self._cores) if self._cores else nullcontext():
            server = await self._stack.enter_async_context(
                serving(technology, way=way, scratch=self._scratch, settings=settings)
            )
        if not server.controllable:
            await self._introduce(server, trial)
        if self._cores:
            await self._pin(server, self._cores)
        return server

    async def _pin(self, server: Server, cores: frozenset[int]) -> None:
        try:
            await server.pin(cores)
        except UnsupportedByServer as error:
            self._note(f"not pinned: {error}")
            return
        self.pinned.append(server.technology)

    async def _introduce(self, server: Server, trial: Trial) -> None:
        """Make and remove a namespace on somebody else's server, before anything is measured.

        Raises `NoServer` where it is of another kind, or does not let the lab in.
        """
        endpoint = replace(server.endpoint, namespace=f"eslab_{self._run_id}_0")
        try:
            async with namespace(opening(trial.store, self._catalogue, endpoint)):
                pass
        except (StoreError, NoServer) as error:
            told = str(error).removeprefix(f"{server.technology}: ")
            asking = f"is that a {server.technology} which lets you in?"
            raise NoServer(f"{server.technology}: external: {told}; {asking}") from None

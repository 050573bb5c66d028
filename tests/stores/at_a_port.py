"""Native servers at ports that a test chooses; a scenario cannot choose them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from harness.domain.server import Server
from harness.servers import probe
from harness.servers.local import listens
from harness.servers.native.dynamodb import DynamoRecipe
from harness.servers.native.place import Place
from harness.servers.native.postgres import PostgresRecipe
from harness.servers.native.server import NativeServer, Recipe
from harness.servers.native.umadb import UmaRecipe


class PostgresOnTcp(PostgresRecipe):
    """On the loopback interface too."""

    def __init__(self, port: int) -> None:
        super().__init__({})
        self._settings |= {"listen_addresses": "127.0.0.1", "port": str(port)}


class DynamoAt(DynamoRecipe):
    """At one port and no other."""

    def __init__(self, port: int) -> None:
        super().__init__({})
        self._port = port


class UmaAt(UmaRecipe):
    """At one port and no other."""

    def __init__(self, port: int) -> None:
        super().__init__({})
        self._port = port


class UmaSecured(UmaRecipe):
    """Over TLS, for those who know the key."""

    def __init__(self, certificate: Path, key: Path, api_key: str) -> None:
        super().__init__({})
        tls = [f"--tls-cert={certificate}", f"--tls-key={key}"]
        self._flags = [*tls, f"--api-key={api_key}"]

    async def answers(self, place: Place, pid: int) -> bool:
        """The ping of the lab's knows no TLS."""
        return listens(pid, self._port)


@asynccontextmanager
async def running(recipe: Recipe, scratch: Path) -> AsyncIterator[Server]:
    """As `serving` does it."""
    version = probe(recipe.technology, "native").version
    server = NativeServer(recipe, scratch=scratch, version=version)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()

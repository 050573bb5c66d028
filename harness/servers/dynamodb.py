"""DynamoDB Local as one Java process on a free port: an emulator, not the service."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import psutil

from harness.errors import BadInput
from harness.servers import maven
from harness.servers.native import Native
from harness.servers.place import Place
from harness.servers.ports import free_ports
from harness.servers.recipe import Plan
from harness.store import Endpoint

POM = Path(__file__).with_name("poms") / "dynamodb.xml"
_LOG = logging.getLogger(__name__)
_MAIN = "software.amazon.dynamodb.services.local.main.ServerRunner"
_HOST = "127.0.0.1"
_ANSWER_LIMIT_S = 2.0
_ALLOWED: Mapping[str, Mapping[str, list[str]]] = MappingProxyType(
    {
        "storage": {"memory": ["-inMemory"], "file": ["-dbPath"]},
        # A JVM that optimises fully needs some 20 s of load, and a core, until it is steady:
        # trials of a few seconds would measure how warm it happens to be.
        "compiler": {"quick": ["-XX:TieredStopAtLevel=1"], "full": []},
    }
)
"""Settings of the lab's own words, and what they are on the command line; defaults first."""
# Emulated accounts: with -sharedDb any names will do, and all of them see the same tables.
CREDENTIALS = MappingProxyType({"access_key": "eslab", "secret_key": "eslab"})


def check(settings: Mapping[str, str]) -> Mapping[str, str]:
    """What is chosen of each of the lab's own words. Raises `BadInput` for any other setting."""
    for name, value in settings.items():
        if name not in (*_ALLOWED, "port"):
            raise BadInput(f"dynamodb: {name!r} is not a setting that a scenario may declare")
        if value not in _ALLOWED.get(name, (value,)):
            allowed = ", ".join(_ALLOWED[name])
            raise BadInput(f"dynamodb: {name}: {value!r} is none of {allowed}")
    return {name: settings.get(name, next(iter(words))) for name, words in _ALLOWED.items()}


class DynamoRecipe:
    """An empty emulator; `storage: file` keeps its tables in SQLite, `memory` nowhere."""

    technology = "dynamodb"
    unprivileged = False
    warm_up_s = 8.0

    def __init__(self, settings: Mapping[str, str]) -> None:
        chosen = check(settings)
        self._storage, self._compiler = (_ALLOWED[name][chosen[name]] for name in _ALLOWED)
        self._port = _port(settings.get("port")) or free_ports(1)[0]

    def plan(self, place: Place) -> Plan:
        """One JVM. Fetches its jars if need be."""
        jars = maven.jars(self.technology, POM)
        _LOG.info("dynamodb: DynamoDB Local is under Amazon's own licence, yours to accept")
        java = [maven.java(), "-Xmx1g", *self._compiler]
        java += [f"-Djava.library.path={jars}", "-cp", f"{jars}/*"]
        place.data.mkdir(exist_ok=True)
        flags = ["-port", str(self._port), "-sharedDb", "-disableTelemetry", *self._storage]
        if "-dbPath" in flags:
            flags.append(str(place.data))
        return Plan(
            prepare=[],
            serve=[*java, _MAIN, *flags],
            orderly=signal.SIGTERM,
            abandon=signal.SIGKILL,
        )

    async def answers(self, place: Place, pid: int) -> bool:  # noqa: ARG002
        """Whether that very process listens at the port, and speaks HTTP by now."""
        return _listens(pid, self._port) and await _speaks_http(self._port)

    def log_bytes(self, place: Place) -> None:
        """It keeps items, not a log."""

    def endpoint(self, place: Place) -> Endpoint:  # noqa: ARG002
        """Its one port, on the loopback interface's address."""
        return Endpoint(f"http://{_HOST}:{self._port}", credentials=CREDENTIALS)


def _port(text: str | None) -> int:
    if text is None:
        return 0
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise BadInput(f"dynamodb: port: {text!r} is no port number")
    return int(text)


def _listens(pid: int, port: int) -> bool:
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


async def _speaks_http(port: int) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_connection(_HOST, port)
            try:
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                return (await reader.readline()).startswith(b"HTTP/")
            finally:
                writer.close()
    except OSError:
        return False


NATIVE = Native("dynamodb", lambda: maven.available("dynamodb", POM), DynamoRecipe)

"""DynamoDB Local as one Java process on a free port: an emulator, not the service."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from harness.domain.server import ServerSettings
from harness.domain.store import Endpoint
from harness.servers.local import free_ports, listens
from harness.servers.native import maven
from harness.servers.native.place import Place
from harness.servers.native.server import Native, Plan

POM = Path(__file__).with_name("poms") / "dynamodb.xml"
_LOG = logging.getLogger(__name__)
_CLASSES, _MAIN = Path(__file__).with_name("java"), "DynamoOnLoopback"
"""The lab's own main class: DynamoDB Local's listens on every interface, with no option for it."""
_HOST = "127.0.0.1"
_ANSWER_LIMIT_S = 2.0
_STORAGE = MappingProxyType({"memory": ["-inMemory"], "file": ["-dbPath"]})
_COMPILER = MappingProxyType({"quick": ["-XX:TieredStopAtLevel=1"], "full": []})
"""A JVM that optimises fully needs some 20 s of load, and a core, until it is steady: trials of
a few seconds would measure its state of warm-up."""
SETTINGS = ServerSettings(
    "dynamodb",
    MappingProxyType({"storage": ("memory", "file"), "compiler": ("quick", "full")}),
)
"""The lab's own names, defaults first; DynamoDB Local has no settings, only options."""
# Emulated accounts: with -sharedDb any names will do, and all of them see the same tables.
CREDENTIALS = MappingProxyType({"access_key": "eslab", "secret_key": "eslab"})


class DynamoRecipe:
    """An empty emulator; `storage: file` keeps its tables in SQLite, `memory` keeps none."""

    technology = "dynamodb"
    unprivileged = False
    warm_up_s = 8.0

    def __init__(self, settings: Mapping[str, str]) -> None:
        SETTINGS.check(settings)
        self._storage = _STORAGE[settings.get("storage", "memory")]
        self._compiler = _COMPILER[settings.get("compiler", "quick")]
        (self._port,) = free_ports(1)

    def plan(self, place: Place) -> Plan:
        """One JVM. Fetches its jars if they are missing."""
        jars = maven.plain_jars(self.technology, POM, place)
        _LOG.info("dynamodb: DynamoDB Local is under Amazon's own licence, yours to accept")
        classes = shutil.copytree(_CLASSES, place.short / "classes", dirs_exist_ok=True)
        java = [*maven.java_in(place), "-Xmx1g", *self._compiler]
        java += [f"-Djava.library.path={jars}", "-cp", f"{classes}{os.pathsep}{jars}/*"]
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
        """Whether the process with this pid listens at the port and answers HTTP."""
        return listens(pid, self._port) and await _speaks_http(self._port)

    def log_bytes(self, place: Place) -> None:
        """`None`: it keeps items, not a log."""

    def endpoint(self, place: Place) -> Endpoint:  # noqa: ARG002
        """Its one port, on the loopback interface's address."""
        return Endpoint(f"http://{_HOST}:{self._port}", credentials=CREDENTIALS)


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

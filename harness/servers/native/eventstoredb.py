"""EventStoreDB or KurrentDB as a process of the lab's own, by a program that the user has.

No package brings it. It runs insecurely as one node on the loopback interface, with its own data
folder and its own file of options: neither the machine's file nor variables of the environment
change it.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness.domain import grpc_environment
from harness.domain.errors import BadInput, NoServer
from harness.domain.server import ServerSettings, judged_by_the_server
from harness.domain.store import Endpoint
from harness.servers.local import free_ports
from harness.servers.native.place import Place
from harness.servers.native.server import Native, Plan

VARIABLE = "ESLAB_EVENTSTORED"
PROGRAMS = ("kurrentd", "KurrentDB", "eventstored", "EventStore.ClusterNode")
"""As packages and archives of either call it; the first on PATH is taken, the newer ones first."""
_ADVICE = (
    f"put {', '.join(PROGRAMS[:-1])} or {PROGRAMS[-1]} on PATH or name it in {VARIABLE}; else "
    "`make up` where images can be pulled, or ESLAB_EVENTSTOREDB_URI"
)
_HOST = "127.0.0.1"
_VERSION = re.compile(r"\b\d+\.\d+\.\d[\w.+-]*")
_VERSION_LIMIT_S = 30.0
_ANSWER_LIMIT_S = 2.0
_CLIENTS = (
    ("esdbclient", "AsyncEventStoreDBClient"),
    ("kurrentdbclient", "AsyncKurrentDBClient"),
)
_READY_STREAM = "eslab-ready"
_CHECKPOINT_BYTES = 8

SETTINGS = ServerSettings(
    "eventstoredb",
    judged_by_the_server("""
    CACHED_CHUNKS CHUNKS_CACHE_SIZE CHUNK_INITIAL_READER_COUNT COMMIT_TIMEOUT_MS
    DISABLE_SCAVENGE_MERGING HASH_COLLISION_READ_LIMIT INDEX_CACHE_DEPTH INDEX_CACHE_SIZE
    INITIALIZATION_THREADS MAX_APPEND_SIZE MAX_AUTO_MERGE_INDEX_LEVEL MAX_MEM_TABLE_SIZE MEM_DB
    MIN_FLUSH_DELAY_MS OPTIMIZE_INDEX_MERGE PREPARE_TIMEOUT_MS READER_THREADS_COUNT
    REDUCE_FILE_CACHE_PRESSURE RUN_PROJECTIONS SKIP_DB_VERIFY SKIP_INDEX_VERIFY
    START_STANDARD_PROJECTIONS STATS_PERIOD_SEC STREAM_EXISTENCE_FILTER_SIZE
    STREAM_INFO_CACHE_CAPACITY UNBUFFERED UNSAFE_DISABLE_FLUSH_TO_DISK USE_INDEX_BLOOM_FILTERS
    WORKER_THREADS WRITE_THROUGH WRITE_TIMEOUT_MS
    """),
)
"""What a scenario may declare."""
_DEFAULTS = {"RUN_PROJECTIONS": "None"}


def program() -> Path:
    """The server's program. Raises `NoServer` without one, `BadInput` for a wrong variable."""
    named = os.environ.get(VARIABLE)
    if named:
        found = shutil.which(Path(named).expanduser())
        if found is None:
            raise BadInput(f"{VARIABLE}: {named} is not a program that can be run here")
        return Path(found).absolute()
    for name in PROGRAMS:
        if found := shutil.which(name):
            return Path(found).absolute()
    raise NoServer(_ADVICE)


def installed() -> str:
    """The version that the program tells. Raises `NoServer`."""
    path = program()
    return _version_of(path, path.stat().st_mtime_ns)


@cache
def _version_of(path: Path, changed_ns: int) -> str:
    del changed_ns  # another program at the same place is asked again
    try:
        answer = subprocess.run(
            [path, "--version"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
            timeout=_VERSION_LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoServer(f"{path} --version does not run here ({error})") from None
    version = _VERSION.search(answer.stdout)
    if version is None:
        raise NoServer(f"{path} --version tells no version: is it EventStoreDB or KurrentDB?")
    return version[0]


class EventStoreDBRecipe:
    """A fresh node on two free ports; flushing to disk, and projections off unless set."""

    technology = "eventstoredb"
    unprivileged = False
    warm_up_s = 5.0

    def __init__(self, settings: Mapping[str, str]) -> None:
        SETTINGS.check(settings)
        self._settings = {**_DEFAULTS, **settings}
        self._port, self._replication_port = free_ports(2)

    def plan(self, place: Place) -> Plan:
        """The program, with every option on its command line."""
        place.data.mkdir(exist_ok=True)
        # Without a file of its own it reads the machine's, in /etc/eventstore or /etc/kurrentdb.
        options = place.home / "options.conf"
        options.write_text("Insecure: true\n", encoding="ascii")
        flags = {
            "config": options,
            "node-ip": _HOST,
            "node-port": self._port,
            "replication-ip": _HOST,
            "replication-port": self._replication_port,
            "db": place.data,
            "log": place.home / "log",
            **{name.lower().replace("_", "-"): self._settings[name] for name in self._settings},
        }
        words = [f"--{name}={value}" for name, value in flags.items()]
        return Plan(
            prepare=[],
            serve=[str(program()), "--insecure", *words],
            orderly=signal.SIGTERM,
            abandon=signal.SIGKILL,
        )

    async def answers(self, place: Place, pid: int) -> bool:  # noqa: ARG002
        """Whether it takes an append."""
        return await takes_appends(self._port)

    def log_bytes(self, place: Place) -> int | None:
        """How far its log is written, by the writer's checkpoint: chunk files have a fixed size."""
        try:
            written = (place.data / "writer.chk").read_bytes()[:_CHECKPOINT_BYTES]
        except OSError:
            return None
        return int.from_bytes(written, "little") if len(written) == _CHECKPOINT_BYTES else None

    def endpoint(self, place: Place) -> Endpoint:  # noqa: ARG002
        """Its one port, for gRPC and HTTP."""
        return Endpoint(f"esdb://{_HOST}:{self._port}?tls=false")


async def takes_appends(port: int) -> bool:
    """Whether a server on the loopback interface takes an append: later than it calls itself alive.

    Without a client's package only the latter can be seen.
    """
    if not await _is_alive(port):
        return False
    packages = [each for each in _CLIENTS if importlib.util.find_spec(each[0])]
    return await _append(port, *packages[0]) if packages else True


async def _is_alive(port: int) -> bool:
    """Whether `GET /health/live` is answered with 204."""
    try:
        async with asyncio.timeout(_ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_connection(_HOST, port)
            try:
                writer.write(
                    b"GET /health/live HTTP/1.1\r\nHost: eslab\r\nConnection: close\r\n\r\n"
                )
                return b" 204" in await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError):
        return False


async def _append(port: int, package: str, client: str) -> bool:
    grpc_environment.prepare()
    library: Any = importlib.import_module(package)
    connected = getattr(library, client)(uri=f"esdb://{_HOST}:{port}?tls=false")
    connected.grpc_options += (("grpc.enable_http_proxy", 0),)
    try:
        await connected.connect()
        await inspect.unwrap(type(connected).append_to_stream)(
            connected,
            _READY_STREAM,
            current_version=library.StreamState.ANY,
            events=[library.NewEvent(type="eslab.ready", data=b"{}")],
            timeout=_ANSWER_LIMIT_S,
        )
    except Exception:  # whatever it raises, it has not answered yet
        return False
    finally:
        await connected.close()
    return True


def _described() -> str:
    return f"{program()}, as a process of the lab's own"


NATIVE = Native("eventstoredb", installed, EventStoreDBRecipe, _described)

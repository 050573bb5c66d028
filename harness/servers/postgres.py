"""PostgreSQL as local processes: a cluster made for one run, with the scenario's settings."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from types import MappingProxyType

from harness.errors import BadInput
from harness.servers import postgres_wheel
from harness.servers.native import Native
from harness.servers.place import Place
from harness.servers.recipe import Plan
from harness.store import Endpoint

_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {"max_connections": "200", "listen_addresses": "", "port": "5432"}
)
"""On a unix socket alone; a scenario that wants TCP sets `listen_addresses` and `port`."""
_OWN = frozenset({"config_file", "data_directory", "hba_file", "unix_socket_directories"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*", re.ASCII)
_STATUS_LINE = 7
"""Of `postmaster.pid`, from 0: the postmaster's own word on whether it takes clients."""


def check(settings: Mapping[str, str]) -> None:
    """Raises `BadInput` for what a scenario may not set."""
    for name in settings:
        if not _NAME.fullmatch(name) or name in _OWN:
            raise BadInput(f"postgres: {name!r} is not a setting that a scenario may declare")


class PostgresRecipe:
    """A fresh cluster, UTF-8 in locale C, whose fsync is on unless the scenario says otherwise."""

    technology = "postgres"
    unprivileged = True
    warm_up_s = 0.0

    def __init__(self, settings: Mapping[str, str]) -> None:
        check(settings)
        self._settings = {**_DEFAULTS, **settings}

    def plan(self, place: Place) -> Plan:
        """`initdb` once, then the postmaster with every setting as a flag."""
        binaries = postgres_wheel.binaries(place)
        data = ["-D", str(place.data)]
        initdb = [str(binaries / "initdb"), *data, "--auth=trust", "--username=postgres"]
        # --no-sync is about making the cluster alone, which holds nothing yet; the server syncs.
        initdb += ["--locale=C", "--encoding=UTF8", "--no-sync", "--no-instructions"]
        settings = {**self._settings, "unix_socket_directories": str(place.sockets)}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        postgres = str(binaries / "postgres")
        return Plan(
            prepare=[initdb],
            serve=[postgres, *data, *flags],
            # Starting to check its configuration, it removes a dead server's shared memory.
            tidy=[postgres, "--check", *data],
            orderly=signal.SIGINT,
            abandon=signal.SIGQUIT,
        )

    async def answers(self, place: Place, pid: int) -> bool:
        """As `pg_ctl --wait` does it: no connection, so nothing about it in the log."""
        try:
            lines = (place.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        ready = len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"
        return ready and lines[0].strip() == str(pid)

    def log_bytes(self, place: Place) -> None:
        """Its write-ahead log's files are made ahead and used again: the server itself counts."""

    def endpoint(self, place: Place) -> Endpoint:
        """Its socket, without a password: only the server's account and root can step to it."""
        port = self._settings["port"]
        return Endpoint(f"postgresql://postgres@/postgres?host={place.sockets}&port={port}")


NATIVE = Native("postgres", postgres_wheel.version, PostgresRecipe)

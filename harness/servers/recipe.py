"""What `native.py` has to know to run one technology as local processes."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.servers.place import Place
from harness.store import Endpoint

Command = Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The commands of one server in one place, and the signals that its root process knows."""

    prepare: Sequence[Command]
    """Make an empty data folder, one after the other, once."""
    serve: Command
    """The server itself, in the foreground."""
    tidy: Command = ()
    """Clears what a killed server leaves outside its folders; harmless after any other end."""
    orderly: signal.Signals
    """Asks for a stop that leaves the data clean."""
    abandon: signal.Signals
    """Asks for an end at once, when the data is about to be removed."""


class Recipe(Protocol):
    """One server to be, with its settings. A file a technology: `postgres.py` and so on."""

    technology: str
    unprivileged: bool
    """It refuses to run as root and needs an account of its own then."""
    warm_up_s: float
    """How long a fresh one needs load before it runs at its speed: a JVM compiles as it goes."""

    def plan(self, place: Place) -> Plan:
        """How it runs there. Called once, when the folders exist; may write files into them."""
        ...

    async def answers(self, place: Place, pid: int) -> bool:
        """Whether the server that runs as `pid` takes clients by now."""
        ...

    def log_bytes(self, place: Place) -> int | None:
        """Of the log that the store is, as its files show it; `None` if it is no log."""
        ...

    def endpoint(self, place: Place) -> Endpoint:
        """Where clients find it."""
        ...

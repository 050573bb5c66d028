"""Where the server keeps its tables, read back from its own process where that is at hand."""

from __future__ import annotations

from collections.abc import Mapping

import psutil

from harness.store import Durability, Endpoint

_CLASSES = {
    "memory": Durability.MEMORY,
    # Local acknowledges a transaction before SQLite commits it: a kill at once loses it.
    "file": Durability.BOUNDED_LOSS,
}


def storage_of(endpoint: Endpoint) -> str:
    """`memory` or `file` for an emulator whose process can be seen, else that it cannot."""
    try:
        words = psutil.Process(endpoint.pid).cmdline() if endpoint.pid else []
    except psutil.Error:
        words = []
    if "-inMemory" in words:
        return "memory"
    return "file" if "-dbPath" in words else "not told"


def durability_of(settings: Mapping[str, str]) -> Durability:
    """The class of the storage; nothing is promised for one that nobody can see."""
    return _CLASSES.get(settings.get("storage", ""), Durability.MEMORY)

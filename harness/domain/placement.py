"""On which cores both sides of a measurement ran, as rows and manifests of runs have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any


def cores_text(cores: Iterable[int]) -> str:
    """`0-2,5`, as Linux writes lists of cores."""
    runs = [
        [core for _, core in run]
        for _, run in groupby(enumerate(sorted(cores)), key=lambda each: each[1] - each[0])
    ]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def cores_named(text: str) -> str:
    """`core 1`, `cores 0-2,5`."""
    return f"core {text}" if text.isdecimal() else f"cores {text}"


@dataclass(frozen=True, slots=True)
class Placement:
    """The cores of a trial's generator and of its server, as `cores_text`; empty if not known."""

    generator: str
    server: str
    served: bool
    """False for a library in the generator's own process."""

    def __str__(self) -> str:
        """In words; empty where nothing is known."""
        if not self.generator:
            return ""
        if not self.served:
            return f"no server, generator on {cores_named(self.generator)}"
        if not self.server:
            return f"generator on {cores_named(self.generator)}, server elsewhere"
        if self.generator == self.server:
            return f"generator and server share {cores_named(self.server)}"
        return f"generator on {cores_named(self.generator)}, server on {cores_named(self.server)}"

    @property
    def apart(self) -> bool:
        """Whether generator and server had cores of their own."""
        return bool(self.generator and self.server and self.generator != self.server)

    def cells(self) -> dict[str, str]:
        """Its columns in a row of trials."""
        return {"generator_cores": self.generator, "server_cores": self.server}


def placement_of(row: Mapping[str, Any], manifest: Mapping[str, Any]) -> Placement:
    """Where a trial ran. Rows of older labs do not say it; their manifests had only `pinned`."""
    provider = str(row.get("provider") or "none")
    served = provider != "none"
    generator, server = (_text(row.get(name)) for name in ("generator_cores", "server_cores"))
    if generator:
        return Placement(generator, server, served)
    pinned = manifest.get("pinned")
    if isinstance(pinned, dict):
        # These labs pinned the generator beside every store, and the servers that let them.
        own = row.get("store") in pinned.get("technologies", ())
        generator = cores_text(pinned.get("generator_cores", ()))
        return Placement(generator, cores_text(pinned["server_cores"]) if own else "", served)
    every = cores_text(manifest.get("environment", {}).get("cpu", {}).get("affinity", ()))
    elsewhere = not served or provider == "external"
    return Placement(every, "" if elsewhere else every, served)


def _text(cell: object) -> str:
    """Of a cell that may be missing, whatever stands for that."""
    return cell if isinstance(cell, str) else ""

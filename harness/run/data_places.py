"""Where the data of a run's servers lies, what a sync takes there, and what its class is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.domain.durability import Durability
from harness.domain.flags import Flag, FlagCode
from harness.domain.server import DataFolder
from harness.run.environment import SyncLatency, sync_latency
from harness.run.file_systems import FileSystem, Kind, file_system

SYNCS_MAX = 200
"""Enough for a median, and some 40 ms on a fast disk."""
DRIVE_NS = 4_000.0
"""The quickest drives need more than twice as long; a sync that does nothing needs 1–3 µs."""
_PERSISTENT_MEMORY = "/dev/pmem"
UNKNOWN = "unknown"
_ALLOWED = {Kind.MEMORY: Durability.MEMORY, Kind.UNSYNCED: Durability.PROCESS_CRASH}
"""The class that data on such a file system reaches at most, whatever its server's settings are."""
_CODES = {
    FlagCode.DATA_IN_MEMORY: (Kind.MEMORY,),
    FlagCode.DATA_UNSYNCED: (Kind.UNSYNCED,),
    FlagCode.DATA_DOUBTFUL: (Kind.TOO_FAST, Kind.NETWORK, Kind.FUSE, Kind.OVERLAY, Kind.UNFAMILIAR),
}


@dataclass(frozen=True, slots=True)
class DataPlace:
    """Where one server keeps its data; `None` for what the lab cannot see or measure."""

    on: FileSystem | None
    sync: SyncLatency | None
    on_lab_disk: bool = False
    """On a file system that the lab made for it, so that it can lose power and fill up."""

    @property
    def allows(self) -> Durability:
        """The class that data there reaches at most; an unknown place takes none away."""
        return _ALLOWED.get(self.on.kind if self.on else Kind.DISK, Durability.POWER_LOSS)

    def described(self) -> dict[str, Any]:
        """For the manifest."""
        if self.on is None:
            return {"file_system": UNKNOWN}
        sync = {k: v for k, v in asdict(self.sync).items() if v is not None} if self.sync else {}
        lab_disk = {"lab_disk": True} if self.on_lab_disk else {}
        return {**self.on.described(), "sync_latency": sync, **lab_disk}


Syncs = dict[FileSystem, SyncLatency]
"""Of disks, what a sync took there; several servers on one need no second measurement."""


def syncs_of(folder: Path, environment: Mapping[str, Any]) -> Syncs:
    """What the run's own measurement, in the folder of its results, says of the disk there."""
    on, latency = file_system(folder), environment.get("sync_latency")
    if on is None or on.kind is not Kind.DISK or not latency:
        return {}
    return {on: SyncLatency(**{"p50_ns": None, "p90_ns": None, **latency})}


def place_of(data: DataFolder | None, known: Syncs) -> DataPlace:
    """Where a server's data folder lies.

    Syncs a small write there, for a second at most, unless `known` has the disk; adds it to them.
    """
    if data is None:
        return DataPlace(None, None)
    on = file_system(data.path, data.mounts)
    sync = known.get(on) if on else None
    if sync is None and data.reachable:
        sync = sync_latency(data.reachable, SYNCS_MAX)
    if on and sync and on.kind is Kind.DISK:
        known[on] = sync
        if _is_too_fast(on, sync):
            on = replace(on, kind=Kind.TOO_FAST)
    return DataPlace(on, sync)


def _is_too_fast(on: FileSystem, sync: SyncLatency) -> bool:
    """Whether something swallows syncs: a preloaded library, a virtual disk's cache, a setting."""
    quick = sync.p50_ns is not None and sync.p50_ns < DRIVE_NS
    return quick and not on.device.startswith(_PERSISTENT_MEMORY)


def own_folder(folder: Path) -> DataFolder:
    """A folder of this machine that the lab may write to, or make under one."""
    above = (folder, *folder.resolve().parents)
    return DataFolder(folder, reachable=next(each for each in above if each.is_dir()))


def flags(places: Mapping[str, DataPlace]) -> list[Flag]:
    """What a reader must know of the places of a run's servers, by technology."""
    seen = {name: place.on for name, place in places.items() if place.on is not None}
    unknown = [name for name in places if name not in seen]
    found = [
        Flag(code, {"places": _listed(of_kind)})
        for code, kinds in _CODES.items()
        if (of_kind := {name: on for name, on in seen.items() if on.kind in kinds})
    ]
    if len({(on.type, on.device) for on in seen.values()}) > 1:
        found.append(Flag(FlagCode.DATA_APART, {"places": _listed(seen)}))
    if unknown:
        found.append(Flag(FlagCode.DATA_SOMEWHERE, {"servers": ", ".join(unknown)}))
    return found


def _listed(places: Mapping[str, FileSystem]) -> str:
    """Technologies by the file system that they share: "kafka, sqlite on ext4; …"."""
    by_place: dict[str, list[str]] = {}
    for name, on in places.items():
        by_place.setdefault(str(on), []).append(name)
    return "; ".join(f"{', '.join(names)} on {place}" for place, names in by_place.items())

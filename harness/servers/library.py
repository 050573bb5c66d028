"""The disk of a store that is a library, as the server that such a store does not have."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from pathlib import Path

import psutil

from harness.domain.errors import NoServer
from harness.domain.faults import FaultKind
from harness.domain.server import DataFolder, Statistics, UnsupportedByServer
from harness.domain.store import Endpoint
from harness.servers.local import disk_bytes
from harness.servers.native import guardian, tree
from harness.servers.native.disk import DiskFault, LabDisk, lab_disk_hindrance
from harness.servers.native.guard import Guard

_NO_PROCESS = "its store is a library of its clients: it has no process of its own to {}"
_IN_THE_LAB = "its store lives in processes of the lab that a power loss would have to end"


class LibraryOnLabDisk:
    """The processes that use the library, once they are known, are what a power loss ends.

    Nobody else may have a file open on the disk then.
    """

    controllable = True
    warm_up_s = 0.0

    def __init__(self, technology: str, *, scratch: Path, clients_may_end: bool) -> None:
        self.technology = technology
        self._folder = scratch / f"{technology}-{secrets.token_hex(8)}"
        self._disk = LabDisk(self._folder / "disk.img", self._folder / "disk")
        self._clients_may_end = clients_may_end
        self._clients: list[psutil.Process] = []
        self._guard: Guard | None = None

    @property
    def endpoint(self) -> Endpoint:
        """The folder for its files."""
        return Endpoint(address=str(self._disk.folder))

    async def data_folder(self) -> DataFolder:
        """The disk itself."""
        return DataFolder(self._disk.folder, reachable=self._disk.folder)

    def used_by(self, pid: int) -> None:
        """From now on, a power loss ends this process of the lab as well."""
        self._clients.append(psutil.Process(pid))

    async def start(self) -> None:
        """Make the disk. Raises `NoServer` where this machine cannot have one."""
        hindrance = await asyncio.to_thread(lab_disk_hindrance)
        if hindrance:
            raise NoServer(f"{self.technology}: {hindrance}")
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._guard = Guard([self._folder])
            self._folder.mkdir(mode=0o700)
            await asyncio.to_thread(self._disk.make)
            await asyncio.to_thread(self._disk.settle)
        except (DiskFault, OSError) as error:
            raise NoServer(f"{self.technology}: its disk cannot be made: {error}") from None

    async def stop(self) -> None:
        """End the clients that are known, and remove the disk."""
        for each in self._clients:
            await tree.kill(each)
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.finish()
        guardian.unmount(str(self._folder.resolve()))
        shutil.rmtree(self._folder, ignore_errors=True)

    async def restart(self, *, cold: bool = False) -> None:
        """Do nothing: whoever opens the store next starts it."""

    async def kill(self) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal(FaultKind.KILL_SERVER)

    async def pause(self) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal(FaultKind.PAUSE_SERVER)

    async def resume(self) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal(FaultKind.PAUSE_SERVER)

    def why_not(self, kind: FaultKind) -> str:
        """Its disk can fill up; it loses power where its clients may end with it."""
        if kind is FaultKind.FILL_DISK:
            return ""
        if kind is FaultKind.LOSE_POWER:
            return "" if self._clients_may_end else _IN_THE_LAB
        return _NO_PROCESS.format(kind.partition(" ")[0])

    async def lose_power(self) -> None:
        """Stop the clients, cut the power of the disk, kill them, and mount it again."""
        if self.why_not(FaultKind.LOSE_POWER):
            raise self._refusal(FaultKind.LOSE_POWER)
        for each in self._clients:
            tree.pause(each)
        self._disk.cut_power()
        for each in self._clients:
            await tree.kill(each)
        self._clients.clear()
        await asyncio.to_thread(self._disk.bring_back)

    async def fill_disk(self) -> None:
        """Allocate what is left of it."""
        await asyncio.to_thread(self._disk.fill)

    async def free_disk(self) -> None:
        """Give the room back."""
        await asyncio.to_thread(self._disk.free)

    async def pin(self, cores: frozenset[int]) -> None:
        """Raises `UnsupportedByServer`."""
        raise UnsupportedByServer(f"{self.technology}: no process to pin to {len(cores)} cores")

    def statistics(self) -> Statistics:
        """The bytes of its files alone."""
        return Statistics(None, None, disk_bytes(self._disk.folder))

    def _refusal(self, kind: FaultKind) -> UnsupportedByServer:
        return UnsupportedByServer(f"{self.technology}: no {kind}: {self.why_not(kind)}")

"""A container's volume on a disk of the lab's own, which can lose power and fill up."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from harness.servers.docker.compose import Described
from harness.servers.docker.engine import shares_mounts
from harness.servers.native.disk import LabDisk, lab_disk_hindrance
from harness.servers.native.guard import Guard

if TYPE_CHECKING:
    from docker.client import DockerClient

_DATA = "data"
"""A folder of the disk: an image gives its content, and its owners, to an empty volume alone, and a
new file system is not empty."""


class DiskVolume:
    """A named volume that the engine binds to a disk of the lab's own; a guardian unmounts that.

    The engine binds it anew with each start of the container, and lets it go with each end.
    """

    def __init__(self, name: str, folder: Path) -> None:
        """`name` is the compose file's; `folder` is made, and removed again with all in it."""
        self._name, self._folder = name, folder
        self.disk = LabDisk(folder / "disk.img", folder / "disk")
        self._guard: Guard | None = None

    def make(self) -> None:
        """Make the disk. Raises `DiskFault`, `OSError`."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._guard = Guard([self._folder])
        self._folder.mkdir(mode=0o700)
        self.disk.make()
        self._place.mkdir()

    @property
    def described(self) -> Described:
        """The volumes of a compose file, with this one on the disk."""
        device = str(self._place).replace("$", "$$")  # Compose takes one dollar for a variable
        options = {"type": "none", "o": "bind", "device": device}
        return {self._name: {"driver": "local", "driver_opts": options}}

    def used_by(self, container: str) -> None:
        """From now on, end this container as well if the lab is killed: it holds the disk."""
        if self._guard is not None:
            self._guard.tidy_with([shutil.which("docker") or "docker", "kill", container])

    def holds(self, folder: Path | None) -> bool:
        """Whether a folder, as this machine sees it, lies on the disk."""
        try:
            return folder is not None and folder.stat().st_dev == self._place.stat().st_dev
        except OSError:
            return False

    async def remove(self) -> None:
        """Unmount and remove it, after its container. Safe to call twice."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.tidy_with(())
            await guard.finish()
        # Then nothing remains to do, unless the guardian was killed before.
        await asyncio.to_thread(self.disk.remove)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _place(self) -> Path:
        return self.disk.folder / _DATA


def volume_of(described: Described) -> str:
    """The name of a service's first named volume; empty where it has none."""
    for each in described.get("volumes", ()):
        name = str(each).partition(":")[0] if isinstance(each, str) else str(each.get("source", ""))
        if name and name[0] not in "./~$":
            return name
    return ""


def hindrance(client: DockerClient, described: Described) -> str:
    """One line: why a container of this description cannot have such a disk; empty if it can."""
    if not shares_mounts(client):
        return "the engine is not this machine's own, and cannot mount a disk of the lab's"
    if not volume_of(described):
        return "the container's description has no named volume for its data"
    return lab_disk_hindrance()

"""The way `docker` of one technology: whether it is open, and a server from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import NoServer
from harness.servers.docker import compose
from harness.servers.docker.engine import engine, has_image
from harness.servers.docker.server import DockerServer
from harness.servers.docker.services import SERVICES, Service
from harness.servers.protocol import Availability, Server

if TYPE_CHECKING:
    from docker.client import DockerClient


@dataclass(frozen=True, slots=True)
class Docker:
    """Ready if the engine answers and the image is here: a run never pulls one."""

    technology: str

    def probe(self) -> Availability:
        """Whether a container could be started now."""
        try:
            description = self._description()
        except NoServer as error:
            return Availability(self.technology, "docker", ready=False, detail=str(error))
        image = description.services()[self.technology]["image"]
        version = image.rpartition(":")[2]
        return Availability(self.technology, "docker", ready=True, detail=image, version=version)

    def server(self, *, scratch: Path, settings: Mapping[str, str]) -> Server:
        """The container of `make up`, or one of the lab's own."""
        service, description = self._service, self._description()
        described = description.services()[self.technology]
        changed = service.changed(described, settings) if settings else {}
        return DockerServer(service, description, changed, scratch=scratch)

    @property
    def _service(self) -> Service:
        return SERVICES[self.technology]

    def _description(self) -> compose.Description:
        with engine() as client:
            compose.command()
            return usable(client, self.technology)


def usable(client: DockerClient, technology: str) -> compose.Description:
    """The description whose image of a technology is here: official, else built here.

    Raises `NoServer` with what would bring it.
    """
    candidates = (compose.official(), compose.built())
    for description in candidates:
        if has_image(client, description.services()[technology]["image"]):
            return description
    wanted, other = (each.services()[technology]["image"] for each in candidates)
    instead = f", `make images` builds {other}" if other != wanted else ""
    raise NoServer(f"no image {wanted} here: `make up` pulls it{instead}")

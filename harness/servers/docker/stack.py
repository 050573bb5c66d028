"""All services at once, for `make up` and `make down`; only these two pull images and clean up."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.domain.errors import NoServer
from harness.domain.temporary import temporary_folder
from harness.servers.docker import compose, project, server
from harness.servers.docker.compose import Described, Description
from harness.servers.docker.engine import SERVICE_LABEL, containers, engine, has_image
from harness.servers.docker.services import HOST

if TYPE_CHECKING:
    from docker.client import DockerClient
    from docker.models.containers import Container

_PORT = re.compile(r"\$\{(?P<variable>\w+):-(?P<port>\d+)\}")


async def up() -> dict[str, str]:
    """Bring every service up and wait until all are healthy; each one's address.

    Raises `NoServer` with one line that says what to do.
    """
    with engine() as client, temporary_folder() as scratch:
        compose.command()
        description = _description(client)
        services = _services(description)
        running = _running(client)
        ports = {name: _port(described) for name, described in services.items()}
        for name in set(services) - running:
            _require_free(name, *ports[name])
        await _compose(client, description, services, scratch)
        for each in containers(client, project=project.name()):
            await _healthy(each.labels[SERVICE_LABEL], each)
        return {name: f"{HOST}:{port}" for name, (_, port) in ports.items()}


def down() -> list[str]:
    """Remove the containers of `up` and leftovers of runs that ended early; returns their names."""
    with engine() as client:
        projects = {
            project.name(),
            *project.left_behind(client),
            *project.without_containers(client),
        }
        return [name for each in sorted(projects) for name in project.remove(client, each)]


def left_behind() -> list[str]:
    """Compose projects of runs that ended early. Raises `NoServer`."""
    with engine() as client:
        return sorted({*project.left_behind(client), *project.without_containers(client)})


def remove(name: str) -> None:
    """Remove a project with all that it has. Raises `NoServer`."""
    with engine() as client:
        project.remove(client, name)


def _description(client: DockerClient) -> Description:
    """Official images, unless only images that were built here are present."""
    official, built = compose.official(), compose.built()
    if official.files == (built.files[0],):
        here = {which: _any_here(client, which) for which in (official, built)}
        if here[built] and not here[official]:
            return built
    return official


def _any_here(client: DockerClient, description: Description) -> bool:
    """Whether the image of any service that can be built is present."""
    buildable = compose.Description(compose.built().files[1:]).services()
    services = description.services()
    return any(has_image(client, services[name]["image"]) for name in buildable)


def _services(description: Description) -> dict[str, Described]:
    """Services without a profile; with built images, only services that can be built."""
    services = {name: d for name, d in description.services().items() if "profiles" not in d}
    never = {name: d for name, d in services.items() if d.get("pull_policy") == "never"}
    return never or services


def _running(client: DockerClient) -> set[str]:
    members = containers(client, project=project.name())
    return {each.labels[SERVICE_LABEL] for each in members if each.status == "running"}


def _port(described: Described) -> tuple[str, int]:
    """The variable of its published port, and the port."""
    match = _PORT.search(str(described["ports"][0]))
    assert match is not None, "every published port has a variable"
    return match["variable"], int(server.asked_port(match["variable"]) or match["port"])


def _require_free(service: str, variable: str, port: int) -> None:
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise NoServer(
            f"{service}: port {port}: {error.strerror}; set {variable} to a free one"
        ) from None


async def _compose(
    client: DockerClient, description: Description, services: Mapping[str, Described], scratch: Path
) -> None:
    missing = [d["image"] for d in services.values() if not has_image(client, d["image"])]
    try:
        await compose.up(
            description,
            list(services),
            project=project.name(),
            environment={},
            changed={},
            scratch=scratch,
            pull=bool(missing),
        )
    except NoServer as error:
        hint = f" (missing: {', '.join(missing)}; where none can be pulled: `make images`)"
        raise NoServer(f"{error}{hint if missing else ''}") from None


async def _healthy(service: str, container: Container) -> None:
    try:
        await server.until_healthy(container)
    except NoServer as error:
        raise NoServer(f"{service}: {error}; `make down` removes it") from None

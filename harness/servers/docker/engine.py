"""The container engine: whether it answers, and the lab's containers and images in it."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness.domain.errors import NoServer
from harness.domain.proxies import is_loopback, past_proxies

if TYPE_CHECKING:
    from docker.client import DockerClient
    from docker.models.containers import Container

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
_SOCKET = Path("/var/run/docker.sock")
_UNIX = "unix://"
_CALL_LIMIT_S = 120


@contextmanager
def engine() -> Iterator[DockerClient]:
    """A connection to a running engine. Raises `NoServer` with the step that would start it."""
    if shutil.which("docker") is None:
        raise NoServer("install Docker and its Compose plugin")
    where = _address()
    if where.startswith(_UNIX):
        _knock(Path(where.removeprefix(_UNIX)))
    client = _client()
    try:
        yield client
    finally:
        client.close()


def shares_mounts(client: DockerClient) -> bool:
    """Whether the engine runs on this machine, as root: what is mounted here it can mount."""
    info = client.info()
    rootless = any("rootless" in each for each in info.get("SecurityOptions") or ())
    return _address().startswith(_UNIX) and info.get("Name") == os.uname().nodename and not rootless


def _address() -> str:
    return os.environ.get("DOCKER_HOST") or f"{_UNIX}{_SOCKET}"


def containers(client: DockerClient, **labels: str) -> list[Container]:
    """All containers with these labels, running or not; `project` and `service` are Compose's."""
    names = {"project": PROJECT_LABEL, "service": SERVICE_LABEL}
    filters = [f"{names[name]}={value}" for name, value in labels.items()]
    matching: list[Container] = client.containers.list(
        all=True, filters={"label": [*filters, "eslab.started-by"]}
    )
    return matching


def has_image(client: DockerClient, reference: str) -> bool:
    """Whether the image is here; nothing is pulled."""
    try:
        client.images.get(reference)
    except sdk().errors.ImageNotFound:
        return False
    return True


def sdk() -> Any:
    """The `docker` SDK, imported when it is first needed. Raises `NoServer` without it."""
    try:
        return importlib.import_module("docker")
    except ImportError:
        raise NoServer("pip install 'eventstore-lab[docker]'") from None


def _knock(path: Path) -> None:
    """Connect before the SDK does: the SDK leaks its socket where no engine answers."""
    try:
        there = path.exists()
    except PermissionError as error:
        raise NoServer(_why(str(error))) from None
    if not there:
        where = f"{_UNIX}{path}"
        raise NoServer(f"the engine is not running (no {where}): start Docker, or set DOCKER_HOST")
    with socket.socket(socket.AF_UNIX) as knocking:
        try:
            knocking.connect(str(path))
        except OSError as error:
            raise NoServer(_why(str(error))) from None


def _client() -> DockerClient:
    docker = sdk()
    host = urlsplit(os.environ.get("DOCKER_HOST", "")).hostname
    beside = host is not None and is_loopback(host)
    try:
        # The SDK asks for the engine's version before it can be set not to use a proxy.
        with past_proxies(host) if host and beside else nullcontext():
            client: DockerClient = docker.from_env(timeout=_CALL_LIMIT_S)
        client.api.trust_env = not beside
    except (docker.errors.DockerException, OSError) as error:
        raise NoServer(_why(str(error))) from None
    try:
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        client.close()
        raise NoServer(_why(str(error))) from None
    return client


def _why(text: str) -> str:
    where = os.environ.get("DOCKER_HOST", str(_SOCKET))
    if "Permission" in text:
        return f"no permission on {where}: run as a member of its group (usually `docker`)"
    if "refused" in text or "No such file" in text:
        return f"the engine is not running (no answer at {where}): start Docker"
    return f"the engine does not answer at {where}: {text.splitlines()[0]}"

"""A server in a container: that of `make up`, or one of a run's own in a project of its own."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.domain.errors import BadInput, NoServer
from harness.domain.faults import FaultKind
from harness.domain.server import (
    Availability,
    DataFolder,
    Server,
    Statistics,
    UnsupportedByServer,
)
from harness.domain.store import Endpoint, RelayListener
from harness.servers.docker import compose, container, project, volume
from harness.servers.docker.compose import Described, Description
from harness.servers.docker.engine import containers, engine, has_image, sdk
from harness.servers.docker.services import HOST, Service
from harness.servers.docker.volume import DiskVolume
from harness.servers.local import drop_from_page_cache, free_ports
from harness.servers.native import tree
from harness.servers.native.disk import DiskFault, LabDisk

if TYPE_CHECKING:
    from docker.client import DockerClient
    from docker.models.containers import Container

_LOG = logging.getLogger(__name__)
_START_LIMIT_S = 120.0
_POLL_S = 0.05
_POLL_SHARE = 0.02
"""Of the time waited so far: each health check is a process beside a server that starts."""
_PROGRESS_S = 2.0
_PORT_MAX = 65535


def asked_port(variable: str) -> int | None:
    """The host port in the user's variable. Raises `BadInput` if it is no port number."""
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text) <= _PORT_MAX:
        raise BadInput(f"{variable}: {text!r} is no port number")
    return int(text)


def free_port(service: Service) -> int:
    """The host port in the user's variable, else a free one. Raises `NoServer` if it is in use."""
    port = asked_port(service.port_variable)
    if port is None:
        return free_ports(1)[0]
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "in use" if taken else (error.strerror or str(error))
        raise NoServer(f"port {port} is {why}: set {service.port_variable} to a free one") from None
    return port


async def until_healthy(instance: Container) -> None:
    """Wait until its own health check passes. Raises `NoServer` with its last log line."""
    async for waited_s in _waiting(instance):
        state = await asyncio.to_thread(container.state, instance)
        if state.status != "running" or state.health == "unhealthy":
            raise NoServer(f"the container is {state}: {container.last_words(instance)}")
        if await asyncio.to_thread(container.passes_its_check, instance):
            return
        if waited_s > _START_LIMIT_S:
            raise NoServer(f"not healthy after {waited_s:.0f} s: {container.last_words(instance)}")


async def until_serving(instance: Container, service: Service, port: int) -> None:
    """Wait until it answers at its published port. Raises `NoServer` with its last log line."""
    async for waited_s in _waiting(instance):
        if await service.answers(port):
            return
        if waited_s > _START_LIMIT_S:
            log = container.last_words(instance)
            raise NoServer(f"no answer at {HOST}:{port} after {waited_s:.0f} s: {log}")


async def _waiting(instance: Container) -> AsyncIterator[float]:
    """Yield the seconds waited at each poll, and log progress now and then."""
    began = time.monotonic()
    logged_s = 0.0
    while True:
        waited_s = time.monotonic() - began
        if waited_s > logged_s + _PROGRESS_S:
            logged_s = waited_s
            _LOG.info("%s: starting, %.0f s so far", instance.name, waited_s)
        yield waited_s
        await asyncio.sleep(max(_POLL_S, waited_s * _POLL_SHARE))


T = TypeVar("T")
_STOP_LIMIT_S = 60
_ELSEWHERE = "a container's data is in its volume, not on a disk of the lab's own"
_NO_CHECKS = {"interval": "1h"}
"""The lab checks health itself at the start; during a trial each check would cost CPU."""


class DockerServer:
    """One service's container. The lab removes it only if the lab started it."""

    controllable = True

    def __init__(
        self,
        service: Service,
        description: Description,
        changed: Described,
        *,
        scratch: Path,
        no_disk: str = _ELSEWHERE,
    ) -> None:
        """`no_disk`: why its volume is not on a disk of the lab's own; empty if it is to be."""
        self.technology, self.warm_up_s = service.technology, service.warm_up_s
        self._service, self._description = service, description
        self._changed, self._scratch = changed, scratch
        self._project = f"{project.RUN_PREFIX}{secrets.token_hex(4)}"
        self._no_disk = no_disk
        self._volume: DiskVolume | None = None
        if not no_disk:
            name = volume.volume_of(description.services()[service.technology])
            self._volume = DiskVolume(name, scratch / f"{self._project}-volume")
        self._connection = ExitStack()
        self._client: DockerClient | None = None
        self._container: Container | None = None
        self._version = ""
        self._adopted = False
        self._port = 0
        """Of a container that the run made, as is the listener for a relay."""
        self._for_relay: RelayListener | None = None
        self._ended_cpu_s = 0.0
        self._cpu_s = 0.0
        self._cores_before = ""

    @property
    def endpoint(self) -> Endpoint:
        """Its published port, with the container's id and its image's."""
        instance, service = _started(self._container), self._service
        return Endpoint(
            service.address(HOST, self.port),
            credentials=service.credentials(container.environment(instance)),
            provider="docker",
            version=self._version,
            image=f"{instance.attrs['Config']['Image']} {instance.attrs['Image']}",
            pid=instance.attrs["State"]["Pid"] or None,
            container=instance.id,
            for_relay=self._for_relay,
        )

    @property
    def port(self) -> int:
        """On the loopback interface of this machine."""
        instance, service = _started(self._container), self._service
        inside = service.inside_port
        asked = asked_port(service.port_variable)
        return container.published_port(instance, inside) or self._port or asked or inside

    @property
    def direct(self) -> Endpoint | None:
        """The container's own address, without the published port; `None` on the host's network."""
        host = container.inside_address(_started(self._container))
        if not host:
            return None
        return replace(
            self.endpoint, address=self._service.address(host, self._service.inside_port)
        )

    @property
    def proxied(self) -> bool:
        """Whether a process of the engine carries every byte between port and container."""
        return container.has_proxy(self.port)

    async def data_folder(self) -> DataFolder | None:
        """As the container sees it: a volume, a folder of the host's, memory, or its own layer."""
        instance = _started(self._container)
        path = Path(self._service.data_folder(container.environment(instance)))
        try:
            mounts = await self._call(lambda: container.mounts(instance))
        except NoServer:
            return None
        reachable = await asyncio.to_thread(container.outside, instance, path)
        return DataFolder(path, mounts, reachable) if mounts else None

    async def start(self) -> None:
        """Take the healthy container of `make up`, or make one and wait until it answers."""
        try:
            self._client = self._connection.enter_context(engine())
            instance = await self._call(self._of_make_up)
            self._adopted = instance is not None
            self._container = instance or await self._make()
            await self._until_it_answers()
            self._version = await self._call(self._read_version)
            if self._volume is not None:
                await self._settle(self._volume)
        except NoServer as error:
            raise NoServer(f"{self.technology}: docker: {error}") from None
        except (DiskFault, OSError) as error:
            raise NoServer(f"{self.technology}: its disk cannot be made: {error}") from None

    async def stop(self) -> None:
        """Remove what `start` made. A container of `make up` is left running."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            if self._adopted:
                with suppress(sdk().errors.APIError, OSError):  # `make down` while the lab ran
                    await asyncio.to_thread(self._give_back)
            else:
                await asyncio.to_thread(project.remove, client, self._project)
        finally:
            self._connection.close()
            if self._volume is not None:
                await self._volume.remove()

    def _give_back(self) -> None:
        instance = _started(self._container)
        _revive(instance)
        if self._cores_before:
            instance.update(cpuset_cpus=self._cores_before)

    async def restart(self, *, cold: bool = False) -> None:
        """Stop the server cleanly if it still runs, and start it on the same data."""
        instance = _started(self._container)
        folder = container.data_folder(instance)
        if cold and folder is None:
            raise UnsupportedByServer(
                f"{self.technology}: a cold restart needs to read the container's volume: run as "
                "root on the engine's own machine, or use --servers native"
            )
        await self._call(self._end_orderly)
        if cold and folder is not None:
            await asyncio.to_thread(drop_from_page_cache, folder)
        self._ended_cpu_s, self._cpu_s = self._ended_cpu_s + self._cpu_s, 0.0
        await self._call(instance.start)
        await self._until_it_answers()

    async def kill(self) -> None:
        """SIGKILL everything in the container and wait until it has ended."""
        self._look()
        await self._call(lambda: _kill(_started(self._container)))

    async def pause(self) -> None:
        """Freeze everything in the container."""
        await self._call(_started(self._container).pause)

    async def resume(self) -> None:
        """Unfreeze the container."""
        await self._call(_started(self._container).unpause)

    def why_not(self, kind: FaultKind) -> str:
        """A fault of the disk needs a volume on a disk of the lab's own."""
        return self._no_disk if kind.of_the_disk else ""

    async def lose_power(self) -> None:
        """Everything in it stands still, its disk loses what was not flushed, all is killed.

        It is stopped by signals: a container that the engine has frozen cannot be killed.
        """
        disk = self._own_disk(FaultKind.LOSE_POWER)
        self._look()
        instance = _started(self._container)
        root = await self._call(lambda: container.root(instance))
        if root is not None:
            tree.pause(root)
        disk.cut_power()
        await self._call(lambda: _kill(instance))
        await asyncio.to_thread(disk.bring_back)

    async def fill_disk(self) -> None:
        """Allocate what is left of its disk."""
        await asyncio.to_thread(self._own_disk(FaultKind.FILL_DISK).fill)

    async def free_disk(self) -> None:
        """Give the room back; a server that has ended starts again by `restart`."""
        await asyncio.to_thread(self._own_disk(FaultKind.FILL_DISK).free)

    def _own_disk(self, kind: FaultKind) -> LabDisk:
        if self._volume is None or self._no_disk:
            raise UnsupportedByServer(f"{self.technology}: no {kind}: {self.why_not(kind)}")
        return self._volume.disk

    async def _settle(self, made: DiskVolume) -> None:
        """Flush what was installed; go without the disk where the data is not on it."""
        instance = _started(self._container)
        path = Path(self._service.data_folder(container.environment(instance)))
        if made.holds(await asyncio.to_thread(container.outside, instance, path)):
            await asyncio.to_thread(made.disk.settle)
        else:
            self._no_disk = "the container's data is not in the volume that the lab gave it"

    async def pin(self, cores: frozenset[int]) -> None:
        """Limit the container to these cores; `stop` restores those of a container of `make up`."""
        instance = _started(self._container)
        self._cores_before = self._cores_before or container.cores(instance)
        await self._call(lambda: instance.update(cpuset_cpus=",".join(map(str, sorted(cores)))))

    def statistics(self) -> Statistics:
        """CPU over all restarts, memory now, bytes in the volume. Takes about 15 ms."""
        memory_bytes = self._look()
        return Statistics(
            cpu_s=self._ended_cpu_s + self._cpu_s,
            memory_bytes=memory_bytes,
            disk_bytes=container.data_bytes(_started(self._container)),
            began_s=container.began_s(_started(self._container)),
        )

    def _of_make_up(self) -> Container | None:
        if self._changed or self._volume is not None:
            return None  # settings, and a disk, need a container of the run's own
        name = project.name()
        instances = containers(_started(self._client), project=name, service=self.technology)
        for each in instances:
            state = container.state(each)
            if str(state) not in ("healthy", "starting", "running"):
                raise NoServer(
                    f"project {name!r} holds a container that is {state} "
                    f"({container.last_words(each)}); `make down` removes it"
                )
        return instances[0] if instances else None

    async def _make(self) -> Container:
        if self._volume is not None:
            await asyncio.to_thread(self._volume.make)
        self._port = free_port(self._service)
        await compose.up(
            self._description,
            [self.technology],
            project=self._project,
            environment={
                self._service.port_variable: str(self._port),
                "ESLAB_STARTED_BY": f"{project.RUN} {os.getpid()}",
            },
            changed={self.technology: {**self._with_listener(), "healthcheck": _NO_CHECKS}},
            volumes=self._volume.described if self._volume else {},
            scratch=self._scratch,
        )
        client = _started(self._client)
        instances = await self._call(lambda: containers(client, project=self._project))
        if self._volume is not None:
            self._volume.used_by(str(instances[0].id))
        return instances[0]

    def _with_listener(self) -> Described:
        """What the run changes in its description, with a listener for a relay if it has one."""
        port, relay_port = free_ports(2)
        described = self._description.services()[self.technology]
        more = self._service.relayed(described, port, relay_port)
        if more is None:
            return self._changed
        self._for_relay = RelayListener(self._service.address(HOST, port), relay_port)
        environment = {**self._changed.get("environment", {}), **more["environment"]}
        return {**self._changed, **more, "environment": environment}

    async def _until_it_answers(self) -> None:
        instance = _started(self._container)
        await until_healthy(instance)
        await until_serving(instance, self._service, self.port)

    def _read_version(self) -> str:
        instance = _started(self._container)
        if not self._service.version:
            return str(instance.attrs["Config"]["Image"].rpartition(":")[2])
        printed = instance.exec_run(list(self._service.version)).output.decode()
        return next((w for w in str(printed).split() if w[0].isdigit()), "")

    def _end_orderly(self) -> None:
        self._look()
        instance = _started(self._container)
        _revive(instance, start=False)
        instance.stop(timeout=_STOP_LIMIT_S)

    def _look(self) -> int | None:
        """Its memory. Also stores its CPU time, which a restarted container counts from zero."""
        try:
            seen = _started(self._container).stats(stream=False, one_shot=True)
        except (sdk().errors.APIError, ValueError):  # it has ended, or is ending
            return None
        # An ended container reports zero, but CPU time that was used never shrinks.
        self._cpu_s = max(self._cpu_s, container.cpu_s(seen) or 0.0)
        return container.memory_bytes(seen)

    async def _call(self, work: Callable[[], T]) -> T:
        """Run it in a thread; raises `NoServer` for an error of the engine."""
        try:
            return await asyncio.to_thread(work)
        except sdk().errors.APIError as error:
            raise NoServer(f"{error.explanation or error}") from None


def _kill(instance: Container) -> None:
    _revive(instance, start=False)  # the engine does not kill what it has frozen
    if container.state(instance).status == "running":
        instance.kill()
        instance.wait()


def _revive(instance: Container, *, start: bool = True) -> None:
    status = container.state(instance).status
    if status == "paused":
        instance.unpause()
    elif status == "exited" and start:
        instance.start()


def _started(part: T | None) -> T:
    assert part is not None, "the server was not started"
    return part


@dataclass(frozen=True, slots=True)
class Docker:
    """Ready if the engine answers and the image is present: a run never pulls one."""

    service: Service

    @property
    def technology(self) -> str:
        return self.service.technology

    def probe(self) -> Availability:
        """Whether a container could be started now."""
        try:
            description = self._description()
        except NoServer as error:
            return Availability(self.technology, "docker", ready=False, detail=str(error))
        image = description.services()[self.technology]["image"]
        version = image.rpartition(":")[2]
        return Availability(self.technology, "docker", ready=True, detail=image, version=version)

    def server(
        self,
        *,
        scratch: Path,
        settings: Mapping[str, str],
        on_lab_disk: bool = False,
    ) -> Server:
        """The container of `make up`, or one of the lab's own."""
        service, description = self.service, self._description()
        described = description.services()[self.technology]
        changed = service.changed(described, settings) if settings else {}
        no_disk = _ELSEWHERE
        if on_lab_disk:
            with engine() as client:
                no_disk = volume.hindrance(client, described)
        return DockerServer(service, description, changed, scratch=scratch, no_disk=no_disk)

    def _description(self) -> compose.Description:
        with engine() as client:
            compose.command()
            return usable(client, self.technology)


def usable(client: DockerClient, technology: str) -> compose.Description:
    """The description whose image of a technology is present: official, else built here.

    Raises `NoServer` with the command that would get the image.
    """
    candidates = (compose.official(), compose.built())
    for description in candidates:
        if has_image(client, description.services()[technology]["image"]):
            return description
    wanted, other = (each.services()[technology]["image"] for each in candidates)
    instead = f", `make images` builds {other}" if other != wanted else ""
    raise NoServer(f"no image {wanted} here: `make up` pulls it{instead}")

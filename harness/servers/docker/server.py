"""A server in a container: that of `make up`, or one of a run's own in a project of its own."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.errors import NoServer
from harness.servers.docker import compose, container, project, waiting
from harness.servers.docker.compose import Described, Description
from harness.servers.docker.engine import containers, engine, sdk
from harness.servers.docker.services import HOST, Service
from harness.servers.files import drop_from_page_cache
from harness.servers.protocol import Statistics, UnsupportedByServer
from harness.store import Endpoint

if TYPE_CHECKING:
    from docker.client import DockerClient
    from docker.models.containers import Container

T = TypeVar("T")
_STOP_LIMIT_S = 60
_NO_CHECKS = {"interval": "1h"}
"""The lab asks by itself while a server starts; later each check would cost the server CPU."""


class DockerServer:
    """One service's container. What the lab did not start it does not remove."""

    controllable = True

    def __init__(
        self, service: Service, description: Description, changed: Described, *, scratch: Path
    ) -> None:
        self.technology, self.warm_up_s = service.technology, service.warm_up_s
        self._service, self._description = service, description
        self._changed, self._scratch = changed, scratch
        self._project = f"{project.RUN_PREFIX}{secrets.token_hex(4)}"
        self._connection = ExitStack()
        self._client: DockerClient | None = None
        self._container: Container | None = None
        self._version = ""
        self._adopted = False
        self._ended_cpu_s = 0.0
        self._cpu_s = 0.0
        self._cores_before = ""

    @property
    def endpoint(self) -> Endpoint:
        """Its published port, with the container's id and its image's."""
        found, service = _started(self._container), self._service
        return Endpoint(
            service.address(HOST, self.port),
            credentials=service.credentials(container.environment(found)),
            provider="docker",
            version=self._version,
            image=f"{found.attrs['Config']['Image']} {found.attrs['Image']}",
            pid=found.attrs["State"]["Pid"] or None,
            container=found.id,
        )

    @property
    def port(self) -> int:
        """On the loopback interface of this machine."""
        found, service = _started(self._container), self._service
        inside = service.inside_port
        asked = waiting.asked_port(service.port_variable)
        return container.published_port(found, inside) or asked or inside

    @property
    def direct(self) -> Endpoint | None:
        """The container's own address, past every published port; `None` on the host's network."""
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

    async def start(self) -> None:
        """Take the healthy container of `make up`, or make one and wait until it answers."""
        try:
            self._client = self._connection.enter_context(engine())
            found = await self._call(self._of_make_up)
            self._adopted = found is not None
            self._container = found or await self._make()
            await self._until_it_answers()
            self._version = await self._call(self._read_version)
        except NoServer as error:
            raise NoServer(f"{self.technology}: docker: {error}") from None

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

    def _give_back(self) -> None:
        found = _started(self._container)
        _revive(found)
        if self._cores_before:
            found.update(cpuset_cpus=self._cores_before)

    async def restart(self, *, cold: bool = False) -> None:
        """Stop in an orderly way what still runs, and start on the same data."""
        found = _started(self._container)
        folder = container.data_folder(found)
        if cold and folder is None:
            raise UnsupportedByServer(
                f"{self.technology}: a cold restart needs to read the container's volume: run as "
                "root on the engine's own machine, or use --servers native"
            )
        await self._call(self._end_orderly)
        if cold and folder is not None:
            await asyncio.to_thread(drop_from_page_cache, folder)
        self._ended_cpu_s, self._cpu_s = self._ended_cpu_s + self._cpu_s, 0.0
        await self._call(found.start)
        await self._until_it_answers()

    async def kill(self) -> None:
        """SIGKILL everything in the container and wait until it has gone."""
        self._look()
        await self._call(lambda: _kill(_started(self._container)))

    async def pause(self) -> None:
        """Freeze everything in the container."""
        await self._call(_started(self._container).pause)

    async def resume(self) -> None:
        """Let it go on."""
        await self._call(_started(self._container).unpause)

    async def pin(self, cores: frozenset[int]) -> None:
        """Limit the container to these cores; one of `make up` gets its own back at the end."""
        found = _started(self._container)
        self._cores_before = self._cores_before or container.cores(found)
        await self._call(lambda: found.update(cpuset_cpus=",".join(map(str, sorted(cores)))))

    def statistics(self) -> Statistics:
        """CPU over all restarts, memory now, bytes in the volume. Takes about 15 ms."""
        memory_bytes = self._look()
        return Statistics(
            cpu_s=self._ended_cpu_s + self._cpu_s,
            memory_bytes=memory_bytes,
            disk_bytes=container.data_bytes(_started(self._container)),
        )

    def _of_make_up(self) -> Container | None:
        if self._changed:
            return None  # settings are for a container of the run's own
        name = project.name()
        found = containers(_started(self._client), project=name, service=self.technology)
        for each in found:
            state = container.state(each)
            if str(state) not in ("healthy", "starting", "running"):
                raise NoServer(
                    f"project {name!r} holds a container that is {state} "
                    f"({container.last_words(each)}); `make down` removes it"
                )
        return found[0] if found else None

    async def _make(self) -> Container:
        port = waiting.free_port(self._service)
        await compose.up(
            self._description,
            [self.technology],
            project=self._project,
            environment={
                self._service.port_variable: str(port),
                "ESLAB_STARTED_BY": f"{project.RUN} {os.getpid()}",
            },
            changed={self.technology: {**self._changed, "healthcheck": _NO_CHECKS}},
            scratch=self._scratch,
        )
        client = _started(self._client)
        found = await self._call(lambda: containers(client, project=self._project))
        return found[0]

    async def _until_it_answers(self) -> None:
        found = _started(self._container)
        await waiting.until_healthy(found)
        await waiting.until_serving(found, self._service, self.port)

    def _read_version(self) -> str:
        found = _started(self._container)
        if not self._service.version:
            return str(found.attrs["Config"]["Image"].rpartition(":")[2])
        printed = found.exec_run(list(self._service.version)).output.decode()
        return next((w for w in str(printed).split() if w[0].isdigit()), "")

    def _end_orderly(self) -> None:
        self._look()
        found = _started(self._container)
        _revive(found, start=False)
        found.stop(timeout=_STOP_LIMIT_S)

    def _look(self) -> int | None:
        """Its memory; and remember its CPU, which a restarted container counts from zero again."""
        try:
            seen = _started(self._container).stats(stream=False, one_shot=True)
        except (sdk().errors.APIError, ValueError):  # it has gone, or is just going
            return None
        # A container that has ended says zero: what it used is never taken back.
        self._cpu_s = max(self._cpu_s, container.cpu_s(seen) or 0.0)
        return container.memory_bytes(seen)

    async def _call(self, work: Callable[[], T]) -> T:
        """Do it off the event loop; what the engine refuses is a `NoServer`."""
        try:
            return await asyncio.to_thread(work)
        except sdk().errors.APIError as error:
            raise NoServer(f"{error.explanation or error}") from None


def _kill(found: Container) -> None:
    _revive(found, start=False)  # the engine does not kill what it has frozen
    if container.state(found).status == "running":
        found.kill()
        found.wait()


def _revive(found: Container, *, start: bool = True) -> None:
    status = container.state(found).status
    if status == "paused":
        found.unpause()
    elif status == "exited" and start:
        found.start()


def _started(part: T | None) -> T:
    assert part is not None, "the server was not started"
    return part

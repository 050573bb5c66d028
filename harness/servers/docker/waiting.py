"""Waiting for a container: a free port before it, its health, and an answer through its port."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from harness.errors import BadInput, NoServer
from harness.servers.docker import container as inside
from harness.servers.docker.services import HOST, Service
from harness.servers.ports import free_ports

if TYPE_CHECKING:
    from docker.models.containers import Container

_LOG = logging.getLogger(__name__)
_START_LIMIT_S = 120.0
_POLL_S = 0.05
_PROGRESS_S = 2.0
_PORT_MAX = 65535


def asked_port(variable: str) -> int | None:
    """The host port that the user asked for. Raises `BadInput` for what is none."""
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text) <= _PORT_MAX:
        raise BadInput(f"{variable}: {text!r} is no port number")
    return int(text)


def free_port(service: Service) -> int:
    """The host port that the user asked for, or any. Raises `NoServer` where it is taken."""
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


async def until_healthy(container: Container) -> None:
    """Until its own health check holds. Raises `NoServer` with its last words."""
    async for waited_s in _waiting(container):
        state = await asyncio.to_thread(inside.state, container)
        if state.status != "running" or state.health == "unhealthy":
            raise NoServer(f"the container is {state}: {inside.last_words(container)}")
        if await asyncio.to_thread(inside.passes_its_check, container):
            return
        if waited_s > _START_LIMIT_S:
            raise NoServer(f"not healthy after {waited_s:.0f} s: {inside.last_words(container)}")


async def until_serving(container: Container, service: Service, port: int) -> None:
    """Until it answers through its published port. Raises `NoServer` with its last words."""
    async for waited_s in _waiting(container):
        if await service.answers(port):
            return
        if waited_s > _START_LIMIT_S:
            raise NoServer(
                f"no answer at {HOST}:{port} after {waited_s:.0f} s: {inside.last_words(container)}"
            )


async def _waiting(container: Container) -> AsyncIterator[float]:
    """Seconds waited so far, again and again, with a line of progress now and then."""
    began = time.monotonic()
    told_s = 0.0
    while True:
        waited_s = time.monotonic() - began
        if waited_s > told_s + _PROGRESS_S:
            told_s = waited_s
            _LOG.info("%s: starting, %.0f s so far", container.name, waited_s)
        yield waited_s
        await asyncio.sleep(_POLL_S)

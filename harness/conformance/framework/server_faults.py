"""Faults on the way to a server and in it: a network that fails on command, and restarts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, runtime_checkable

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import NotReached, OutOfReach, Step
from harness.domain.errors import StoreError
from harness.domain.server import Server
from harness.domain.store import Endpoint
from harness.servers import TECHNOLOGIES
from harness.servers.path.relaying import NO_NETWORK, relayed, why_no_relay


class Network(Protocol):
    """A way to the server that fails on command; each command returns when it is in force."""

    @property
    def endpoint(self) -> Endpoint:
        """Where clients connect who go this way."""
        ...

    async def cut(self) -> None:
        """Nothing passes either way, and connections stay open; what waits passes afterwards."""
        ...

    async def reset(self) -> None:
        """Every connection breaks, and what was under way in it is lost."""
        ...

    async def lose_answers(self, *, after: int = 0) -> None:
        """Requests arrive, answers do not, once `after` more pieces of answers have passed."""
        ...

    async def restore(self) -> None:
        """All is well again; connections that lost answers break."""
        ...


@runtime_checkable
class Networked(Protocol):
    """A server that brings a network of its own."""

    def network(self) -> AbstractAsyncContextManager[Network]:
        """A way to it for those who connect at the network's endpoint."""
        ...


def why_no_network(context: CheckContext) -> str:
    """Why clients of the store cannot go through a network of the lab's; empty if they can."""
    server = context.server
    if server is None:
        return NO_NETWORK
    if isinstance(server, Networked):
        return ""
    if server.technology not in TECHNOLOGIES:
        return "the lab does not know the addresses of its server"
    line = TECHNOLOGIES[server.technology].line
    return why_no_relay(line, server.endpoint)


@asynccontextmanager
async def network_to(context: CheckContext) -> AsyncIterator[Network]:
    """A network between the store's server and those who connect at its endpoint.

    Only they are hurt. Raises `OutOfReach` where there can be none.
    """
    if reason := why_no_network(context):
        raise OutOfReach(reason)
    server = context.server
    assert server is not None
    if isinstance(server, Networked):
        async with server.network() as own:
            yield own
        return
    line = TECHNOLOGIES[server.technology].line
    async with relayed(server.technology, line, server.endpoint) as relay:
        yield relay


async def restart(context: CheckContext, server: Server) -> Step:
    """Restart the server; a line of evidence. Raises `NotReached` if nothing proves the restart.

    Another process answers after a restart. If the server does not report its process, the
    connection must have been lost.
    """
    step = Step("the lab", "restarted the server", at_ms=context.at_ms())
    context.steps.append(step)
    before = server.endpoint.pid
    await server.restart()
    if server.endpoint.pid == before and not await _lost(context):
        raise NotReached("the same process answers after the restart, over the same connection")
    return step


async def _lost(context: CheckContext) -> bool:
    """Whether the check's connection is lost."""
    return isinstance(await context.try_append(context.stream(), context.events()), StoreError)

"""Servers that the user already has: found by an address, never started, stopped or hurt."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import BadInput, NoServer
from harness.servers.protocol import Availability, Server, Statistics, UnsupportedByServer
from harness.store import Endpoint

_PROBE_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Address:
    """What an environment variable said, its secrets set apart."""

    address: str
    """Without secrets."""
    hosts: tuple[tuple[str, int], ...]
    """Where to knock: host and port, or the path of a unix socket and 0."""
    credentials: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class External:
    """The way `external` of one technology: the variable that names a server, and its grammar."""

    technology: str
    variable: str
    parse: Callable[[str], Address]
    """Raises `ValueError` with what is wrong, never with the text itself."""

    def probe(self) -> Availability:
        """Whether somebody listens at the address; says nothing about credentials."""
        if not os.environ.get(self.variable):
            advice = f"set {self.variable}"
            return Availability(self.technology, "external", ready=False, detail=advice)
        address = self._address()
        reason = _unreachable(address)
        detail = f"{self.variable}: " + (reason or ", ".join(map(_shown, address.hosts)))
        return Availability(
            self.technology, "external", ready=not reason, detail=detail, named=True
        )

    def server(self, *, scratch: Path, settings: Mapping[str, str]) -> Server:
        """The server at the address. Its settings are its owner's."""
        del scratch  # nothing of somebody else's server is kept here
        if not os.environ.get(self.variable):
            raise NoServer(f"{self.technology}: set {self.variable}")
        if settings:
            raise NoServer(
                f"{self.technology}: the lab cannot set {', '.join(settings)} on the server that "
                f"{self.variable} names; take the settings out of the scenario or use "
                "--servers native"
            )
        return ExternalServer(self.technology, self.variable, self._address())

    def _address(self) -> Address:
        try:
            return self.parse(os.environ[self.variable])
        except ValueError as error:
            raise BadInput(f"{self.variable}: {error}") from None


class ExternalServer:
    """Somebody else's server: an address, and nothing that the lab may do to it."""

    controllable = False
    warm_up_s = 0.0

    def __init__(self, technology: str, variable: str, address: Address) -> None:
        self.technology = technology
        self._variable, self._address = variable, address

    @property
    def endpoint(self) -> Endpoint:
        """The address, with what is secret in `credentials`."""
        return Endpoint(
            self._address.address, credentials=self._address.credentials, provider="external"
        )

    async def start(self) -> None:
        """Knock. Raises `NoServer` if nobody opens."""
        reason = await asyncio.to_thread(_unreachable, self._address)
        if reason:
            raise NoServer(f"{self.technology}: {self._variable}: {reason}")

    async def stop(self) -> None:
        """Nothing to do: nothing was made."""

    async def restart(self, *, cold: bool = False) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal("cold restart" if cold else "restart")

    async def kill(self) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal("kill")

    async def pause(self) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal("pause")

    async def resume(self) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal("resume")

    async def pin(self, cores: frozenset[int]) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal(f"pinning to {len(cores)} cores")

    def statistics(self) -> Statistics:
        """None of them can be had from outside."""
        return Statistics(None, None, None)

    def _refusal(self, what: str) -> UnsupportedByServer:
        return UnsupportedByServer(
            f"{self.technology}: no {what} of an external server ({self._variable})"
        )


def _unreachable(address: Address) -> str:
    """Why nobody answers at any of the hosts, or an empty string if somebody does."""
    reasons = []
    for host in address.hosts:
        try:
            _knock(*host)
        except OSError as error:
            reasons.append(f"nobody answers at {_shown(host)} ({error.strerror or error})")
        else:
            return ""
    return "; ".join(reasons)


def _knock(host: str, port: int) -> None:
    if port:
        socket.create_connection((host, port), timeout=_PROBE_LIMIT_S).close()
        return
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.settimeout(_PROBE_LIMIT_S)
        knocking.connect(host)


def _shown(host: tuple[str, int]) -> str:
    name, port = host
    return f"{name}:{port}" if port else name

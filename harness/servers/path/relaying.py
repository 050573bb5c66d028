"""A relay on the path to a server: it makes the path longer, and fails on command."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from harness.domain.errors import LabError, NoServer
from harness.domain.proxies import proxy_to
from harness.domain.store import Endpoint
from harness.servers.local import clean_environment
from harness.servers.path.round_trip import Line

_SCRIPT = Path(__file__).with_name("relay.py")
_SECURE = ("https:", "grpcs:")
_ANSWER_LIMIT_S = 5.0
NO_NETWORK = "it has no network: it lives in its client's own process"


class Relay:
    """A process that carries every byte between the clients and a server, and obeys the lab.

    Each command returns when it is in force. `restore` takes back whatever came before it.
    """

    def __init__(self, process: asyncio.subprocess.Process, line: Line, endpoint: Endpoint) -> None:
        self._process, self._line = process, line
        self._one_at_a_time = asyncio.Lock()
        self.endpoint = endpoint
        """Where clients connect; it stays while the server's own address changes."""

    async def cut(self) -> None:
        """Nothing passes either way, and connections stay open; what waits passes afterwards."""
        await self._command("cut")

    async def reset(self) -> None:
        """Every connection breaks, and what was under way in it is lost; new ones are accepted."""
        await self._command("reset")

    async def lose_answers(self, *, after: int = 0) -> None:
        """Requests arrive, answers do not, once `after` more pieces of answers have passed.

        `restore` breaks the connections that lost some.
        """
        await self._command(f"lose {after}")

    async def slow(self, rtt_ms: float) -> None:
        """Each round trip takes that much longer than the path's own delay; 0 ends it."""
        await self._command(f"slow {rtt_ms!r}")

    async def restore(self) -> None:
        """Carry everything again, with the path's own delay."""
        await self._command("restore")

    async def lengthen(self, rtt_ms: float) -> None:
        """The path's own delay from now on."""
        await self._command(f"length {rtt_ms!r}")

    async def target(self, endpoint: Endpoint) -> None:
        """Make new connections to the server's new address, as after a restart."""
        host, port = _place(self._line, endpoint)
        await self._command(f"target {port} {host}")

    async def connections(self) -> int:
        """How many clients' connections it has accepted so far."""
        return int(await self._command("connections"))

    async def _command(self, command: str) -> str:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        async with self._one_at_a_time:
            try:
                stdin.write(f"{command}\n".encode())
                await stdin.drain()
                async with asyncio.timeout(_ANSWER_LIMIT_S):
                    answer = await stdout.readline()
            except (OSError, TimeoutError):
                answer = b""
        if not answer:
            raise LabError(f"the relay did not answer {command.partition(' ')[0]!r}")
        return answer.decode().strip()


def why_no_relay(line: Line | None, endpoint: Endpoint) -> str:
    """Why no relay can be put between the server and its clients; empty if one can."""
    if line is None:
        return NO_NETWORK
    if reason := line.unfit(endpoint):
        return reason
    if endpoint.address.startswith(_SECURE):
        return "a relay has no certificate for the server"
    if proxy_to(endpoint.address):
        return "a relay would go past the proxy"
    if len(line.parse(endpoint.address).hosts) > 1:
        return "a relay leads to one host, and the address names several"
    return ""


@asynccontextmanager
async def relayed(
    technology: str, line: Line | None, endpoint: Endpoint, rtt_ms: float = 0
) -> AsyncIterator[Relay]:
    """A relay to the endpoint that adds `rtt_ms` to a round trip, half of it each way.

    It is a process of its own, so that its work is not the generator's. Raises `NoServer` where
    the technology's clients cannot use one.
    """
    reason = why_no_relay(line, endpoint)
    if line is None or reason:
        raise NoServer(f"{technology}: no relay on its path: {reason}")
    host, port = _place(line, endpoint)
    listen = endpoint.for_relay.advertised_port if endpoint.for_relay else 0
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(_SCRIPT), host, str(port), repr(rtt_ms), str(listen)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=clean_environment(),
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        listening = await process.stdout.readline()
        if not listening:
            raise NoServer(f"{technology}: no relay could be started")
        address = line.through(endpoint.address, int(listening))
        yield Relay(process, line, replace(endpoint, address=address, for_relay=None))
    finally:
        process.stdin.close()
        await process.wait()


def _place(line: Line, endpoint: Endpoint) -> tuple[str, int]:
    """Where the server listens for a relay."""
    address = endpoint.for_relay.address if endpoint.for_relay else endpoint.address
    return line.parse(address).hosts[0]

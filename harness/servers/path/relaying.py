"""The lab's end of a relay: an endpoint whose every round trip takes so much longer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from harness.errors import NoServer
from harness.servers.path.lines import LINES
from harness.servers.spawn import clean_environment
from harness.store import Endpoint

_SCRIPT = Path(__file__).with_name("relay.py")
_MS_A_SECOND = 1_000


@asynccontextmanager
async def delayed(technology: str, endpoint: Endpoint, rtt_ms: float) -> AsyncIterator[Endpoint]:
    """The endpoint by way of a relay that adds `rtt_ms` to a round trip, half of it each way.

    A process of its own, so that its work is not the generator's. Raises `NoServer` where the
    technology's clients cannot be led through one.
    """
    line = LINES.get(technology)
    through = line.through if line else "the lab does not know its addresses"
    if line is None or isinstance(through, str):
        raise NoServer(f"{technology}: path.rtt_ms: {through}")
    if endpoint.address.startswith("https:"):
        raise NoServer(f"{technology}: path.rtt_ms: a relay has no certificate for the server")
    host, port = line.parse(endpoint.address).hosts[0]
    late_s = rtt_ms / 2 / _MS_A_SECOND
    relay = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(_SCRIPT), host, str(port), repr(late_s)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=clean_environment(),
        start_new_session=True,
    )
    assert relay.stdin is not None
    assert relay.stdout is not None
    try:
        local = int(await relay.stdout.readline())
        yield replace(endpoint, address=through(endpoint.address, local))
    finally:
        relay.stdin.close()
        await relay.wait()

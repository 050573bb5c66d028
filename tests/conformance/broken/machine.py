"""A memory store that can be restarted, killed and paused like a server: healthy, to be broken."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from harness.domain.durability import Durability
from harness.domain.errors import OutcomeUnknown, ReadFailed
from harness.domain.store import Endpoint
from harness.stores.memory.store import MemoryStore, logs

HASTE_S = 0.2
"""How long an append waits for a machine that stands still."""


class Machine:
    """The server of one namespace and of those whose names begin with it."""

    controllable = True

    def __init__(self, namespace: str) -> None:
        self.endpoint = Endpoint(namespace=namespace, pid=0)
        self.up = asyncio.Event()
        self.up.set()
        self.restarts = 0
        self.killed = False

    def logs(self):
        """What it keeps."""
        name = self.endpoint.namespace
        return [log for each, log in logs.items() if each.startswith(name)]

    async def restart(self, *, cold=False):
        self.restarts += 1
        self.endpoint = replace(self.endpoint, pid=self.restarts)
        self.up.set()
        for log in self.logs():
            log.appended.ring()

    async def kill(self):
        self.killed = True
        self.up.clear()

    async def pause(self):
        self.up.clear()

    async def resume(self):
        self.up.set()


class Served(MemoryStore):
    """Everything kept, whatever happens to the machine; connections are lost at a restart."""

    machine: Machine

    @classmethod
    def declares(cls, options):
        return replace(super().declares(options), durability=Durability.PROCESS_CRASH)

    async def append(self, stream, events, *, expected):
        if not self.machine.up.is_set():
            result = self.log.append(stream, events, expected)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.machine.up.wait(), HASTE_S)
                return result
            raise OutcomeUnknown("no answer")
        return await super().append(stream, events, expected=expected)

    async def subscribe(self, *, after=None, category=None):
        restarts = self.machine.restarts
        async for event in super().subscribe(after=after, category=category):
            if self.machine.restarts != restarts:
                raise ReadFailed("the connection was lost")
            yield event

"""A memory store that can be restarted, killed and paused like a server: healthy, to be broken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from harness.domain.durability import Durability
from harness.domain.errors import NotWritten, OutcomeUnknown, OutOfResources, ReadFailed
from harness.domain.store import Endpoint
from harness.stores.memory.store import MemoryStore, logs

RECOVERY_S = 0.02
HASTE_S = 0.2
"""How long an append waits for a machine that stands still."""


@dataclass
class Wire:
    """A network: what is sent while it is cut waits in it."""

    endpoint: Endpoint
    is_cut: bool = False
    loses_answers: bool = False
    waiting: list[Callable[[], None]] = field(default_factory=list)
    """What arrives when it is restored."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Of the present fault: set when it ends."""

    async def cut(self):
        self.is_cut, self.changed = True, asyncio.Event()

    async def reset(self):
        self.waiting.clear()

    async def lose_answers(self, *, after=0):
        self.loses_answers, self.changed = not after, asyncio.Event()

    async def restore(self):
        self.is_cut = self.loses_answers = False
        for arrive in self.waiting:
            arrive()
        self.waiting.clear()
        self.changed.set()


class Machine:
    """The server of one namespace and of those whose names begin with it."""

    controllable = True

    def __init__(self, namespace: str) -> None:
        self.endpoint = Endpoint(namespace=namespace, pid=0)
        self.up = asyncio.Event()
        self.up.set()
        self.restarts = 0
        self.killed = False
        self.marks = {}
        self.full = False
        self.recovering = False
        self.wire = Wire(replace(self.endpoint, address="over the network"))

    @asynccontextmanager
    async def network(self):
        """The way to it for those who connect at the network's endpoint."""
        yield self.wire
        await self.wire.restore()

    def logs(self):
        """What it keeps."""
        name = self.endpoint.namespace
        return [log for each, log in logs.items() if each.startswith(name)]

    async def restart(self, *, cold=False):
        self.recovering = True
        await asyncio.sleep(RECOVERY_S)
        self.recovering = False
        self.restarts += 1
        self.endpoint = replace(self.endpoint, pid=self.restarts)
        self.up.set()
        self.mark("a start")
        for log in self.logs():
            log.appended.ring()

    def mark(self, what):
        """Remember how long each log is when this happens."""
        self.marks.setdefault(what, []).append({log: len(log) for log in self.logs()})

    def lengths(self, what, log):
        """How long a log was, each time that this happened."""
        return [lengths[log] for lengths in self.marks.get(what, []) if log in lengths]

    async def kill(self):
        self.mark("a kill in a recovery" if self.recovering else "a kill")
        self.killed = True
        self.up.clear()

    def why_not(self, kind):
        return ""

    async def lose_power(self):
        self.mark("a power loss")
        await self.kill()

    async def fill_disk(self):
        self.full = True

    async def free_disk(self):
        self.full = False

    async def pause(self):
        self.up.clear()

    async def resume(self):
        self.up.set()


class Served(MemoryStore):
    """Everything kept, whatever happens to the machine; connections are lost at a restart."""

    machine: Machine
    wire: Wire | None = None
    """The network of its own connection, where it goes over one."""

    @classmethod
    async def connect(cls, endpoint, options):
        store = await super().connect(endpoint, options)
        if endpoint.address == cls.machine.wire.endpoint.address:
            store.wire = cls.machine.wire
        return store

    @classmethod
    def declares(cls, options):
        return replace(super().declares(options), durability=Durability.PROCESS_CRASH)

    async def append(self, stream, events, *, expected):
        if self.machine.full:
            raise OutOfResources("no room left on the disk")
        if self.wire and self.wire.is_cut:
            return await self.append_over_a_cut(stream, events, expected)
        if self.wire and self.wire.loses_answers:
            return await self.append_unanswered(stream, events, expected)
        if not self.machine.up.is_set():
            result = self.log.append(stream, events, expected)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.machine.up.wait(), HASTE_S)
                return result
            raise OutcomeUnknown("no answer")
        return await super().append(stream, events, expected=expected)

    async def append_over_a_cut(self, stream, events, expected):
        """It is in the network until that is restored, and nobody waits for it that long."""

        def arrive():
            with suppress(NotWritten):
                self.log.append(stream, events, expected)

        self.wire.waiting.append(arrive)
        await asyncio.sleep(HASTE_S)
        raise OutcomeUnknown("no answer")

    async def append_unanswered(self, stream, events, expected):
        """It is written, or not, and the answer is lost."""
        with suppress(NotWritten):
            self.log.append(stream, events, expected)
        await asyncio.sleep(HASTE_S)
        raise OutcomeUnknown("no answer")

    async def subscribe(self, *, after=None, category=None):
        restarts = self.machine.restarts
        async for event in super().subscribe(after=after, category=category):
            if self.machine.restarts != restarts:
                raise ReadFailed("the connection was lost")
            yield event

"""Carrying out a trial's faults while its load runs: each at its time, with its true times kept.

What a way, a machine or a store cannot do is not reached, with the reason, and the trial goes on
without it. What should have been possible and failed makes the trial invalid.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise

from harness.domain.cancellation import raise_if_cancelled
from harness.domain.faults import Fault, FaultKind
from harness.domain.server import Server, UnsupportedByServer
from harness.load.pacing import NS_A_SECOND
from harness.scenario.faults import NETWORK_KINDS, PLACES
from harness.servers.path.relaying import Relay

IN_PROCESS = "the store has no server: it is a library in the lab's own process"
DESTRUCTIVE = frozenset({FaultKind.KILL_SERVER, FaultKind.LOSE_POWER})
"""The server starts again after these."""
MAY_CRASH = DESTRUCTIVE | {FaultKind.FILL_DISK}
"""After these a server may have lost what its class allows: some crash on a full disk."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What the faults of one trial hit."""

    server: Server | None
    relay: Relay | None = None
    no_relay: str = "its clients reach it without a relay"
    """Why there is none."""

    def why_not(self, kind: FaultKind) -> str:
        """Why a fault cannot be carried out here, in one line; empty where it can."""
        if self.server is None:
            return IN_PROCESS
        if kind in NETWORK_KINDS:
            return "" if self.relay else self.no_relay
        return self.server.why_not(kind)


@dataclass(slots=True)
class Occurrence:
    """What became of a planned fault. Times are ns on the monotonic clock."""

    fault: Fault
    why_not: str = ""
    """Why it was not reached, or what failed."""
    failed: bool = False
    """It should have been possible."""
    began_ns: int | None = None
    ended_ns: int | None = None
    """When taking it back began; of a reset, when it was over."""
    back_ns: int | None = None
    """When it was taken back: the killed server answers again."""
    connections: int | None = None
    """Made from its begin to that of the next fault, where a relay counts them."""

    @property
    def carried_out(self) -> bool:
        """Whether it happened as planned."""
        return self.back_ns is not None and not self.failed

    def __str__(self) -> str:
        return f"{self.fault}: {self.why_not}" if self.why_not else str(self.fault)


def failure(occurrences: Iterable[Occurrence]) -> str:
    """The first fault that failed, and why; empty where none did."""
    return next((str(each) for each in occurrences if each.failed), "")


def hurt(occurrences: Iterable[Occurrence]) -> frozenset[FaultKind]:
    """The kinds that happened and after which a server may have lost something."""
    begun = {each.fault.kind for each in occurrences if each.began_ns is not None}
    return frozenset(begun & MAY_CRASH)


class FaultRun:
    """The faults of one trial, each in a task of its own; `occurrences` are filled in meanwhile."""

    def __init__(
        self,
        faults: Sequence[Fault],
        targets: Targets,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.occurrences = [Occurrence(fault, targets.why_not(fault.kind)) for fault in faults]
        self._targets, self._clock = targets, clock
        self._busy: dict[str, Fault] = {}
        self._connected: list[tuple[Occurrence, int]] = []
        """How many connections there had been when each began."""
        self._down = False
        """The server did not start again."""
        self._over = asyncio.Event()
        """The load has ended before its time: what has begun is taken back, and no more begins."""

    @property
    def server_is_down(self) -> bool:
        """Whether the trial left a server that does not answer."""
        return self._down

    @asynccontextmanager
    async def during(self, start_ns: int) -> AsyncIterator[None]:
        """Carry them out from `start_ns` on; afterwards all are taken back."""
        reachable = [each for each in self.occurrences if not each.why_not]
        tasks = [asyncio.create_task(self._one(each, start_ns)) for each in reachable]
        try:
            yield
        except Exception:
            self._over.set()  # the next trial finds the server as it should be
            raise
        except BaseException:
            for task in tasks:
                task.cancel()
            raise
        finally:
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            task.result()
        await self._count_connections()

    async def _count_connections(self) -> None:
        if self._targets.relay is None or not self._connected:
            return
        counts = [count for _, count in self._connected]
        last = await self._targets.relay.connections()
        for (each, _), (before, after) in zip(
            self._connected, pairwise([*counts, last]), strict=True
        ):
            each.connections = after - before

    async def _one(self, each: Occurrence, start_ns: int) -> None:
        fault = each.fault
        begin_ns = start_ns + round(fault.at_s * NS_A_SECOND)
        await self._until(begin_ns)
        if self._over.is_set():
            each.why_not = "the load had ended"
            return
        if hindrance := self._hindrance(fault):
            each.why_not = hindrance
            return
        places = [place for place, kinds in PLACES if fault.kind in kinds]
        self._busy |= dict.fromkeys(places, fault)
        try:
            await self._carry_out(each, begin_ns + round(fault.for_s * NS_A_SECOND))
        finally:
            for place in places:
                self._busy.pop(place, None)

    def _hindrance(self, fault: Fault) -> str:
        if self._down:
            return "the server had not started again"
        for place, kinds in PLACES:
            other = self._busy.get(place)
            if other and (fault.kind in kinds or _is_overdue(other, fault)):
                return f"{other} was not over yet"
        return ""

    async def _carry_out(self, each: Occurrence, until_ns: int) -> None:
        fault, relay = each.fault, self._targets.relay
        if relay is not None:
            self._connected.append((each, await relay.connections()))
        each.began_ns = self._clock()
        try:
            await self._begin(fault)
        except UnsupportedByServer as error:
            each.began_ns, each.why_not = None, str(error)
            return
        except Exception as error:
            raise_if_cancelled()
            each.failed, each.why_not = True, _in_a_line(error)
            return
        if fault.kind.lasts:
            await self._until(until_ns)
        each.ended_ns = self._clock()
        try:
            await self._take_back(fault)
        except Exception as error:
            raise_if_cancelled()
            each.failed = True
            self._down = fault.kind in DESTRUCTIVE
            what = "the server did not start again: " if self._down else "could not be taken back: "
            each.why_not = what + _in_a_line(error)
            return
        each.back_ns = self._clock()

    async def _begin(self, fault: Fault) -> None:
        server, relay = self._targets.server, self._targets.relay
        if fault.kind in NETWORK_KINDS:
            assert relay is not None, "the way was asked before"
            await _break(relay, fault)
            return
        assert server is not None, "the server was asked before"
        match fault.kind:
            case FaultKind.KILL_SERVER:
                await server.kill()
            case FaultKind.PAUSE_SERVER:
                await server.pause()
            case FaultKind.FILL_DISK:
                await server.fill_disk()
            case FaultKind.LOSE_POWER:
                await server.lose_power()

    async def _take_back(self, fault: Fault) -> None:
        server, relay = self._targets.server, self._targets.relay
        if fault.kind in NETWORK_KINDS:
            assert relay is not None, "the way was asked before"
            if fault.kind.lasts:
                await relay.restore()
            return
        assert server is not None, "the server was asked before"
        match fault.kind:
            case FaultKind.PAUSE_SERVER:
                await server.resume()
            case FaultKind.FILL_DISK:
                await server.free_disk()
            case _:
                await server.restart()
                if relay is not None:
                    await relay.target(server.endpoint)

    async def _until(self, when_ns: int) -> None:
        """Never before that moment: uvloop's timers are up to two milliseconds early."""
        while not self._over.is_set() and (left_ns := when_ns - self._clock()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left_ns / NS_A_SECOND):
                    await self._over.wait()


def _is_overdue(other: Fault, fault: Fault) -> bool:
    """Whether the other one should be over: its server takes longer to start than was planned."""
    return other.kind in DESTRUCTIVE and other.at_s + other.for_s < fault.at_s


async def _break(relay: Relay, fault: Fault) -> None:
    match fault.kind:
        case FaultKind.CUT_NETWORK:
            await relay.cut()
        case FaultKind.RESET_NETWORK:
            await relay.reset()
        case FaultKind.LOSE_ANSWERS:
            await relay.lose_answers()
        case _:
            await relay.slow(fault.rtt_ms)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

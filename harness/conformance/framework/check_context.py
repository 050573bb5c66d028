"""What a check works with: an open store, more connections, a time budget and the server."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

from harness.conformance.framework.check_result import (
    Disturbed,
    OutOfReach,
    Provocation,
    Step,
    Unsupported,
    describe_answer,
    describe_ids,
    is_decision,
)
from harness.conformance.framework.check_workers import CheckWorkers, Rendezvous
from harness.domain.cancellation import raise_if_cancelled
from harness.domain.durability import PowerLosses
from harness.domain.errors import StoreError, StreamNotFound, UnsupportedByStore
from harness.domain.expected_version import spelled
from harness.domain.factory import StoreFactory
from harness.domain.server import Server
from harness.domain.store import (
    Adapter,
    AppendResult,
    Endpoint,
    EventStore,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    OpenTransactions,
    Position,
    RecordedEvent,
    StreamState,
)


@dataclass(frozen=True, slots=True)
class Profile:
    """How long and how hard checks try."""

    name: str
    seconds: float
    """For each repeated race, from `rounds_min` to `rounds_max` rounds."""
    rounds_max: int
    limit_s: float
    """A check that takes longer fails."""
    rounds_min: int = 12
    concurrent_max: int = 6
    """Shared checks that run at the same time."""
    within_s: float = 10.0
    """How long to wait for an event that must arrive."""
    again_within_s: float = 20.0
    """How long a client may be without service once a fault has ended."""
    thorough: bool = False
    """Whether costly sizes are tried as well."""
    processes: int = 3
    """Worker processes; 0 races in this process only."""


FAST = Profile("fast", seconds=1.5, rounds_max=2_000, limit_s=180)
FULL = Profile("full", seconds=15, rounds_max=50_000, limit_s=600, thorough=True)
PROFILES = {profile.name: profile for profile in (FAST, FULL)}

LabDiskOffer = Callable[[], Awaitable[tuple[Endpoint, Server]]]
"""Raises `NoServer` or `UnsupportedByServer` where there can be none."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class CheckContext:
    """Belongs to one check: no other check uses its streams; its connections close after it."""

    number: int
    store: Adapter
    factory: StoreFactory
    guarantees: Guarantees
    profile: Profile
    rng: Random
    stack: AsyncExitStack
    workers: CheckWorkers
    server: Server | None = None
    """`None` where the store has none."""
    lab_disk: LabDiskOffer | None = None
    """Another server whose disk can lose power and fill up; `None` where nobody offers one."""
    power_losses: list[PowerLosses] = field(default_factory=list)
    """What they left, if it was measured."""
    second_try: bool = False
    """Its streams have other names than those of the first try."""
    steps: list[Step] = field(default_factory=list)
    """Each `append`, for the evidence."""
    provoked: dict[str, Provocation] = field(default_factory=dict)
    """What was counted, by what it is."""
    _began: float = field(default_factory=time.monotonic)
    _streams: int = 0
    _failed: tuple[StoreError, str, Step] | None = None
    """The last failed read, its stream, and its line of evidence."""

    def stream(self, category: str = "order") -> str:
        """A new stream in `category(category)`."""
        self._streams += 1
        return f"{self.category(category)}-{self._streams}"

    def category(self, category: str = "order") -> str:
        """This check's own category of that name."""
        return f"{category}{self.number}" + "again" * self.second_try

    def count(self, what: str, count: int = 1, *, least: int) -> None:
        """Add to what this check provoked; with fewer than `least` in the end it proves nothing."""
        before = self.provoked.get(what)
        self.provoked[what] = Provocation(what, count + (before.count if before else 0), least)

    def events(self, count: int = 1, *, data: bytes | None = None) -> list[NewEvent]:
        """New events with seeded ids, and small JSON unless `data` is given."""
        return [
            NewEvent(
                UUID(int=self.rng.getrandbits(128), version=4),
                "OrderPlaced",
                b'{"n": %d}' % number if data is None else data,
                b'{"by": "eslab"}' if self.guarantees.keeps_metadata else b"",
            )
            for number in range(count)
        ]

    async def connect(self, *, address: str = "", **options: object) -> Adapter:
        """One more connection to the same namespace.

        `address` is another route to the server; `options` differ, if the store has them.
        """
        return await self.opened(self.factory.with_options(options).at(address))

    async def opened(self, factory: StoreFactory) -> Adapter:
        """A connection of another factory, closed after the check."""
        store = await factory.open()
        self.stack.push_async_callback(store.aclose)
        return store

    async def with_options(self, **options: object) -> CheckContext:
        """This check on a store with other options, as far as it has them."""
        factory = self.factory.with_options(options)
        return replace(self, factory=factory, store=await self.opened(factory))

    async def writers(self, count: int) -> Sequence[Adapter]:
        """Connections for `count` writers: the same one where only one may write."""
        if self.guarantees.writers != "many":
            return [self.store] * count
        return [self.store, *[await self.connect() for _ in range(count - 1)]]

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: ExpectedVersion = StreamState.ANY,
        by: str = "the writer",
        through: EventStore | None = None,
    ) -> AppendResult:
        """Append, and keep a line of evidence. Raises `Unsupported` where the store does."""
        at_ms = self.at_ms()
        did = f"append {describe_ids(events)} to {stream!r}, expected {spelled(expected)}"
        try:
            result = await (through or self.store).append(stream, events, expected=expected)
        except UnsupportedByStore as error:
            raise Unsupported(str(error)) from error
        except StoreError as error:
            self.steps.append(Step(by, did, describe_answer(error), at_ms))
            raise
        self.steps.append(Step(by, did, describe_answer(result), at_ms))
        return result

    async def attempt(
        self, stream: str, events: Sequence[NewEvent], **how: Any
    ) -> AppendResult | StoreError:
        """`append`, a refusal as a value. Raises `Disturbed` where the store decided nothing."""
        answer = await self.try_append(stream, events, **how)
        if not is_decision(answer):
            raise Disturbed(describe_answer(answer))
        return answer

    async def try_append(
        self, stream: str, events: Sequence[NewEvent], **how: Any
    ) -> AppendResult | StoreError:
        """`append`, any error as a value."""
        try:
            return await self.append(stream, events, **how)
        except StoreError as error:
            raise_if_cancelled()
            return error

    async def read(
        self, stream: str, *, through: EventStore | None = None, **how: Any
    ) -> list[RecordedEvent]:
        """The stream, or the part of it that `how` asks for."""
        at_ms = self.at_ms()
        try:
            return [event async for event in (through or self.store).read_stream(stream, **how)]
        except StoreError as error:
            read = Step("a reader", f"read {stream!r}", describe_answer(error), at_ms)
            self._failed = error, repr(stream), read
            raise

    async def read_or_empty(
        self, stream: str, *, through: EventStore | None = None
    ) -> list[RecordedEvent]:
        """The stream, empty where there is none."""
        try:
            return await self.read(stream, through=through)
        except StreamNotFound:
            return []

    async def exists(self, stream: str) -> bool:
        """Whether the store knows the stream."""
        try:
            await self.read(stream, limit=1)
        except StreamNotFound:
            return False
        return True

    async def head(self) -> Position | None:
        """A position that every later append comes after."""
        stream = self.stream()
        result = await self.append(stream, self.events())
        return result.position or (await self.read(stream))[-1].position

    async def log(
        self, streams: Collection[str], *, after: Position | None = None
    ) -> list[RecordedEvent]:
        """These streams' part of the global log. Raises `Unsupported` where there is no log."""
        wanted = frozenset(streams)
        try:
            read = self.store.read_all(after=after)
            return [event async for event in read if event.stream in wanted]
        except UnsupportedByStore as error:
            raise Unsupported(str(error)) from error

    def last_steps(self, error: Exception, count: int) -> list[Step]:
        """The last lines of evidence before an unexpected error.

        If a read failed, they are those of its stream, and the read.
        """
        if self._failed is None or self._failed[0] is not error:
            return self.steps[-count:]
        _, stream, read = self._failed
        return [*[step for step in self.steps if stream in step.did][1 - count :], read]

    def rounds(self, least: int = 0) -> Iterator[int]:
        """Numbers of rounds until the profile's seconds have passed, within its bounds.

        At least `least` rounds, however long they take.
        """
        until, least = time.monotonic() + self.profile.seconds, max(least, self.profile.rounds_min)
        for number in range(max(least, self.profile.rounds_max)):
            if number >= least and time.monotonic() > until:
                return
            yield number

    async def in_processes(
        self,
        work: Callable[Concatenate[Adapter, Rendezvous, int, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> list[T]:
        """Run `work(store, rendezvous, number, …)` in several processes at once.

        Each opens the store. `work` is a module's function and awaits `rendezvous()` when it is
        ready to race. Raises `OutOfReach` where only one process may write, or the profile has
        no workers.
        """
        if not self.multi_process:
            raise OutOfReach("one process alone may write")
        return await self.workers.run(work, self.factory, *args, **kwargs)

    @property
    def multi_process(self) -> bool:
        """Whether several processes may write, and the profile has workers."""
        return self.guarantees.writers == "many" and self.workers.size > 0

    @property
    def holds_transactions(self) -> bool:
        """Whether a client of the technology can hold a transaction open."""
        return isinstance(self.store, OpenTransactions)

    def controllable_server(self) -> Server:
        """The server, to be restarted, killed or paused. Raises `OutOfReach` without one."""
        if self.server is None:
            raise OutOfReach("the store lives in the lab's own process: no server to restart")
        if not self.server.controllable:
            raise OutOfReach("an external server is not the lab's to restart or kill")
        return self.server

    def at_ms(self) -> float:
        """Milliseconds since the check began."""
        return (time.monotonic() - self._began) * 1000

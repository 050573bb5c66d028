"""What a check gets to work with: an open store, further connections, time, and a server."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar
from uuid import UUID

from harness.conformance.check import OutOfReach, Step, Unsupported
from harness.conformance.crew import Crew, Meet
from harness.conformance.profiles import Profile
from harness.errors import StoreError, StreamNotFound, UnsupportedByStore
from harness.store import (
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

P = ParamSpec("P")
T = TypeVar("T")


class Controlled(Protocol):
    """A server that a check may hurt, if `controllable`. `harness.servers.Server` is one."""

    controllable: bool

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers, and its process if it can tell; current after a restart."""
        ...

    async def restart(self, *, cold: bool = False) -> None:
        """Stop in an orderly way and start on the same data."""
        ...

    async def kill(self) -> None:
        """SIGKILL; `restart` brings it back."""
        ...

    async def pause(self) -> None:
        """SIGSTOP."""
        ...

    async def resume(self) -> None:
        """SIGCONT."""
        ...


@dataclass(frozen=True, slots=True)
class Reach:
    """How to open the store under test. It pickles."""

    adapter: type[Adapter]
    endpoint: Endpoint
    options: Any

    def changed(self, options: Mapping[str, object]) -> Reach:
        """The same with other options, as far as the store has them."""
        known = {name: options[name] for name in options if name in type(self.options).model_fields}
        return replace(self, options=self.options.model_copy(update=known)) if known else self

    def by_way_of(self, address: str) -> Reach:
        """The same at another address, if one is given."""
        place = replace(self.endpoint, address=address or self.endpoint.address)
        return replace(self, endpoint=place)

    async def opened(self) -> Adapter:
        """A connection, for the caller to close."""
        return await self.adapter.connect(self.endpoint, self.options)


@dataclass(slots=True)
class Bench:
    """One check's own: its streams are nobody else's, its connections are closed after it."""

    number: int
    store: Adapter
    reach: Reach
    guarantees: Guarantees
    profile: Profile
    rng: Random
    stack: AsyncExitStack
    crew: Crew
    server: Controlled | None = None
    """`None` where the store has none, or where it is not the lab's to hurt."""
    steps: list[Step] = field(default_factory=list)
    """What `append` did, for the evidence."""
    _began: float = field(default_factory=time.monotonic)
    _streams: int = 0
    _failed: tuple[StoreError, str, Step] | None = None
    """The last read that failed, what it was about, and its line of evidence."""

    def stream(self, category: str = "order") -> str:
        """A stream that nobody has used, in `category(category)`."""
        self._streams += 1
        return f"{self.category(category)}-{self._streams}"

    def category(self, category: str = "order") -> str:
        """This check's own category of that name."""
        return f"{category}{self.number}"

    def events(self, count: int = 1, *, data: bytes | None = None) -> list[NewEvent]:
        """New events with seeded ids; small JSON unless told."""
        return [
            NewEvent(
                UUID(int=self.rng.getrandbits(128), version=4),
                "OrderPlaced",
                b'{"n": %d}' % number if data is None else data,
                b'{"by": "eslab"}' if self.guarantees.keeps_metadata else b"",
            )
            for number in range(count)
        ]

    async def another(self, *, address: str = "", **changed: object) -> Adapter:
        """A further connection to the same place; this one is used by the check alone.

        `address` is another way there, `changed` are options that differ, as far as the store
        has them.
        """
        store = await self.reach.changed(changed).by_way_of(address).opened()
        self.stack.push_async_callback(store.aclose)
        return store

    async def writers(self, count: int) -> Sequence[Adapter]:
        """Connections for so many writers: the only one again where no more may write."""
        if self.guarantees.writers != "many":
            return [self.store] * count
        return [self.store, *[await self.another() for _ in range(count - 1)]]

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: ExpectedVersion = StreamState.ANY,
        by: str = "the writer",
        through: EventStore | None = None,
    ) -> AppendResult:
        """Append, and keep a line of evidence. Raises `Unsupported` where the store says so."""
        at_ms = self.at_ms()
        did = f"append {named(events)} to {stream!r}, expected {said(expected)}"
        try:
            result = await (through or self.store).append(stream, events, expected=expected)
        except UnsupportedByStore as error:
            raise Unsupported(str(error)) from error
        except StoreError as error:
            self.steps.append(Step(by, did, told(error), at_ms))
            raise
        self.steps.append(Step(by, did, told(result), at_ms))
        return result

    async def attempt(
        self, stream: str, events: Sequence[NewEvent], **how: Any
    ) -> AppendResult | StoreError:
        """`append`, its error as a value."""
        try:
            return await self.append(stream, events, **how)
        except StoreError as error:
            return error

    async def read(
        self, stream: str, *, through: EventStore | None = None, **how: Any
    ) -> list[RecordedEvent]:
        """The stream, or what is asked of it."""
        at_ms = self.at_ms()
        try:
            return [event async for event in (through or self.store).read_stream(stream, **how)]
        except StoreError as error:
            read = Step("a reader", f"read {stream!r}", told(error), at_ms)
            self._failed = error, repr(stream), read
            raise

    async def exists(self, stream: str) -> bool:
        """Whether the store knows the stream."""
        try:
            await self.read(stream, limit=1)
        except StreamNotFound:
            return False
        return True

    async def head(self) -> Position | None:
        """A place in the log behind which there is what is appended from now on."""
        stream = self.stream()
        result = await self.append(stream, self.events())
        return result.position or (await self.read(stream))[-1].position

    async def log(
        self, streams: Sequence[str], *, after: Position | None = None
    ) -> list[RecordedEvent]:
        """The global log, of these streams alone. `Unsupported` where the store has none."""
        mine = frozenset(streams)
        try:
            read = self.store.read_all(after=after)
            return [event async for event in read if event.stream in mine]
        except UnsupportedByStore as error:
            raise Unsupported(str(error)) from error

    def story(self, error: Exception, count: int) -> list[Step]:
        """The last lines of evidence before an error that nobody expected.

        Where it is a failed read's, they are those of its stream, and the read.
        """
        if self._failed is None or self._failed[0] is not error:
            return self.steps[-count:]
        _, stream, read = self._failed
        return [*[step for step in self.steps if stream in step.did][1 - count :], read]

    def rounds(self) -> Iterator[int]:
        """Numbers of rounds, until the profile's time is used up, in any case its fewest."""
        until = time.monotonic() + self.profile.seconds
        for number in range(self.profile.rounds_max):
            if number >= self.profile.rounds_min and time.monotonic() > until:
                return
            yield number

    async def in_processes(
        self,
        work: Callable[Concatenate[Adapter, Meet, int, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> list[T]:
        """`work(store, meet, number, …)` in several processes at once; each opens the store.

        `work` is a module's function and awaits `meet()` when it is ready to race. Raises
        `OutOfReach` where the store belongs to one process, or the profile allows no more.
        """
        if not self.many_processes:
            raise OutOfReach("one process alone may write")
        return await self.crew.work(work, self.reach, *args, **kwargs)

    @property
    def many_processes(self) -> bool:
        """Whether several processes may write, and the profile allows them."""
        return self.guarantees.writers == "many" and self.crew.size > 0

    @property
    def holds_transactions(self) -> bool:
        """Whether a client of the technology can hold a transaction open."""
        return isinstance(self.store, OpenTransactions)

    def hurtable(self) -> Controlled:
        """The server, to be restarted, killed or paused. Raises `OutOfReach` without one."""
        if self.server is None:
            raise OutOfReach("the store lives in the lab's own process: no server to restart")
        if not self.server.controllable:
            raise OutOfReach("an external server is not the lab's to restart or kill")
        return self.server

    def at_ms(self) -> float:
        """Since the check began."""
        return (time.monotonic() - self._began) * 1000


def told(ended: AppendResult | StoreError) -> str:
    """How an append ended, in one line."""
    if isinstance(ended, AppendResult):
        return f"acknowledged as version {ended.version}"
    return f"{type(ended).__name__}: {str(ended).splitlines()[0] if str(ended) else ''}".strip(": ")


SHORT = 8
"""Letters of an id: enough to tell one check's events apart."""
NAMED_MAX = 4


def named(events: Sequence[NewEvent | RecordedEvent]) -> str:
    """How many they are, and their ids: `2 (0b6c5a7e 17aa03d1)`; of many the first and the last."""
    ids = [str(event.id)[:SHORT] for event in events]
    if len(ids) > NAMED_MAX:
        ids = [ids[0], "…", ids[-1]]
    return f"{len(events)} ({' '.join(ids)})" if ids else "0"


def said(expected: ExpectedVersion) -> str:
    """As people write it."""
    return expected.name if isinstance(expected, StreamState) else str(expected)

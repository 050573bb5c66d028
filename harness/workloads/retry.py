"""Retry: append as a careful client does, which goes on until it knows what became of its append.

An append whose answer never came is sent again with the same ids, or looked for first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from random import Random
from typing import Literal, TypeVar

from pydantic import Field

from harness.domain.errors import (
    BatchTooLarge,
    EmptyAppend,
    EventIdReused,
    EventTooLarge,
    NotWritten,
    OutcomeUnknown,
    ReadFailed,
    StoreUnavailable,
    StreamNotFound,
    Unsuitable,
    UnsupportedByStore,
    WrongExpectedVersion,
)
from harness.domain.flags import Flag
from harness.domain.store import (
    EventStore,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    RecordedEvent,
    StreamState,
)
from harness.domain.workload import Cycle, WorkloadKind, WorkloadParameters
from harness.workloads import append

FINAL = (EmptyAppend, EventTooLarge, BatchTooLarge, EventIdReused, Unsuitable)
"""Refusals that a retry cannot change."""
_PAUSE_MAX_S = 1.0

Answer = TypeVar("Answer")


class Doubted(WorkloadParameters):
    """Parameters of clients that go on after an append whose answer never came."""

    deadline_s: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="time after which an operation sends nothing more; what it does not know by"
        " then is its outcome",
    )
    backoff_ms: float = Field(
        10.0,
        ge=0,
        le=1000,
        description="pause before the first retry, in ms; it doubles with each, up to a second,"
        " and a random part of it, at most half, is left out",
    )


class RetryParameters(append.AppendParameters, Doubted):
    """Parameters of `retry`."""

    expected: Literal["any", "exact"] = Field(
        "any",
        description="`any`: no expected version. `exact`: the version that the client has just"
        " read; somebody else's append there is the operation's outcome, its own is not. A store"
        " without versions appends at any, with a flag",
    )
    unknown: Literal["again", "read"] = Field(
        "again",
        description="after an append whose answer never came. `again`: append again with the same"
        " ids. `read`: read whether it is there, and append again if it is not",
    )


@dataclass(slots=True)
class Tally:
    """Counts of this process, by the names of their columns."""

    unknown_attempts: int = 0
    refused_attempts: int = 0
    appended_again: int = 0
    settled_by_answer: int = 0
    settled_by_reading: int = 0
    settled_by_conflict: int = 0
    own_conflicts: int = 0
    read_again: int = 0
    given_up: int = 0


@dataclass(slots=True)
class Intent:
    """What is to be appended, and what is known of it so far."""

    stream: str
    events: Sequence[NewEvent]
    expected: ExpectedVersion
    sent: int = 0
    doubt: OutcomeUnknown | None = None
    """How the last attempt ended that may have written it."""


class Careful:
    """Appends until the outcome is known, or the deadline has passed."""

    def __init__(self, unknown: Literal["again", "read"], within: Doubted) -> None:
        self.tally = Tally()
        self._reads_first = unknown == "read"
        self._within = within
        self._rng = Random("pauses")  # the operations' own would choose other streams afterwards

    def counts(self) -> Mapping[str, int]:
        """What became of its attempts."""
        return asdict(self.tally)

    async def append(
        self,
        store: EventStore,
        cycle: Cycle,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: ExpectedVersion,
    ) -> None:
        """Append once, with as many attempts as that takes.

        Raises `WrongExpectedVersion` where somebody else's append is in the way, `OutcomeUnknown`
        where it may have been written and nobody knows, else what the last attempt ended with.
        """
        intent = Intent(stream, events, expected)
        for pause_s in self._pauses():
            try:
                looks = self._reads_first and intent.doubt is not None
                if not (looks and await self._found(store, cycle, intent)):
                    await self._send(store, cycle, intent)
            except WrongExpectedVersion:
                raise
            except FINAL as error:
                raise intent.doubt or error from error
            except (OutcomeUnknown, NotWritten, ReadFailed) as error:
                await cycle.think(pause_s)
                if not cycle.within(self._within.deadline_s):
                    self.tally.given_up += 1
                    raise intent.doubt or error from error
            else:
                return

    async def read(self, cycle: Cycle, read: Callable[[], Awaitable[Answer]]) -> Answer:
        """What `read` gives, read again where it fails, up to the deadline. Raises its last error.

        Nothing is in doubt here: a read that failed has changed nothing.
        """
        for pause_s in self._pauses():
            try:
                return await read()
            except (ReadFailed, StoreUnavailable):
                await cycle.think(pause_s)
                if not cycle.within(self._within.deadline_s):
                    self.tally.given_up += 1
                    raise
                self.tally.read_again += 1
        raise AssertionError("pauses never end")

    async def _send(self, store: EventStore, cycle: Cycle, intent: Intent) -> None:
        """One attempt. A conflict with its own first try is success."""
        self.tally.appended_again += intent.sent > 0
        intent.sent += 1
        try:
            await store.append(intent.stream, intent.events, expected=intent.expected)
        except OutcomeUnknown as error:
            self.tally.unknown_attempts += 1
            intent.doubt = error
            raise
        except WrongExpectedVersion:
            if intent.doubt is None:
                raise
            if not await self._found(store, cycle, intent):
                self.tally.settled_by_conflict += 1
                raise
            self.tally.own_conflicts += 1
        except NotWritten:
            self.tally.refused_attempts += 1
            raise
        else:
            self.tally.settled_by_answer += intent.doubt is not None

    async def _found(self, store: EventStore, cycle: Cycle, intent: Intent) -> bool:
        """Whether all of its events are in the stream: where they belong, or anywhere."""
        stream, events, expected = intent.stream, intent.events, intent.expected
        missing = {event.id for event in events}
        version = -1
        try:
            async for event in _places(store, stream, expected, len(events)):
                if event.id in missing:
                    missing.remove(event.id)
                    version = max(version, event.version)
                if not missing:
                    self.tally.settled_by_reading += 1
                    cycle.found(stream, events, expected=expected, version=version)
                    return True
        except StreamNotFound:
            pass
        return False

    def _pauses(self) -> Iterator[float]:
        longest_s = self._within.backoff_ms / 1000
        while True:
            yield longest_s * self._rng.uniform(0.5, 1)
            longest_s = min(2 * longest_s, _PAUSE_MAX_S)


def _places(
    store: EventStore, stream: str, expected: ExpectedVersion, count: int
) -> AsyncIterator[RecordedEvent]:
    """Where an append may be that was sent as `expected`: at that version, else anywhere."""
    if expected is StreamState.NO_STREAM:
        return store.read_stream(stream, limit=count)
    if isinstance(expected, int):
        return store.read_stream(stream, start=expected + 1, limit=count)
    return store.read_stream(stream, backwards=True)


class Retry:
    """Appends fresh events until it knows that they are written, once an operation."""

    def __init__(self, parameters: RetryParameters) -> None:
        self._batch_size = parameters.batch_size
        self._expects = parameters.expected == "exact"
        self._careful = Careful(parameters.unknown, parameters)

    async def prepare(self, store: EventStore) -> None:
        pass

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        """One append, attempt by attempt. What is not known at the deadline is its outcome."""
        stream = cycle.choose_stream(rng)
        events = cycle.new_events(self._batch_size)
        expected: ExpectedVersion = append.ANY
        if self._expects:
            expected = await self._careful.read(cycle, partial(append.head_of, store, stream))
        await self._careful.append(store, cycle, stream, events, expected=expected)

    def counts(self) -> Mapping[str, int]:
        """What became of its attempts."""
        return self._careful.counts()


def require_ids(unknown: str, guarantees: Guarantees) -> None:
    """Raises `UnsupportedByStore` where events are to be found, and come back without their ids."""
    if unknown == "read" and not (guarantees.readable and guarantees.keeps_ids):
        raise UnsupportedByStore("unknown: read: the store does not give back the ids of events")


def fitted(
    parameters: RetryParameters, guarantees: Guarantees
) -> tuple[RetryParameters, Sequence[Flag]]:
    """As `append`. Raises `UnsupportedByStore` where `read` could find nothing."""
    require_ids(parameters.unknown, guarantees)
    return append.fitted(parameters, guarantees)


WORKLOAD = WorkloadKind(
    name="retry",
    summary="append until the outcome is known: again with the same ids, or after a look",
    parameters=RetryParameters,
    make=Retry,
    fitted=fitted,
)

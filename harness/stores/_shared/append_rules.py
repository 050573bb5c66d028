"""The rule for versions and retries that a store with one writer at a time applies.

Ids come before versions: an append that repeats an earlier one exactly gets the earlier one's
result, regardless of its expected version and of later appends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Protocol, TypeVar

from harness.domain.boundaries import TAGGED, TaggedEvent
from harness.domain.errors import (
    AppendRefused,
    EmptyAppend,
    EventIdReused,
    StreamNotFound,
    WrongExpectedVersion,
)
from harness.domain.expected_version import holds
from harness.domain.store import ExpectedVersion, NewEvent, RecordedEvent


class Known(Protocol):
    """A recorded event that has the id of an event to append."""

    @property
    def stream(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def metadata(self) -> bytes: ...


K = TypeVar("K", bound=Known)


def decide(
    stream: str,
    events: Sequence[NewEvent],
    expected: ExpectedVersion,
    *,
    head: int | None,
    known: Sequence[K | None],
) -> K | None:
    """`None`: write `events` after `head`. Else the last event of the append that they repeat.

    `head` is the version of the stream's last event, `known` has for each of `events` the recorded
    event with its id. Raises `EmptyAppend`, `EventIdReused` or `WrongExpectedVersion`.
    """
    require_events(events)
    repeated = original(stream, events, known)
    if repeated is None:
        require_expected(stream, expected, head)
    return repeated


def require_events(events: Sequence[NewEvent]) -> None:
    """Raises `EmptyAppend` if there are none."""
    if not events:
        raise EmptyAppend("an append needs at least one event")


def require_expected(stream: str, expected: ExpectedVersion, head: int | None) -> None:
    """Raises `WrongExpectedVersion` if the stream with this head is not as expected."""
    if not holds(expected, head):
        raise WrongExpectedVersion(stream, expected, head)


def original(stream: str, events: Sequence[NewEvent], known: Sequence[K | None]) -> K | None:
    """The last event of the append that `events` repeat exactly; `None` if all ids are new.

    Raises `EventIdReused` if only some ids are new or the order differs.
    """
    if not any(known):
        if len({event.id.int for event in events}) < len(events):
            raise EventIdReused("the same event id twice in one append")
        return None
    first = known[0]
    for offset, (old, new) in enumerate(zip(known, events, strict=True)):
        if first is None or old is None or old.stream != stream:
            raise EventIdReused(f"event {new.id}: the append repeats only part of an earlier one")
        same = (old.type, old.data, old.metadata) == (new.type, new.data, new.metadata)
        if old.version != first.version + offset or not same:
            raise EventIdReused(f"event {new.id} was written with other content or order")
    return known[-1]


def require_stream(stream: str) -> None:
    """Raises `AppendRefused` for `TAGGED`, which no stream is called."""
    if stream == TAGGED:
        raise AppendRefused(f"{TAGGED} stands for no stream", reason="ReservedName")


async def no_stream(stream: str) -> AsyncIterator[RecordedEvent]:
    """Raises `StreamNotFound` on the first step, as a read of such a stream does."""
    raise StreamNotFound(stream)
    yield  # type: ignore[unreachable]  # what makes it an iterator


def require_same_tags(events: Sequence[TaggedEvent], recorded: Sequence[Collection[str]]) -> None:
    """Raises `EventIdReused` unless the recorded events have these tags, each in its place."""
    for event, tags in zip(events, recorded, strict=True):
        if set(event.tags) != set(tags):
            raise EventIdReused(f"event {event.id} was written with other tags")

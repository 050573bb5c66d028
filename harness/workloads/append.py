"""Append: write a batch of fresh events to a stream, with or without an expected version."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal, TypeVar

from pydantic import Field

from harness.domain.errors import OutcomeUnknown, StreamNotFound, WrongExpectedVersion
from harness.domain.flags import Flag, FlagCode
from harness.domain.store import EventStore, ExpectedVersion, Guarantees, StreamState
from harness.domain.workload import Cycle, WorkloadKind, WorkloadParameters

ANY = StreamState.ANY
"""Looked up once: Python 3.11 finds an enum's member through a function call each time."""


class AppendParameters(WorkloadParameters):
    """Parameters of `append`."""

    batch_size: int = Field(1, ge=1, le=1000, description="events in one append")
    expected: Literal["any", "exact"] = Field(
        "any",
        description="`any`: no expected version. `exact`: the version that this process saw last;"
        " a conflict is the operation's outcome and is not retried. A store without versions"
        " appends at any, with a flag",
    )


class AppendAny:
    """Append without an expected version."""

    def __init__(self, parameters: AppendParameters) -> None:
        self._batch_size = parameters.batch_size

    async def prepare(self, store: EventStore) -> None:
        pass

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        stream = cycle.choose_stream(rng)
        await store.append(stream, cycle.new_events(self._batch_size), expected=ANY)


_UNSURE = StreamState.EXISTS
"""In place of a version that has to be read before the next append."""


class AppendExact:
    """Append after the newest version that the clients of this process know."""

    def __init__(self, parameters: AppendParameters) -> None:
        self._batch_size = parameters.batch_size
        self._heads: dict[str, ExpectedVersion] = {}

    async def prepare(self, store: EventStore) -> None:
        """Read the heads of the prefilled streams."""
        async for event in store.read_all():
            self._heads[event.stream] = event.version

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        """One append. What a failure shows of the stream's head counts for the next one."""
        stream = cycle.choose_stream(rng)
        events = cycle.new_events(self._batch_size)
        expected = self._heads.get(stream, StreamState.NO_STREAM)
        if expected is _UNSURE:
            expected = self._heads[stream] = await head_of(store, stream)
        try:
            result = await store.append(stream, events, expected=expected)
        except WrongExpectedVersion as conflict:
            self._correct(stream, expected, conflict.actual)
            raise
        except OutcomeUnknown:
            self._correct(stream, expected, None)
            raise
        self._heads[stream] = result.version

    def _correct(self, stream: str, expected: ExpectedVersion, actual: int | None) -> None:
        """Replace a head that was wrong, unless another client has done so in the meantime."""
        if self._heads.get(stream, StreamState.NO_STREAM) == expected:
            self._heads[stream] = _UNSURE if actual is None else actual


async def head_of(store: EventStore, stream: str) -> ExpectedVersion:
    """The version of the stream's last event, or `NO_STREAM`."""
    try:
        async for event in store.read_stream(stream, limit=1, backwards=True):
            return event.version
    except StreamNotFound:
        pass
    return StreamState.NO_STREAM


def make(parameters: AppendParameters) -> AppendAny | AppendExact:
    return (AppendExact if parameters.expected == "exact" else AppendAny)(parameters)


Parameters = TypeVar("Parameters", bound=AppendParameters)


def fitted(parameters: Parameters, guarantees: Guarantees) -> tuple[Parameters, Sequence[Flag]]:
    """At any version, with a flag, where a store returns no versions that could be expected."""
    has_versions = guarantees.tells_version and guarantees.readable
    if parameters.expected == "any" or has_versions:
        return parameters, ()
    without = parameters.model_copy(update={"expected": "any"})
    return without, (Flag(FlagCode.WITHOUT_VERSIONS),)


WORKLOAD = WorkloadKind(
    name="append",
    summary="append batches of events, ANY or exact version",
    parameters=AppendParameters,
    make=make,
    fitted=fitted,
)

"""Command: load a stream, decide, append with the expected version; on a conflict start again."""

from __future__ import annotations

from random import Random

from pydantic import Field

from harness.domain.errors import StreamNotFound, WrongExpectedVersion
from harness.domain.store import EventStore, ExpectedVersion, StreamState
from harness.domain.workload import Cycle, WorkloadKind, WorkloadParameters


class CommandParameters(WorkloadParameters):
    """Parameters of `command`."""

    batch_size: int = Field(1, ge=1, le=1000, description="events that a decision gives")
    attempts_max: int = Field(
        10, ge=1, le=1000, description="attempts before the conflict is the operation's outcome"
    )
    think_ms: float = Field(
        0.0, ge=0, le=60_000, description="time between loading and appending, in ms"
    )
    load_max: int | None = Field(
        100, ge=1, description="events loaded at most, newest first; null loads whole streams"
    )


class Command:
    """What an event-sourced application does for each request."""

    def __init__(self, parameters: CommandParameters) -> None:
        self._batch_size = parameters.batch_size
        self._attempts_max = parameters.attempts_max
        self._think_s = parameters.think_ms / 1000
        self._load_max = parameters.load_max

    async def prepare(self, store: EventStore) -> None:
        pass

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        """One command on a chosen stream. The last attempt's conflict is its outcome."""
        stream = cycle.choose_stream(rng)
        events = cycle.new_events(self._batch_size)
        for attempts_left in reversed(range(self._attempts_max)):
            expected = await self._load(store, stream)
            await cycle.think(self._think_s)
            try:
                await store.append(stream, events, expected=expected)
            except WrongExpectedVersion:
                if not attempts_left:
                    raise
            else:
                return

    async def _load(self, store: EventStore, stream: str) -> ExpectedVersion:
        """Read as an aggregate does; returns the version that the decision is based on."""
        version: ExpectedVersion = StreamState.NO_STREAM
        try:
            async for event in store.read_stream(stream, limit=self._load_max, backwards=True):
                if version is StreamState.NO_STREAM:
                    version = event.version
        except StreamNotFound:
            pass
        return version


WORKLOAD = WorkloadKind(
    name="command",
    summary="load, decide, append with the expected version; reload and retry on conflict",
    parameters=CommandParameters,
    make=Command,
)

"""Command: load a stream, decide, append with the expected version; on a conflict start again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from harness.domain.errors import StreamNotFound, WrongExpectedVersion
from harness.domain.flags import Flag
from harness.domain.store import EventStore, ExpectedVersion, Guarantees, NewEvent, StreamState
from harness.domain.workload import Cycle, WorkloadKind
from harness.workloads.retry import Careful, Doubted, require_ids


class CommandParameters(Doubted):
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
    unknown: Literal["fail", "again", "read"] = Field(
        "fail",
        description="after an append whose answer never came. `fail`: that is the operation's"
        " outcome, and `deadline_s` and `backoff_ms` mean nothing. `again`, `read`: as in `retry`",
    )

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what `fail` has no use for, so that such a load has the hash that it had."""
        content: dict[str, Any] = dump(self)
        fails = content["unknown"] == "fail"
        unused = {"unknown", *Doubted.model_fields} if fails else ()
        return {name: value for name, value in content.items() if name not in unused}


class Command:
    """What an event-sourced application does for each request."""

    def __init__(self, parameters: CommandParameters) -> None:
        self._batch_size = parameters.batch_size
        self._attempts_max = parameters.attempts_max
        self._think_s = parameters.think_ms / 1000
        self._load_max = parameters.load_max
        unknown = parameters.unknown
        self._careful = None if unknown == "fail" else Careful(unknown, parameters)

    async def prepare(self, store: EventStore) -> None:
        pass

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        """One command on a chosen stream. The last attempt's conflict is its outcome."""
        stream = cycle.choose_stream(rng)
        events = cycle.new_events(self._batch_size)
        for attempts_left in reversed(range(self._attempts_max)):
            expected = await self._loaded(store, cycle, stream)
            await cycle.think(self._think_s)
            try:
                await self._append(store, cycle, stream, events, expected)
            except WrongExpectedVersion:
                if not attempts_left:
                    raise
            else:
                return

    def counts(self) -> Mapping[str, int]:
        """What became of its attempts, where it goes on after an unknown outcome."""
        return {} if self._careful is None else self._careful.counts()

    async def _append(
        self,
        store: EventStore,
        cycle: Cycle,
        stream: str,
        events: Sequence[NewEvent],
        expected: ExpectedVersion,
    ) -> None:
        if self._careful is None:
            await store.append(stream, events, expected=expected)
        else:
            await self._careful.append(store, cycle, stream, events, expected=expected)

    async def _loaded(self, store: EventStore, cycle: Cycle, stream: str) -> ExpectedVersion:
        if self._careful is None:
            return await self._load(store, cycle, stream)
        return await self._careful.read(cycle, partial(self._load, store, cycle, stream))

    async def _load(self, store: EventStore, cycle: Cycle, stream: str) -> ExpectedVersion:
        """Read as an aggregate does; returns the version that the decision is based on."""
        version: ExpectedVersion = StreamState.NO_STREAM
        try:
            async for event in store.read_stream(stream, limit=self._load_max, backwards=True):
                if version is StreamState.NO_STREAM:
                    version = event.version
        except StreamNotFound:
            pass
        cycle.saw(stream, version if isinstance(version, int) else -1)
        return version


def fitted(
    parameters: CommandParameters, guarantees: Guarantees
) -> tuple[CommandParameters, Sequence[Flag]]:
    """As asked. Raises `UnsupportedByStore` where `unknown: read` could find nothing."""
    require_ids(parameters.unknown, guarantees)
    return parameters, ()


WORKLOAD = WorkloadKind(
    name="command",
    summary="load, decide, append with the expected version; reload and retry on conflict",
    parameters=CommandParameters,
    make=Command,
    fitted=fitted,
)

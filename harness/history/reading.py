"""Reading a store back into columns, through the `EventStore` protocol alone."""

from __future__ import annotations

import json
from array import array
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import numpy as np

from harness.errors import StreamNotFound
from harness.history.columns import Log, StreamReads
from harness.identity import SEQUENCE_MASK
from harness.store import EventStore, Position, RecordedEvent

Payload = Literal["exact", "json"]
DataOf = Callable[[int], bytes]
"""The payload as written, for any sequence number below 2⁴⁸."""

_UNREADABLE = (ValueError, ArithmeticError, RecursionError)
"""What parsing raises on bytes that are no JSON, on absurd numbers and on absurd depth."""
FOREIGN_KEPT = 100
"""Foreign ids kept for messages; a whole foreign log would otherwise fill memory."""
_BEFORE_ALL = Position(())


async def read_log(
    store: EventStore, *, base: int, streams: Mapping[str, int], data_of: DataOf, payload: Payload
) -> Log:
    """The whole global read, from the beginning. `streams` numbers the names from 0, densely.

    Raises what the store raises: `ReadFailed`, `StoreUnavailable`.
    """
    columns = _Columns(base, streams, data_of, payload)
    await columns.take_all(store.read_all())
    return columns.log()


async def read_streams(
    store: EventStore,
    names: Iterable[str],
    *,
    base: int,
    streams: Mapping[str, int],
    data_of: DataOf,
    payload: Payload,
) -> StreamReads:
    """Each named stream from its beginning; a stream that does not exist is empty here."""
    columns = _Columns(base, streams, data_of, payload)
    numbers, bounds = [], [0]
    for name in names:
        with suppress(StreamNotFound):
            await columns.take_all(store.read_stream(name))
        numbers.append(streams[name])
        bounds.append(len(columns.event))
    return StreamReads(np.array(numbers, np.int64), np.array(bounds, np.int64), columns.log())


class _Numbers(dict[str, int]):
    """Stream numbers by name; names that were not known get the next ones."""

    def __missing__(self, name: str) -> int:
        number = self[name] = len(self)
        return number


class _Columns:
    """Grows columns by an event at a time: about a microsecond each, and 26 bytes."""

    def __init__(
        self, base: int, streams: Mapping[str, int], data_of: DataOf, payload: Payload
    ) -> None:
        self.event = array("q")
        self._stream = array("q")
        self._version = array("q")
        self._intact = bytearray()
        self._ascending = bytearray()
        self._base = base
        self._numbers = _Numbers(streams)
        self._data_of = data_of
        self._same = _same_json if payload == "json" else _same_bytes
        self._foreign: dict[tuple[int, int], UUID] = {}

    async def take_all(self, events: AsyncIterator[RecordedEvent]) -> None:
        """Every event of one read, in its order."""
        base, numbers, data_of, same = self._base, self._numbers, self._data_of, self._same
        add_event, add_stream = self.event.append, self._stream.append
        add_version, add_intact = self._version.append, self._intact.append
        add_ascending = self._ascending.append
        previous = _BEFORE_ALL
        async for event in events:
            sequence = event.id.int - base
            if 0 <= sequence <= SEQUENCE_MASK:
                add_event(sequence)
                add_intact(same(event.data, data_of(sequence)))
            else:
                self._add_foreign(event)
            add_stream(numbers[event.stream])
            add_version(event.version)
            position = event.position
            add_ascending(position > previous)
            previous = position

    def log(self) -> Log:
        """The columns as they are now."""
        return Log(
            stream=np.frombuffer(self._stream, np.int64),
            version=np.frombuffer(self._version, np.int64),
            event=np.frombuffer(self.event, np.int64),
            intact=np.frombuffer(self._intact, np.bool_),
            ascending=np.frombuffer(self._ascending, np.bool_),
            names={number: name for name, number in self._numbers.items()},
            foreign=self._foreign,
        )

    def _add_foreign(self, event: RecordedEvent) -> None:
        self.event.append(-1)
        self._intact.append(True)  # nobody knows what was written
        if len(self._foreign) < FOREIGN_KEPT:
            self._foreign[self._numbers[event.stream], event.version] = event.id


def _same_bytes(read: bytes, written: bytes) -> bool:
    return read == written


def _same_json(read: bytes, written: bytes) -> bool:
    """The same JSON value: key order, spacing and the spelling of numbers do not count."""
    if read == written:
        return True
    try:
        return bool(_value(read) == _value(written))
    except _UNREADABLE:
        return False


def _number(text: str) -> tuple[str, Decimal]:
    """Exact, and tagged: to Python `1 == True`, to JSON it is not."""
    return "number", Decimal(text)


def _value(data: bytes) -> Any:
    return json.loads(data, parse_int=_number, parse_float=_number)

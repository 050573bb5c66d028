"""Reading a store back into columns, through the `EventStore` protocol alone."""

from __future__ import annotations

import json
from array import array
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import numpy as np

from harness.domain.boundaries import TAGGED
from harness.domain.errors import StreamNotFound
from harness.domain.identity import SEQUENCE_MASK
from harness.domain.store import EventStore, Position, RecordedEvent
from harness.verification.columns import FOREIGN, Log

Payload = Literal["exact", "json"]
DataOf = Callable[[int], bytes]
"""The payload as written, for any sequence number below 2⁴⁸."""

_UNREADABLE = (ValueError, ArithmeticError, RecursionError)
"""Errors of parsing bytes that are no JSON, extreme numbers, and extreme depth."""
FOREIGN_KEPT = 100
"""Foreign ids kept for messages; a whole foreign log would otherwise fill memory."""
BLOCK = 1 << 16
"""Rows of a block."""
_BEFORE_ALL = Position(())
_INTACT = 1
"""Also of foreign events: nobody knows what was written."""


class Reader:
    """Reads a store in blocks of rows, each taken by who asked for it: memory stays bounded.

    `names` has the streams by their numbers, `foreign` some foreign ids by stream and version;
    both grow as more is read.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        base: int,
        streams: Sequence[str],
        data_of: DataOf,
        payload: Payload,
        block: int = BLOCK,
    ) -> None:
        """`streams` are numbered from 0; `block` is how many rows a block has at most."""
        self._store = store
        self._base = base
        self._data_of = data_of
        self._same = _same_json if payload == "json" else _same_bytes
        self._block = block
        self._numbers = _Numbers(streams)
        self.foreign: dict[tuple[int, int], UUID] = {}

    @property
    def names(self) -> dict[int, str]:
        """Streams by their numbers; it grows with what is read."""
        return self._numbers.names

    async def read_log(self, take: Callable[[Log], None]) -> None:
        """The whole global read, from the beginning.

        Raises the store's `ReadFailed` or `StoreUnavailable`.
        """
        await self._read(self._store.read_all(), take)

    async def read_stream(self, stream: int, take: Callable[[int, Log], None]) -> None:
        """One stream from its beginning; empty if it does not exist. Taken once at least."""
        with suppress(StreamNotFound):
            await self._read(
                self._store.read_stream(self.names[stream]), lambda log: take(stream, log)
            )
            return
        take(stream, _Columns().log(self.names, self.foreign))

    async def _read(
        self, events: AsyncIterator[RecordedEvent], take: Callable[[Log], None]
    ) -> None:
        """Every event of one read, in its order: about a microsecond each."""
        base, numbers, data_of, same = self._base, self._numbers, self._data_of, self._same
        previous, ended, left = _BEFORE_ALL, False, aiter(events)
        tagged = 0  # tagged events have no versions of their own: they are counted
        while not ended:
            columns = _Columns()
            add_event, add_stream = columns.event.append, columns.stream.append
            add_version, add_intact = columns.version.append, columns.intact.append
            add_ascending = columns.ascending.append
            room = self._block
            async for event in left:
                sequence = event.id.int - base
                if 0 <= sequence <= SEQUENCE_MASK:
                    add_event(sequence)
                    add_intact(same(event.data, data_of(sequence)))
                else:
                    add_event(FOREIGN)
                    add_intact(_INTACT)
                    self._keep_foreign(event)
                add_stream(numbers[event.stream])
                if event.stream == TAGGED:
                    add_version(tagged)
                    tagged += 1
                else:
                    add_version(event.version)
                position = event.position
                add_ascending(position > previous)
                previous = position
                room -= 1
                if not room:
                    break
            else:
                ended = True
            take(columns.log(self.names, self.foreign))

    def _keep_foreign(self, event: RecordedEvent) -> None:
        if len(self.foreign) < FOREIGN_KEPT:
            self.foreign.setdefault((self._numbers[event.stream], event.version), event.id)


class _Numbers(dict[str, int]):
    """Stream numbers by name; new names get the next ones."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(zip(names, range(len(names)), strict=True))
        self.names = dict(enumerate(names))

    def __missing__(self, name: str) -> int:
        number = self[name] = len(self)
        self.names[number] = name
        return number


class _Columns:
    """Columns that grow by an event at a time, 26 bytes each."""

    def __init__(self) -> None:
        self.event = array("q")
        self.stream = array("q")
        self.version = array("q")
        self.intact = bytearray()
        self.ascending = bytearray()

    def log(self, names: Mapping[int, str], foreign: Mapping[tuple[int, int], UUID]) -> Log:
        """The columns as they are now."""
        return Log(
            stream=np.frombuffer(self.stream, np.int64),
            version=np.frombuffer(self.version, np.int64),
            event=np.frombuffer(self.event, np.int64),
            intact=np.frombuffer(self.intact, np.bool_),
            ascending=np.frombuffer(self.ascending, np.bool_),
            names=names,
            foreign=foreign,
        )


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
    """A comparable value with its type: in Python `1 == True`, in JSON they differ."""
    return "number", Decimal(text)


def _value(data: bytes) -> Any:
    return json.loads(data, parse_int=_number, parse_float=_number)

"""The columns that verification works on: a row an append, a recorded event or a delivery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

FOREIGN = -1
"""In an `event` column: an id that is not of this trial."""


@dataclass(frozen=True, slots=True, eq=False)
class Appends:
    """Every append that was sent, one row an attempt, in any order; retries repeat their ids.

    `stream` is a stream's number, `first` the sequence number of the first of `count` events
    (their ids are consecutive), `version` the acknowledged version of the last one or -1
    where the store returned none, `outcome` a code of `harness.domain.outcome.Outcome`,
    `expected` a code of `harness.domain.expected_version`.
    """

    op: Ints
    stream: Ints
    first: Ints
    count: Ints
    expected: Ints
    version: Ints
    outcome: Ints

    def __post_init__(self) -> None:
        _require_one_length(self)


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """The events that a store returned, in the order of reading.

    `event` is a sequence number or `FOREIGN`; `intact` whether the payload is as written;
    `ascending` whether the position is greater than the one read before it. `names` maps a
    stream's number to its name, `foreign` stream and version to some foreign ids.
    """

    stream: Ints
    version: Ints
    event: Ints
    intact: Flags
    ascending: Flags
    names: Mapping[int, str]
    foreign: Mapping[tuple[int, int], UUID] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_one_length(self)

    def __len__(self) -> int:
        return len(self.event)

    def take(self, rows: slice) -> Log:
        """Some successive rows."""
        return Log(
            self.stream[rows],
            self.version[rows],
            self.event[rows],
            self.intact[rows],
            self.ascending[rows],
            self.names,
            self.foreign,
        )


@dataclass(frozen=True, slots=True, eq=False)
class StreamReads:
    """Single streams, read one by one.

    `log` holds them end to end: stream `streams[i]` is rows `bounds[i]` to `bounds[i + 1]`.
    """

    streams: Ints
    bounds: Ints
    log: Log


@dataclass(frozen=True, slots=True, eq=False)
class Deliveries:
    """The events that subscribers received, each subscriber's rows in the order of handling.

    Subscribers are numbered from 0. `subscribers` is how many there were: one that
    received nothing has no row. 0 means those that have rows.
    """

    subscriber: Ints
    event: Ints
    stream: Ints
    version: Ints
    subscribers: int = 0

    def __post_init__(self) -> None:
        _require_one_length(self)

    def numbers(self) -> list[int]:
        """The subscribers that must have received everything."""
        seen = np.unique(self.subscriber).tolist()
        return sorted({*seen, *range(self.subscribers)})


def _require_one_length(table: Any) -> None:
    columns = {column.name: getattr(table, column.name) for column in fields(table)}
    lengths = {
        name: len(column) for name, column in columns.items() if isinstance(column, np.ndarray)
    }
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of different lengths: {lengths}")

"""One worker process's part of a trial's load."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

_EVENTS_BITS = 40
"""Sequence numbers that each process has to itself; an event's payload has room for 48 bits."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number` of `of`: clients, operations and intended times are dealt round in turn."""

    number: int = 0
    of: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one does what is done once: prefilling, following, counting."""
        return self.number == 0

    @property
    def first_event(self) -> int:
        """Where this process's sequence numbers of events begin."""
        return self.number << _EVENTS_BITS

    def share(self, count: int) -> range:
        """Which of `count` things are this process's."""
        return range(self.number, count, self.of)

    def numbers(self) -> Iterator[int]:
        """This process's numbers of operations, without an end."""
        return itertools.count(self.number, self.of)


ALONE = Shard()

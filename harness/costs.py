"""What work costs where time is noisy: the words for it, who can count it, and the bill.

A count is a number so far; the difference of two is what was used between them. One that cannot
be had is missing, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, runtime_checkable

GENERATOR_CPU_S = "generator_cpu_s"
SERVER_CPU_S = "server_cpu_s"
DISK_BYTES = "disk_bytes"
"""What the server's data folder takes on disk: data, logs and all."""
LOG_BYTES = "log_bytes"
"""Written to the write-ahead log, or to the log that the store is; full-page images apart."""
FULL_PAGE_BYTES = "full_page_bytes"
"""Whole pages in that log: how many depends on the last checkpoint, not on the design alone."""
LOG_BYTES_WITH_IMAGES = "log_bytes_with_images"
"""Where the two cannot be told apart."""
FULL_PAGE_IMAGES = "full_page_images"
DATA_BYTES = "data_bytes"
"""Tables and indexes, without logs."""
COMMITS = "commits"
SYNCS = "syncs"
"""Times that the log was forced to disk."""
ROUND_TRIPS = "round_trips"
READ_UNITS, WRITE_UNITS = "read_units", "write_units"
WRITE_UNITS_BY_RULE = "write_units_by_rule"
"""What the service's published rule bills where an emulator says less."""

BILLED = (READ_UNITS, WRITE_UNITS, WRITE_UNITS_BY_RULE)
"""What somebody sends an invoice for."""

_SIZES = frozenset({DISK_BYTES, DATA_BYTES})
"""May shrink. What else is less than before was counted anew, by a server that was restarted."""

Counts = Mapping[str, float]
"""Numbers so far by the words above; a store may add words of its own."""


@runtime_checkable
class Costed(Protocol):
    """A store whose connection knows what its own calls used. Worker processes' costs add up."""

    def costs(self) -> Counts:
        """Round trips and billed units of this connection so far."""
        ...


@runtime_checkable
class Counted(Protocol):
    """A store that can be asked what its server, or its file, has used, whoever used it.

    Answers of several connections are the same answer: they do not add up.
    """

    async def settle(self) -> None:
        """Finish what is put off (a checkpoint), so that counting begins from a state at rest.

        Where the right to do so is missing, nothing happens. Raises `StoreError`.
        """
        ...

    async def counts(self) -> Counts:
        """Numbers so far, exact while this connection has nothing in flight.

        Raises `StoreError`.
        """
        ...


@runtime_checkable
class Telling(Protocol):
    """A store whose server learns late what a connection did, unless the connection tells it."""

    async def tell(self) -> Counts:
        """Tell it, for all idle connections of this process; what telling used of itself.

        Raises `StoreError`.
        """
        ...


@runtime_checkable
class Compacting(Protocol):
    """A store with a compaction of its own, that can be asked for it."""

    async def compact(self) -> None:
        """Give back what its data does not need. Raises `StoreError`."""
        ...


@dataclass(frozen=True, slots=True)
class Bill:
    """Numbers before and after a piece of work."""

    before: Counts = field(default_factory=lambda: MappingProxyType({}))
    after: Counts = field(default_factory=lambda: MappingProxyType({}))

    def used(self, name: str) -> float | None:
        """The difference; `None` where it was not counted at both ends, or counted anew."""
        if name not in self.before or name not in self.after:
            return None
        used = self.after[name] - self.before[name]
        return used if used >= 0 or name in _SIZES else None

    def all_used(self) -> dict[str, float]:
        """Every difference there is."""
        found = {name: self.used(name) for name in self.after}
        return {name: used for name, used in found.items() if used is not None}

"""Counted costs, which stay exact where time is noisy: their names, and the stores that count them.

A count is a running total; the difference of two is what was used between them. A count that is
not available is missing, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, runtime_checkable

GENERATOR_CPU_S = "generator_cpu_s"
GENERATOR_KERNEL_S = "generator_kernel_s"
"""The part of the generator's CPU time that its processes spend in the kernel."""
SERVER_CPU_S = "server_cpu_s"
DISK_BYTES = "disk_bytes"
"""Size of the server's data folder on disk: data, logs and everything else."""
LOG_BYTES = "log_bytes"
"""Written to the write-ahead log, or to the log that is the store; without full-page images."""
FULL_PAGE_BYTES = "full_page_bytes"
"""Whole pages in that log; their number depends on the last checkpoint as well as on the design."""
LOG_BYTES_WITH_IMAGES = "log_bytes_with_images"
"""Both together, where the server does not count them apart."""
FULL_PAGE_IMAGES = "full_page_images"
DATA_BYTES = "data_bytes"
"""Tables and indexes, without logs."""
COMMITS = "commits"
SYNCS = "syncs"
"""How often the log was forced to disk."""
ROUND_TRIPS = "round_trips"
READ_UNITS, WRITE_UNITS = "read_units", "write_units"
WRITE_UNITS_BY_RULE = "write_units_by_rule"
"""What the service's published rule bills where an emulator reports less."""

BILLED = (READ_UNITS, WRITE_UNITS, WRITE_UNITS_BY_RULE)
"""The counts that a service charges for."""

_SIZES = frozenset({DISK_BYTES, DATA_BYTES})
"""May shrink. Any other count that shrinks started again, on a server that restarted."""

Counts = Mapping[str, float]
"""Running totals by the names above; a store may add names of its own.

Beside a count may stand, by the name from `began`, when the server began to count it.
"""

SERVER = "server"
"""No count: `began(SERVER)` is when the server started, or last recovered from a crash."""
SERVER_PROCESS = "server_process"
"""No count: `began(SERVER_PROCESS)` is when its first process started, and missing at its end."""
_BEGAN = " began"


def began(name: str) -> str:
    """The name under which `Counts` tell when counting began, in seconds of any one clock.

    A count that began at another moment at the end of a window than at its beginning was reset:
    a crash recovery sets counts to zero, and they may pass what they were before.
    """
    return name + _BEGAN


@runtime_checkable
class Costed(Protocol):
    """A store whose connection counts what its own calls use. Costs of worker processes add up."""

    def costs(self) -> Counts:
        """Round trips and billed units of this connection so far."""
        ...


@runtime_checkable
class Counted(Protocol):
    """A store that can report what its server or its file has used, for any connection.

    Several connections report the same totals: they do not add up.
    """

    async def settle(self) -> None:
        """Finish deferred work (a checkpoint), so that counting starts from a state at rest.

        Does nothing where the user lacks the right to do so. Raises `StoreError`.
        """
        ...

    async def counts(self) -> Counts:
        """Running totals, exact while this connection has nothing in flight.

        Raises `StoreError`.
        """
        ...


@runtime_checkable
class DeferredCounts(Protocol):
    """A store whose server learns late what a connection did, unless the connection reports it."""

    async def report_counts(self) -> Counts:
        """Report for all idle connections of this process; returns what the reporting cost.

        Raises `StoreError`.
        """
        ...


@runtime_checkable
class Compacting(Protocol):
    """A store that can compact its data on request."""

    async def compact(self) -> None:
        """Release space that the data does not need. Raises `StoreError`."""
        ...


@dataclass(frozen=True, slots=True)
class Usage:
    """Numbers before and after a piece of work."""

    before: Counts = field(default_factory=lambda: MappingProxyType({}))
    after: Counts = field(default_factory=lambda: MappingProxyType({}))

    def used(self, name: str) -> float | None:
        """The difference; `None` where one end is missing or the count started again in between."""
        if name not in self.before or name not in self.after or self._was_reset(name):
            return None
        return self.after[name] - self.before[name]

    def all_used(self) -> dict[str, float]:
        """Every difference that is known."""
        differences = {name: self.used(name) for name in self.after if not name.endswith(_BEGAN)}
        return {name: used for name, used in differences.items() if used is not None}

    @property
    def reset(self) -> list[str]:
        """Counts that are known at both ends and started again in between, by name."""
        both = self.before.keys() & self.after.keys()
        return sorted(name for name in both if not name.endswith(_BEGAN) and self._was_reset(name))

    @property
    def server_restarted(self) -> bool:
        """Whether the server ended, started or recovered in between, as far as it can be seen."""
        return self._began_anew(SERVER) or self._began_anew(SERVER_PROCESS, may_be_missing=False)

    def _was_reset(self, name: str) -> bool:
        shrank = name not in _SIZES and self.after[name] < self.before[name]
        return shrank or self._began_anew(name)

    def _began_anew(self, name: str, *, may_be_missing: bool = True) -> bool:
        before, after = self.before.get(began(name)), self.after.get(began(name))
        if after is None:
            return before is not None and not may_be_missing
        return before is not None and after != before

"""The queues that a calibration drives, and what it demands of the answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

ERROR_P50_MAX_NS = 150_000
ERROR_P99_MAX_NS = 500_000
RATE_PER_S = 1000.0
LOADS = (0.3, 0.5, 0.7, 0.9)
STALL_LOAD = 0.5


@dataclass(frozen=True, slots=True)
class Check:
    """One queue: its service times, servers, and the share of their time that is asked for."""

    service: str
    servers: int
    load: float
    rate_per_s: float = RATE_PER_S

    @property
    def mean_service_s(self) -> float:
        """What makes the load come out at this rate."""
        return self.load * self.servers / self.rate_per_s


def checks() -> Iterator[Check]:
    """Fixed and exponential service with one server and four, and a stall of a second."""
    for service in ("fixed", "exponential"):
        for servers in (1, 4):
            for load in LOADS:
                yield Check(service, servers, load)
    yield Check("stall", 1, STALL_LOAD)

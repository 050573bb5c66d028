"""Faults that a scenario or a check may cause in a server, on the way to it, and on its disk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What breaks; the value is the key and the word of the scenario's line."""

    KILL_SERVER = "kill server"
    """SIGKILL to all its processes at once; it starts again on the same data."""
    PAUSE_SERVER = "pause server"
    """SIGSTOP to all its processes, then SIGCONT."""
    CUT_NETWORK = "cut network"
    """Nothing passes either way and connections stay open; what waited passes afterwards."""
    RESET_NETWORK = "reset network"
    """Every connection breaks; new ones are accepted."""
    LOSE_ANSWERS = "lose answers"
    """Requests arrive, answers do not; the connections concerned break afterwards."""
    SLOW_NETWORK = "slow network"
    """A longer round trip, half of it each way."""
    FILL_DISK = "fill disk"
    """The file system of the server's data has no room left."""
    LOSE_POWER = "lose power"
    """The file system loses what was not flushed, every process is killed; then all start again."""

    @property
    def of_the_disk(self) -> bool:
        """Whether the server's data has to lie on a disk of the lab's own."""
        return self in (FaultKind.FILL_DISK, FaultKind.LOSE_POWER)

    @property
    def lasts(self) -> bool:
        """Whether it has an end of its own; a reset is over when it happens."""
        return self is not FaultKind.RESET_NETWORK


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a trial, as planned. Times in seconds on the trial's clock."""

    kind: FaultKind
    at_s: float
    """After the start of the measurement."""
    for_s: float = 0.0
    """How long until it is taken back; 0 for a fault that does not last."""
    rtt_ms: float = 0.0
    """Added to a round trip by a slow network."""

    def __str__(self) -> str:
        rtt = f" by {self.rtt_ms:g} ms" if self.rtt_ms else ""
        lasts = f" for {self.for_s:g} s" if self.for_s else ""
        return f"{self.kind}{rtt} at {self.at_s:g} s{lasts}"

"""How long and how hard checks try."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """A budget for each check that repeats what it provokes."""

    name: str
    seconds: float
    """Races go on for so long, from `rounds_min` rounds to `rounds_max`."""
    rounds_max: int
    limit_s: float
    """A check that takes longer has failed."""
    rounds_min: int = 12
    side_by_side: int = 6
    within_s: float = 10.0
    """How long to wait for an event that must come."""
    processes: int = 3
    """0: everything in this process."""


FAST = Profile("fast", seconds=1.5, rounds_max=2_000, limit_s=180)
FULL = Profile("full", seconds=15, rounds_max=50_000, limit_s=600)
PROFILES = {profile.name: profile for profile in (FAST, FULL)}

"""Does the generator measure what is there? It is held against queues whose answer is known."""

from __future__ import annotations

from harness.calibration.checking import Check, checks
from harness.calibration.running import Outcome, calibrate

__all__ = ["Check", "Outcome", "calibrate", "checks"]

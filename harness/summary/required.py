"""What can be required of a store, from the least to the most, and whether a manifest says such."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from harness.errors import BadInput

LEVELS: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        "occ": ("none", "emulated", "native"),
        "global_order": ("none", "per-partition", "total"),
        "idempotency": ("none", "window", "durable"),
        "append_only": ("none", "by-convention", "enforced"),
        "stream_read": ("scan", "indexed"),
        "subscription": ("none", "poll", "push"),
        "payload": ("json", "exact"),
        "writers": ("one", "one-per-partition", "many"),
        "atomic_append": (False, True),
        "gap_free_read": (False, True),
    }
)
"""What may be declared, from the least to the most."""
CLASSES = ("memory", "bounded-loss", "process-crash", "power-loss")
_NUMBERS = ("at_rate_per_s", "p50_ms", "p99_ms", "errors")


def require_known(require: Mapping[str, Any]) -> None:
    """Raises `BadInput` in one line for the first value that nothing can be held against.

    A name that this lab does not know is left alone: a newer one may have written it.
    """
    for name, wanted in require.items():
        levels = CLASSES if name == "durability" else LEVELS.get(name, ())
        if levels and wanted not in levels:
            raise _odd(name, wanted, " or ".join(map(str, levels)))
        if name in _NUMBERS and not _is_number(wanted):
            raise _odd(name, wanted, "a number from 0")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _odd(name: str, wanted: object, expected: str) -> BadInput:
    return BadInput(f"manifest.json: scenario.require.{name}: expected {expected}, got {wanted!r}")

"""A machine in eight letters: numbers measured under different ones are not of one series."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_FACTS = (
    "cpu", "memory_bytes", "memory_limit_bytes", "cpu_limit_cores", "kernel", "system",
    "virtualisation", "filesystem", "python", "versions",
)  # fmt: skip
"""What stays as it is while nobody changes the machine or its software."""


def fingerprint(environment: Mapping[str, Any]) -> str:
    """Of a manifest's `environment`: the same for the same machine and software."""
    facts = {name: environment.get(name) for name in _FACTS}
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]

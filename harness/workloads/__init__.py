"""The workloads: a file each, found by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from harness.workload import WorkloadKind


@cache
def kinds() -> Mapping[str, WorkloadKind]:
    """Every workload of this package, by name."""
    found: dict[str, WorkloadKind] = {}
    for module in pkgutil.iter_modules(__path__):
        kind = getattr(importlib.import_module(f"{__name__}.{module.name}"), "WORKLOAD", None)
        if isinstance(kind, WorkloadKind):
            found[kind.name] = kind
    return dict(sorted(found.items()))

"""The workloads: one file each, looked up by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from harness.domain.discovery import discovered
from harness.domain.workload import WorkloadKind


@cache
def kinds() -> Mapping[str, WorkloadKind]:
    """Every workload of this package and of the entry-point group `eslab.workloads`, by name."""
    origins = discovered(
        __name__, __path__, attribute="WORKLOAD", kind=WorkloadKind, group="eslab.workloads"
    )
    return {name: origin.kind for name, origin in origins.items()}

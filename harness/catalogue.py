"""The names that a scenario may use, handed down so that the loader imports no store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.store import StoreKind
from harness.workload import WorkloadKind


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every store and workload that was found, by name."""

    stores: Mapping[str, StoreKind]
    workloads: Mapping[str, WorkloadKind]

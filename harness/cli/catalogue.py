"""The catalogue that the loader is handed."""

from __future__ import annotations

from harness import stores, workloads
from harness.catalogue import Catalogue


def catalogue() -> Catalogue:
    """Every store and workload that can be found."""
    return Catalogue(stores.kinds(), workloads.kinds())

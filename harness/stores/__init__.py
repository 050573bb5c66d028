"""The event stores: a file each, found by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from harness.store import StoreKind


@cache
def kinds() -> Mapping[str, StoreKind]:
    """Every store of this package and of the entry-point group `eslab.stores`, by name."""
    found: dict[str, StoreKind] = {}
    for module in pkgutil.iter_modules(__path__):
        store = getattr(importlib.import_module(f"{__name__}.{module.name}"), "STORE", None)
        if isinstance(store, StoreKind):
            found[store.name] = store
    for point in entry_points(group="eslab.stores"):
        kind = point.load()
        found[kind.name] = kind
    return dict(sorted(found.items()))

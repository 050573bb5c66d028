"""The event stores: a file each, found by name."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from harness.store import StoreKind


@cache
def kinds() -> Mapping[str, StoreKind]:
    """Every store of this package and of the entry-point group `eslab.stores`, by name."""
    return {name: kind for name, (kind, _) in _found().items()}


def files() -> Mapping[str, str]:
    """Where the code of each store that `kinds` has was imported from, by name."""
    return {name: sys.modules[module].__file__ or "" for name, (_, module) in _found().items()}


@cache
def _found() -> Mapping[str, tuple[StoreKind, str]]:
    """Each with the module that has it."""
    found: dict[str, tuple[StoreKind, str]] = {}
    for module in pkgutil.iter_modules(__path__):
        name = f"{__name__}.{module.name}"
        store = getattr(importlib.import_module(name), "STORE", None)
        if isinstance(store, StoreKind):
            found[store.name] = store, name
    for point in entry_points(group="eslab.stores"):
        kind = point.load()
        found[kind.name] = kind, point.module
    return dict(sorted(found.items()))

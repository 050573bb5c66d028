"""The event stores: one package per technology, looked up by name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache

from harness.domain.discovery import Origin, discovered
from harness.domain.store import StoreKind


@cache
def kinds() -> Mapping[str, StoreKind]:
    """Every store of this package and of the entry-point group `eslab.stores`, by name."""
    return {name: origin.kind for name, origin in _origins().items()}


def files() -> Mapping[str, str]:
    """The file that each store of `kinds` was imported from, by the store's name."""
    return {name: sys.modules[each.module].__file__ or "" for name, each in _origins().items()}


@cache
def _origins() -> Mapping[str, Origin[StoreKind]]:
    return discovered(__name__, __path__, attribute="STORE", kind=StoreKind, group="eslab.stores")

"""Stores and workloads by name: the lab's own modules, and other packages' entry points."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from harness.domain.errors import BadInput, LabError
from harness.domain.store import StoreKind
from harness.domain.workload import WorkloadKind

T = TypeVar("T", StoreKind, WorkloadKind)


@dataclass(frozen=True, slots=True)
class Origin(Generic[T]):
    """A store or a workload, and the module that defines it."""

    kind: T
    module: str


def discovered(
    package: str, folders: Iterable[str], *, attribute: str, kind: type[T], group: str
) -> Mapping[str, Origin[T]]:
    """Every kind by its name: `attribute` of the package's modules, then the entry-point group.

    Modules whose names begin with an underscore are shared by the others.
    Raises `BadInput` for an entry point that cannot be loaded, is no `kind`, or has a name that is
    taken.
    """
    known: dict[str, Origin[T]] = {}
    for module in pkgutil.iter_modules(folders):
        if module.name.startswith("_"):
            continue
        name = f"{package}.{module.name}"
        own = getattr(importlib.import_module(name), attribute, None)
        if isinstance(own, kind):
            known[own.name] = Origin(own, name)
    for point in sorted(entry_points(group=group), key=lambda each: (each.name, each.value)):
        offered = _loaded(point, kind)
        taken = known.setdefault(offered.name, Origin(offered, point.module))
        if taken.kind is not offered:
            message = f"the name {offered.name!r} is taken by {taken.module}; expected another name"
            raise _broken(point, message)
    return dict(sorted(known.items()))


def _loaded(point: EntryPoint, kind: type[T]) -> T:
    try:
        offered = point.load()
    except LabError:
        raise
    except Exception as error:
        raise _broken(point, f"{type(error).__name__}: {error}") from error
    if not isinstance(offered, kind):
        raise _broken(point, f"expected a {kind.__name__}, got {type(offered).__name__}")
    return offered


def _broken(point: EntryPoint, why: str) -> BadInput:
    package = f" of {point.dist.name}" if point.dist else ""
    reason = " ".join(why.split())
    return BadInput(f"entry point {point.name} = {point.value}{package} ({point.group}): {reason}")

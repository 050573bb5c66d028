"""Every store variant and option set that the contract suite runs on, found by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from harness.domain.store import Adapter, Guarantees, StoreKind, StoreOptions
from harness.scenario.names import StoreRef
from harness.stores import kinds

OPTION_SETS: Mapping[str, list[dict[str, Any]]] = {
    "sqlite": [{"synchronous": "normal"}, {"synchronous": "off"}],
    "eventstoredb": [{"subscription": "persistent"}, {"categories": "links"}],
    "kafka": [{"partitions": 1}, {"flush": "each"}],
    "postgres": [
        {"payload": "jsonb"},
        {"synchronous_commit": "off"},
        {"notify": True},
        {"unlogged": True},
    ],
}
"""Option sets worth a run of their own, on a technology's default design."""

CHECKED = (
    "memory",
    "sqlite",
    "postgres",
    "postgres:coalesced",
    "postgres:global-lock",
    "postgres:table-lock",
    "postgres:counter",
    "postgres:row",
    "postgres:template",
    "kafka",
    "dynamodb",
    "dynamodb:template",
    "umadb",
)
"""Variants on which `tests/conformance/test_stores.py` runs every check."""

OF_EVERY_CHECK = ("memory", "sqlite", "postgres", "kafka", "umadb")
"""Those of them that are asked about races by every check, with their default options."""

OF_THE_CHECKS = {
    **dict.fromkeys(
        ("test_fidelity", "test_idempotency", "test_reading", "test_subscribing"), CHECKED
    ),
    "test_concurrency": OF_EVERY_CHECK,
}
"""Modules of the contract that ask what the checks ask, and the variants that need not run them."""

CHANGES_THE_PAYLOAD = ("dynamodb{driver=http}", "postgres{payload=jsonb}")
"""Option sets that write and read events in another way than their variant does."""

DOUBLED = ("eventstoredb",)
"""Technologies of which no server can be had everywhere: each case runs on a double, too."""

EVERYWHERE: Mapping[str, list[dict[str, Any]]] = {
    "dynamodb": [{"driver": "http"}],
}
"""Option sets that reach into every variant of a technology: its other drivers."""


@dataclass(frozen=True, slots=True)
class Case:
    """One store variant under one option set."""

    kind: StoreKind
    ref: StoreRef
    double: bool = False
    """On a double that speaks the technology's protocol, not on a server of it."""

    @property
    def adapter(self) -> type[Adapter]:
        """The class of the variant."""
        return self.kind.variants[self.ref.variant]

    @property
    def options(self) -> StoreOptions:
        """The validated options."""
        return self.kind.options(**self.ref.explicit)

    @property
    def declared(self) -> Guarantees:
        """What the variant declares under its options."""
        return self.adapter.declares(self.options)

    def __str__(self) -> str:
        return f"{self.ref.key}@double" if self.double else self.ref.key


def asked_by_checks(case: Case, module: str) -> bool:
    """Whether the checks, or the same variant without options, answer a module for this case."""
    key = case.ref.key
    of_options = bool(case.ref.explicit) and key not in CHANGES_THE_PAYLOAD
    return module in OF_THE_CHECKS and (of_options or key in OF_THE_CHECKS[module])


@cache
def cases() -> tuple[Case, ...]:
    """All of them, defaults first."""
    found = [case for kind in kinds().values() for case in _of(kind)]
    doubles = [replace(case, double=True) for case in found if case.kind.server in DOUBLED]
    return (*found, *doubles)


def _of(kind: StoreKind) -> Iterator[Case]:
    for variant in kind.variants:
        yield Case(kind, StoreRef(kind.name, variant))
        for explicit in EVERYWHERE.get(kind.name, []):
            yield Case(kind, StoreRef(kind.name, variant, explicit))
    for explicit in OPTION_SETS.get(kind.name, []):
        yield Case(kind, StoreRef(kind.name, "", explicit))

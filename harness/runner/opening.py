"""From a store's name to an open adapter in a namespace of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from harness.catalogue import Catalogue
from harness.scenario.naming import StoreRef
from harness.store import Adapter, Durability, Endpoint, Guarantees


@dataclass(frozen=True, slots=True)
class Opening:
    """Everything a worker process needs to open a store; it pickles."""

    adapter: type[Adapter]
    endpoint: Endpoint
    options: Any

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Adapter]:
        """The connected adapter, closed behind the block."""
        store = await self.adapter.connect(self.endpoint, self.options)
        try:
            yield store
        finally:
            await store.aclose()

    @property
    def guarantees(self) -> Guarantees:
        """What this variant declares under these options."""
        return self.adapter.declares(self.options)


def opening(store: StoreRef, catalogue: Catalogue, endpoint: Endpoint) -> Opening:
    """How to open a variant at an endpoint."""
    kind = catalogue.stores[store.technology]
    return Opening(kind.variants[store.variant], endpoint, store.options)


@asynccontextmanager
async def namespace(how: Opening) -> AsyncIterator[Adapter]:
    """A connected adapter whose namespace exists inside the block and is removed after it."""
    async with how.opened() as store:
        await store.setup()
        try:
            yield store
        finally:
            await store.teardown()


def durability(how: Opening, settings: dict[str, str]) -> Durability:
    """The class as read back from the server where the adapter can tell, else as declared."""
    read_back = getattr(how.adapter, "durability_of", None)
    return read_back(settings) if read_back else how.guarantees.durability

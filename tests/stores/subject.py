"""The store under test: its connections, what it declares, and where it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from uuid import uuid4

from harness.domain.factory import StoreFactory
from harness.domain.store import Adapter, Endpoint, Guarantees, StoreOptions
from harness.servers import Server


@dataclass(frozen=True, slots=True)
class Subject:
    """An open store on a fresh namespace of its own."""

    store: Adapter
    adapter: type[Adapter]
    options: StoreOptions
    endpoint: Endpoint
    server: Server | None
    connections: AsyncExitStack

    @property
    def declared(self) -> Guarantees:
        """What the variant declares under its options."""
        return self.adapter.declares(self.options)

    async def declared_here(self) -> Guarantees:
        """The same on the server that runs, whose own settings may be limits."""
        how = StoreFactory(self.adapter, self.endpoint, self.options)
        return (await how.asked(self.store)).guarantees

    async def connect(self, endpoint: Endpoint | None = None, **changed: object) -> Adapter:
        """Another connection, to the same namespace unless told; closed after the test.

        `changed` are options that differ from the subject's own.
        """
        options = self.options.model_copy(update=changed)
        store = await self.adapter.connect(endpoint or self.endpoint, options)
        self.connections.push_async_callback(store.aclose)
        return store


def fresh(endpoint: Endpoint) -> Endpoint:
    """The same server with a namespace that nobody has used."""
    return replace(endpoint, namespace=f"eslab_{uuid4().hex[:16]}")


@asynccontextmanager
async def opened(
    adapter: type[Adapter], options: StoreOptions, endpoint: Endpoint, server: Server | None = None
) -> AsyncIterator[Subject]:
    """A subject, set up; torn down and closed afterwards."""
    async with AsyncExitStack() as connections:
        store = await adapter.connect(endpoint, options)
        connections.push_async_callback(store.aclose)
        await store.setup()
        connections.push_async_callback(store.teardown)
        yield Subject(store, adapter, options, endpoint, server, connections)

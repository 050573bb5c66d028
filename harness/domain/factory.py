"""How a store is opened, as a value that can be sent to worker processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from harness.domain.store import Adapter, Endpoint, Guarantees, Limited


@dataclass(frozen=True, slots=True)
class StoreFactory:
    """Opens one variant of a store, in the endpoint's namespace.

    It pickles, if `adapter` and the class of `options` belong to a module.
    """

    adapter: type[Adapter]
    endpoint: Endpoint
    options: Any
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Read back from the running server, once it was asked; they may decide limits."""

    @property
    def guarantees(self) -> Guarantees:
        """What this variant declares under these options, and on its server as far as asked."""
        declared = self.adapter.declares(self.options)
        limited = getattr(self.adapter, Limited.limited.__name__, None)
        return limited(declared, self.settings) if limited else declared

    def on_server_with(self, settings: Mapping[str, str]) -> StoreFactory:
        """The same, knowing these settings of the server."""
        return replace(self, settings=dict(settings))

    async def open(self) -> Adapter:
        """A connected store, for the caller to close."""
        return await self.adapter.connect(self.endpoint, self.options)

    async def asked(self, store: Adapter) -> StoreFactory:
        """The same, knowing the server's settings where limits are among these."""
        if not isinstance(store, Limited):
            return self
        return self.on_server_with(await store.settings())

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Adapter]:
        """A connected store, closed after the block."""
        store = await self.open()
        try:
            yield store
        finally:
            await store.aclose()

    @asynccontextmanager
    async def set_up(self) -> AsyncIterator[Adapter]:
        """A connected store whose namespace exists inside the block and is removed after it."""
        async with self.opened() as store:
            await store.setup()
            try:
                yield store
            finally:
                await store.teardown()

    def with_options(self, options: Mapping[str, object]) -> StoreFactory:
        """The same with other options; those that the store does not have are ignored."""
        known = {name: options[name] for name in options if name in type(self.options).model_fields}
        return replace(self, options=self.options.model_copy(update=known)) if known else self

    def at(self, address: str) -> StoreFactory:
        """The same at another address, unless it is empty."""
        place = replace(self.endpoint, address=address or self.endpoint.address)
        return replace(self, endpoint=place)

    def in_namespace(self, name: str) -> StoreFactory:
        """The same in another namespace of its server."""
        return replace(self, endpoint=replace(self.endpoint, namespace=name))

    def __reduce__(self) -> tuple[type[StoreFactory], tuple[Any, ...]]:
        # read-only views of dictionaries do not pickle
        endpoint = replace(self.endpoint, credentials=dict(self.endpoint.credentials))
        return StoreFactory, (self.adapter, endpoint, self.options, dict(self.settings))

"""The null store, beyond the contract: what makes it the generator's ceiling."""

from __future__ import annotations

from harness.domain.store import Endpoint, StreamState
from harness.stores.null import NullOptions, NullStore


async def test_the_null_store_gives_way_to_the_loop_exactly_once_an_append():
    store = await NullStore.connect(Endpoint(), NullOptions())
    appending = store.append("order-1", [], expected=StreamState.ANY)
    steps = list(iter(lambda: next(appending.__await__(), "done"), "done"))
    assert steps == [None]

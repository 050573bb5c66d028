"""Setting up and tearing down, namespaces, connections and settings."""

from __future__ import annotations

from contextlib import suppress

import pytest

from harness.domain.durability import Durability
from harness.domain.errors import StoreError, UnsupportedByStore

from ..subject import Subject, fresh
from .support import append, events, ids, read, read_log, told


async def test_a_store_that_cannot_be_read_says_so(blind: Subject):
    first = await append(blind.store, "order-1")
    assert await append(blind.store, "order-1", events(100)) == first
    with pytest.raises(UnsupportedByStore):
        [_ async for _ in blind.store.read_stream("order-1")]
    with pytest.raises(UnsupportedByStore):
        [_ async for _ in blind.store.read_all()]
    with pytest.raises(UnsupportedByStore):
        [_ async for _ in blind.store.subscribe()]


async def test_a_torn_down_namespace_is_empty_when_set_up_again(subject: Subject):
    await append(subject.store, "order-1", events(3))
    await subject.store.teardown()
    with suppress(StoreError):
        assert await read_log(subject.store) == []
    await subject.store.setup()
    assert await read_log(subject.store) == []
    assert await read(subject.store, "order-1") == []
    assert (await append(subject.store, "order-1")).version == told(subject, 0)


async def test_two_namespaces_know_nothing_of_each_other(subject: Subject):
    other = await subject.connect(fresh(subject.endpoint))
    await other.setup()
    shared = events(2)
    await append(subject.store, "order-1", shared)
    await append(other, "order-1", shared)
    await append(other, "order-1")
    assert ids(await read_log(subject.store)) == ids(shared)
    await other.teardown()
    assert ids(await read_log(subject.store)) == ids(shared)


async def test_a_connection_may_be_opened_before_the_namespace_is_made(subject: Subject):
    endpoint = fresh(subject.endpoint)
    early = await subject.connect(endpoint)
    late = await subject.connect(endpoint)
    await late.setup()
    await append(early, "order-1")
    assert len(await read_log(late)) == 1
    await late.teardown()


async def test_a_second_connection_sees_what_the_first_has_written(subject: Subject):
    await append(subject.store, "order-1", events(3))
    other = await subject.connect()
    assert await read_log(other) == await read_log(subject.store)
    assert await read(other, "order-1") == await read(subject.store, "order-1")


async def test_settings_are_read_back_where_there_is_something_to_ask(subject: Subject):
    settings = await subject.store.settings()
    assert all(isinstance(value, str) and value for value in settings.values())
    if subject.declared.durability is not Durability.MEMORY or subject.server:
        assert settings["version"]
        assert len(settings) > 1

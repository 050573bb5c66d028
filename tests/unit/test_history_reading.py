"""Reading a store back into columns, on the memory store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from harness.domain.errors import StoreUnavailable
from harness.domain.identity import event_id, id_base
from harness.domain.store import Endpoint, EventStore, NewEvent, StreamState
from harness.stores.memory.store import MemoryOptions, MemoryStore
from harness.verification import FOREIGN, Log, Reader
from harness.verification.reading import FOREIGN_KEPT

from ..corrupting import Corrupting

BASE = id_base("reading back")


def data_of(sequence: int) -> bytes:
    return b'{"n":%d}' % sequence


def events(*sequences: int) -> list[NewEvent]:
    return [NewEvent(event_id(BASE, number), "Counted", data_of(number)) for number in sequences]


def reader(store: EventStore, *streams: str, **how: Any) -> Reader:
    known = {"base": BASE, "data_of": data_of, "payload": "exact"}
    return Reader(store, streams=streams, **(known | how))


async def log_of(store: EventStore, *streams: str, **how: Any) -> Log:
    """The whole log, in one block."""
    blocks: list[Log] = []
    await reader(store, *streams, **how).read_log(blocks.append)
    (log,) = blocks
    return log


@asynccontextmanager
async def memory() -> AsyncIterator[MemoryStore]:
    store = await MemoryStore.connect(Endpoint(namespace=uuid4().hex), MemoryOptions())
    await store.setup()
    yield store
    await store.teardown()


async def append(store: MemoryStore, stream: str, batch: list[NewEvent]) -> None:
    await store.append(stream, batch, expected=StreamState.ANY)


async def intact(payload: str, data: bytes, written: bytes) -> bool:
    """Whether `data`, read back, is taken for what was written."""
    async with memory() as store:
        await append(store, "a", [NewEvent(event_id(BASE, 0), "Counted", data)])
        log = await log_of(store, data_of=lambda _: written, payload=payload)
    return bool(log.intact[0])


async def test_the_log_is_read_in_its_order():
    async with memory() as store:
        await append(store, "b", events(4, 5))
        await append(store, "a", events(0))
        log = await log_of(store, "a", "b")
    assert log.stream.tolist() == [1, 1, 0]
    assert log.version.tolist() == [0, 1, 0]
    assert log.event.tolist() == [4, 5, 0]
    assert log.intact.all()
    assert log.ascending.all()


async def test_an_empty_store_gives_an_empty_log():
    async with memory() as store:
        log = await log_of(store, "a")
    assert len(log) == 0
    assert log.names == {0: "a"}


async def test_a_foreign_id_is_kept_with_its_place_and_no_payload_is_asked_for():
    foreign = NewEvent(uuid4(), "Counted", b"")
    async with memory() as store:
        await append(store, "a", [foreign])
        log = await log_of(store, "a", data_of={}.get)
    assert log.event.tolist() == [FOREIGN]
    assert log.foreign == {(0, 0): foreign.id}


async def test_only_so_many_foreign_ids_are_kept():
    async with memory() as store:
        await append(store, "a", [NewEvent(uuid4(), "Counted", b"") for _ in range(300)])
        log = await log_of(store, "a")
    assert (log.event == FOREIGN).sum() == 300
    assert len(log.foreign) == FOREIGN_KEPT


async def test_an_id_below_the_base_is_foreign():
    async with memory() as store:
        await append(store, "a", [NewEvent(UUID(int=BASE - 1), "Counted", b"")])
        log = await log_of(store, "a")
    assert log.event.tolist() == [FOREIGN]


async def test_a_stream_that_nobody_named_gets_the_next_number():
    async with memory() as store:
        await append(store, "unexpected", events(0))
        log = await log_of(store, "a")
    assert log.stream.tolist() == [1]
    assert log.names == {0: "a", 1: "unexpected"}


async def test_a_position_that_does_not_grow_is_noted():
    victim = (-BASE) % 1000
    async with memory() as store:
        await append(store, "a", events(victim, victim + 1))
        log = await log_of(Corrupting(store, "reorders"), "a")
    assert log.ascending.tolist() == [True, False]


async def test_streams_are_read_one_by_one_and_a_missing_one_is_empty():
    async with memory() as store:
        await append(store, "a", events(0, 1))
        await append(store, "c", events(2))
        taken: list[tuple[int, list[int]]] = []
        reading = reader(store, "a", "b", "c")
        for stream in range(3):
            await reading.read_stream(
                stream, lambda number, log: taken.append((number, log.event.tolist()))
            )
    assert taken == [(0, [0, 1]), (1, []), (2, [2])]


async def test_a_long_log_comes_in_blocks():
    async with memory() as store:
        await append(store, "a", events(*range(5)))
        await append(store, "b", events(*range(5, 8)))
        blocks: list[Log] = []
        await reader(store, "a", block=3).read_log(blocks.append)
    assert [log.event.tolist() for log in blocks] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert [log.stream.tolist() for log in blocks] == [[0, 0, 0], [0, 0, 1], [1, 1]]
    assert all(log.ascending.all() for log in blocks)
    assert blocks[-1].names == {0: "a", 1: "b"}


async def test_a_log_that_ends_with_its_block_has_no_row_more():
    async with memory() as store:
        await append(store, "a", events(*range(4)))
        blocks: list[Log] = []
        await reader(store, block=2).read_log(blocks.append)
    assert sum(map(len, blocks)) == 4


async def test_a_store_that_cannot_be_read_raises_what_it_raises():
    store = await MemoryStore.connect(Endpoint(namespace="never made"), MemoryOptions())
    with pytest.raises(StoreUnavailable):
        await log_of(store)


@pytest.mark.parametrize(
    ("data", "written"),
    [
        (b'{"b": 2, "a": 1}', b'{"a":1,"b":2}'),
        (b"[1.0, 100]", b"[1, 1e2]"),
        ('"é"'.encode(), b'"\\u00e9"'),
        (b"\xff", b"\xff"),
    ],
)
async def test_the_same_json_value_is_intact_where_json_is_promised(data: bytes, written: bytes):
    assert await intact("json", data, written)
    assert await intact("exact", data, written) is (data == written)


@pytest.mark.parametrize(
    ("data", "written"),
    [
        (b"[1]", b"[true]"),
        (b"[0]", b"[false]"),
        (b"9007199254740992", b"9007199254740993"),
        (b"0.1000000000000000055", b"0.1"),
        (b"[1, 2]", b"[2, 1]"),
        (b'{"a": null}', b"{}"),
        (b'["number", 1]', b'["number", 2]'),
        (b"not json", b"{}"),
        (b"\xff", b"{}"),
        (b"{}", b"\xff"),
        (b"[" * 100_000, b"[]"),
        (b"1e9999999999999999999", b"1"),
    ],
)
async def test_another_json_value_is_altered(data: bytes, written: bytes):
    assert not await intact("json", data, written)

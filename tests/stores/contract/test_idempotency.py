"""Idempotency by event id, as declared: durable, within a window, or none."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from harness.domain.errors import EventIdReused, NotWritten

from ..subject import Subject
from .support import ANY, EXISTS, NO_STREAM, append, event, events, ids, read_log, versions

durable = pytest.mark.declares(idempotency=("durable",))
at_once = pytest.mark.declares(idempotency=("durable", "window"))


@at_once
async def test_an_exact_retry_returns_the_original_result(subject: Subject):
    for size in (1, 3):
        batch = events(size)
        stream = f"order-{size}"
        first = await append(subject.store, stream, batch, expected=NO_STREAM)
        again = await append(subject.store, stream, batch, expected=NO_STREAM)
        assert again == first
    assert len(await read_log(subject.store)) == 4


@durable
async def test_a_retry_is_recognised_whatever_it_expects(subject: Subject):
    await append(subject.store, "order-1")
    batch = events(2)
    first = await append(subject.store, "order-1", batch, expected=0)
    for expected in (0, ANY, EXISTS, NO_STREAM, 2, 99):
        assert await append(subject.store, "order-1", batch, expected=expected) == first
    assert versions(await read_log(subject.store)) == [0, 1, 2]


@durable
async def test_a_retry_is_recognised_after_later_appends(subject: Subject):
    batch = events(2)
    first = await append(subject.store, "order-1", batch, expected=NO_STREAM)
    for _ in range(5):
        await append(subject.store, "order-1", events(2))
        await append(subject.store, "order-2", events(2))
    assert await append(subject.store, "order-1", batch, expected=NO_STREAM) == first
    assert await append(subject.store, "order-1", batch) == first
    assert len(await read_log(subject.store)) == 22


@durable
async def test_a_retry_through_another_connection_is_recognised(subject: Subject):
    batch = events(2)
    first = await append(subject.store, "order-1", batch)
    elsewhere = await subject.connect()
    assert await append(elsewhere, "order-1", batch) == first
    assert ids(await read_log(subject.store)) == ids(batch)


@durable
async def test_the_same_append_sent_many_times_at_once_is_written_once(subject: Subject):
    for number, expected in enumerate((NO_STREAM, ANY)):
        batch = events(2)
        sending = [
            append(subject.store, f"order-{number}", batch, expected=expected) for _ in range(8)
        ]
        results = await asyncio.gather(*sending)
        assert set(results) == {results[0]}
    assert len(await read_log(subject.store)) == 4


@durable
async def test_a_known_id_in_anything_but_an_exact_retry_is_refused(subject: Subject):
    batch = events(3)
    one, two, three = batch
    await append(subject.store, "order-1", batch)
    reuses = {
        "partial overlap": ("order-1", [three, event()]),
        "partial overlap at the end": ("order-1", [event(), one]),
        "another stream": ("order-2", batch),
        "another order": ("order-1", [two, one, three]),
        "not one after another": ("order-1", [one, three]),
        "another payload": ("order-1", [replace(one, data=b'{"other": 1}'), two, three]),
        "another type": ("order-1", [one, replace(two, type="OrderPaid"), three]),
        "other metadata": ("order-1", [one, two, replace(three, metadata=b'{"other": 1}')]),
        "one twice": ("order-1", [one, one]),
    }
    before = await read_log(subject.store)
    for reuse, (stream, reused) in reuses.items():
        for expected in (ANY, 2, NO_STREAM):
            try:
                await append(subject.store, stream, reused, expected=expected)
            except EventIdReused:
                continue
            pytest.fail(f"{reuse} was accepted, expecting {expected}")
    assert await read_log(subject.store) == before


@durable
async def test_the_same_new_id_twice_in_one_append_is_refused(subject: Subject):
    twin = event()
    with pytest.raises(EventIdReused):
        await append(subject.store, "order-1", [twin, twin])
    assert await read_log(subject.store) == []


@pytest.mark.declares(idempotency=("window",))
async def test_a_partial_overlap_within_the_window_is_refused(subject: Subject):
    batch = events(2)
    await append(subject.store, "order-1", batch, expected=NO_STREAM)
    with pytest.raises(NotWritten):
        await append(subject.store, "order-1", [batch[1], event()], expected=NO_STREAM)
    assert ids(await read_log(subject.store)) == ids(batch)


@pytest.mark.declares(idempotency=("none",))
async def test_a_retry_is_refused_or_written_again_but_never_half(subject: Subject):
    batch = events(2)
    await append(subject.store, "order-1", batch)
    written = 1
    with suppress(NotWritten):
        await append(subject.store, "order-1", batch)
        written = 2
    if subject.declared.append_only != "none":
        assert ids(await read_log(subject.store)) == ids(batch) * written

"""Appending: what an append may expect, what it returns, and that it is all or nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest

from harness.domain.errors import (
    BatchTooLarge,
    EmptyAppend,
    EventIdReused,
    EventTooLarge,
    NotWritten,
)

from ..subject import Subject
from .support import (
    ANY,
    EXISTS,
    NO_STREAM,
    append,
    assert_conflict,
    event,
    events,
    ids,
    only,
    read,
    read_log,
    told,
    versions,
)

pytestmark = pytest.mark.leaves_out(
    "dynamodb:commit{driver=http}",
    "dynamodb:sequenced{driver=http}",
    "eventstoredb{categories=links}",
    "eventstoredb{subscription=persistent}",
    "postgres{synchronous_commit=off}",
    "postgres{unlogged=true}",
)
"""Options that are about other things than an append's answer, or asked of the default design."""

HOLDS = [(0, ANY), (0, NO_STREAM), (2, ANY), (2, EXISTS), (2, 1)]
FAILS = [(0, EXISTS), (0, 0), (0, 7), (2, NO_STREAM), (2, 0), (2, 2), (2, 7)]
"""Events in the stream before, and what the append expects of it."""


async def test_an_append_is_written_where_the_stream_is_as_expected(subject: Subject):
    for number, (existing, expected) in enumerate(HOLDS):
        if subject.declared.occ == "none" and expected is not ANY:
            continue
        stream = f"order-{number}"
        before = events(existing)
        if before:
            await append(subject.store, stream, before)
        added = events(2)
        result = await append(subject.store, stream, added, expected=expected)
        assert result.version == told(subject, existing + 1)
        assert ids(await read(subject.store, stream)) == ids(before + added)


async def test_a_stale_append_is_refused_and_writes_nothing(subject: Subject):
    """And leaves the caller's events alone."""
    for number, (existing, expected) in enumerate(FAILS):
        stream = f"order-{number}"
        if existing:
            await append(subject.store, stream, events(existing))
        actual, batch = existing - 1 if existing else None, events(2)
        copy = list(batch)
        await assert_conflict(subject, stream, batch, expected=expected, actual=actual)
        assert batch == copy


async def test_a_negative_number_never_stands_for_a_state(subject: Subject):
    await append(subject.store, "order-1")
    for stream in ("order-1", "order-2"):
        before = await read(subject.store, stream)
        for number in (-1, -2, -3):
            with pytest.raises((NotWritten, ValueError)):
                await append(subject.store, stream, expected=number)
        assert await read(subject.store, stream) == before


async def test_versions_count_from_zero_without_gaps_and_the_result_is_the_last_events_place(
    subject: Subject,
):
    length = 0
    for size in (1, 3, 1, 2):
        result = await append(subject.store, "order-1", events(size))
        length += size
        recorded = await read(subject.store, "order-1")
        assert versions(recorded) == list(range(length))
        assert result.version == told(subject, length - 1)
        assert result.position in (recorded[-1].position, None)
        await append(subject.store, "order-2")


async def test_as_many_events_as_declared_are_written_in_their_order_and_no_more(subject: Subject):
    """Where one more is refused by its own error, or where no limit is declared."""
    limit = subject.declared.batch_limit
    if limit is not None:
        with pytest.raises(BatchTooLarge):
            await append(subject.store, "order-1", events(limit + 1))
        assert await read(subject.store, "order-1") == []
    batch = events(limit or 1000)
    result = await append(subject.store, "order-1", batch)
    assert result.version == told(subject, len(batch) - 1)
    assert ids(await read(subject.store, "order-1")) == ids(batch)
    assert ids(await read_log(subject.store)) == ids(batch)


async def test_an_append_of_nothing_is_refused(subject: Subject):
    await append(subject.store, "order-1")
    for stream in ("order-1", "order-2"):
        for expected in (ANY, NO_STREAM, EXISTS, 0):
            with pytest.raises(EmptyAppend):
                await append(subject.store, stream, [], expected=expected)
    assert len(await read_log(subject.store)) == 1


async def test_a_refused_batch_leaves_nothing_behind(subject: Subject):
    """The event in the middle was written before."""
    first = event()
    await append(subject.store, "order-1", [first])
    batch = [event(), first, event()]
    promised = subject.declared.refuses_known_ids and subject.declared.idempotency != "none"
    with pytest.raises(EventIdReused) if promised else suppress(NotWritten):
        await append(subject.store, "order-1", batch)
    written = set(ids(await read_log(subject.store)))
    if subject.declared.atomic_append:
        assert written in ({first.id}, set(ids(batch)))
    assert first.id in written


async def test_a_megabyte_comes_back_or_is_refused_by_its_own_error(subject: Subject):
    data = b'{"note": "' + b"0123456789abcdef" * 65536 + b'"}'
    limit = (await subject.declared_here()).event_limit_bytes
    if limit is not None and limit < len(data):
        with pytest.raises(EventTooLarge):
            await append(subject.store, "order-1", [event(data)])
        assert await read(subject.store, "order-1") == []
    else:
        await append(subject.store, "order-1", [event(data)])
        recorded = only(await read(subject.store, "order-1"))
        assert len(recorded.data) >= 2**20

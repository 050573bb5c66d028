"""Fidelity: what comes back is what was written, to the byte or to the JSON value, as declared."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from harness.domain.errors import AppendRefused

from ..subject import Subject
from .support import append, event, events, ids, only, read, read_log, told

PAYLOADS = {
    "key order and spaces": b'{"b": 1,  "a": [1, 2 ,3]}',
    "repeated keys": b'{"a": 1, "a": 2}',
    "unicode": '{"name": "Zoë", "city": "Санкт-Петербург", "mood": "\N{PARTY POPPER}"}'.encode(),
    "escaped": rb'{"name": "Zo\u00eb", "quote": "\"", "slash": "\/\\"}',
    "beyond a double": b'{"n": 9007199254740993, "big": 123456789012345678901234567890}',
    "nested": b'[[[[{"a": [null, true, false, {}]}]]]]',
    "a bare value": b'"text"',
}
NOT_JSON = {
    "every byte": bytes(range(256)) * 3,
    "nothing": b"",
    "NUL": b"\x00",
    "not UTF-8": b"\xff\xfe\x00\xd8",
    "NaN": b'{"n": NaN}',
    "escaped NUL": rb'{"name": "a\u0000b"}',
}
STREAMS = (
    "order-1", "Order-1", "ORDER-1", "order-10", "order-1-2", "order", "-order", "order--1",
    "a/b", "a:b", "a.b", "a#b", "a|b", "a,b", "a;b", "a@b", "a=b", "a&b", "a+b", "a b", " a", "a ",
    "'", "''", '"', "`", "\\", "\\'", "%", "_", "a%", "?", "*", "$1", ":name", "{}", "$$", "..",
    "$all",
    "'; DROP TABLE events; --", "\" OR \"\"=\"", "NULL", "0", "-1", "1e5",
    "line\nbreak", "tab\tstop", "return\r",
    "заказ-1", "注文-1", "طلب-1", "Zoë-1", "Zoe\N{COMBINING DIAERESIS}-1", "straße", "STRASSE",
    "\N{PARTY POPPER}-1", "\u200b",
    "x" * 255, "x" * 256, "long-" + "0123456789" * 99 + "a", "long-" + "0123456789" * 99 + "b",
)  # fmt: skip
"""Each is a stream of its own: nothing may be folded, trimmed, cut, escaped or executed."""


async def test_json_comes_back_as_declared(subject: Subject):
    written = [event(payload, metadata=payload) for payload in PAYLOADS.values()]
    await append(subject.store, "order-1", written)
    recorded = await read(subject.store, "order-1")
    for name, payload, one in zip(PAYLOADS, PAYLOADS.values(), recorded, strict=True):
        for field in ("data", "metadata"):
            back = getattr(one, field)
            if field == "metadata" and not subject.declared.keeps_metadata:
                assert back == b"", name
            elif subject.declared.payload == "exact":
                assert back == payload, (name, field)
            else:
                assert json.loads(back) == json.loads(payload), (name, field)


@pytest.mark.parametrize("field", ["data", "metadata"])
async def test_bytes_that_are_not_json_come_back_or_are_refused(subject: Subject, field: str):
    for name, payload in NOT_JSON.items():
        written = event(**{field: payload})
        try:
            await append(subject.store, f"order-{name}", [written])
        except AppendRefused:
            assert subject.declared.payload == "json", name
            assert await read(subject.store, f"order-{name}") == []
        else:
            recorded = only(await read(subject.store, f"order-{name}"))
            kept = field == "data" or subject.declared.keeps_metadata
            assert getattr(recorded, field) == (payload if kept else b""), name


async def test_an_event_without_metadata_comes_back_without(subject: Subject):
    await append(subject.store, "order-1", [event(metadata=b"")])
    recorded = only(await read(subject.store, "order-1"))
    assert recorded.metadata == b""


async def test_an_event_comes_back_with_its_id_and_type(subject: Subject):
    written = [
        event(id=UUID(int=1), type="order placed"),
        event(id=UUID(int=(1 << 128) - 1), type="Bestellung-übernommen/v2"),
        event(type="x" * 200),
        event(type="'; --\n\t\""),
    ]
    await append(subject.store, "order-1", written)
    for recorded in (await read(subject.store, "order-1"), await read_log(subject.store)):
        assert ids(recorded) == ids(written)
        assert [one.type for one in recorded] == [one.type for one in written]
        assert {one.stream for one in recorded} == {"order-1"}


async def test_every_stream_name_is_a_stream_of_its_own(subject: Subject):
    written = {stream: event() for stream in STREAMS}
    for stream, one in written.items():
        result = await append(subject.store, stream, [one])
        assert result.version == told(subject, 0), stream
    for stream, one in written.items():
        recorded = only(await read(subject.store, stream))
        assert (recorded.id, recorded.stream) == (one.id, stream)
    log = await read_log(subject.store)
    assert sorted(one.stream for one in log) == sorted(STREAMS)


async def test_a_stream_name_that_cannot_be_kept_is_refused(subject: Subject):
    kept = []
    for name in ("nul\x00l", "\ud800 alone", "y" * 3000):
        with suppress(AppendRefused):
            await append(subject.store, name)
            kept.append(name)
            assert only(await read(subject.store, name)).stream == name
        assert sorted(one.stream for one in await read_log(subject.store)) == sorted(kept)


async def test_timestamps_are_utc_whatever_the_local_time(subject: Subject, far_east: None):
    before = datetime.now(UTC)
    await append(subject.store, "order-1", events(2))
    after = datetime.now(UTC)
    slack = timedelta(seconds=2)
    for recorded in await read_log(subject.store):
        assert recorded.recorded_at.utcoffset() == timedelta(0)
        assert before - slack <= recorded.recorded_at <= after + slack

"""Fidelity: what comes back is what was written, whatever it was."""

from __future__ import annotations

import json
import operator
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step, Unsupported, check
from harness.conformance.declared import ALWAYS, EXACT, KEEPS, METADATA, SNAPSHOTS
from harness.conformance.everywhere import Item, comes_back
from harness.conformance.paging import compared, letters
from harness.errors import AppendRefused, BatchTooLarge, EventTooLarge, StreamNotFound
from harness.store import Snapshot, SnapshotStore

NAMES = (
    "Zoë", "注文", "\N{PARTY POPPER}", "a b", " a ", "'", '"', "\\", "%", "_", "a/b", "a:b", "a#b",
    "$1", ":name", "'; DROP TABLE events; --", "line\nbreak", "tab\tstop", "{}", "straße", "NULL",
)  # fmt: skip
BINARY = {
    "every byte": bytes(range(256)) * 2,
    "NUL": b"\x00",
    "NUL inside": b"before\x00after",
    "not UTF-8": b"\xff\xfe\x00\xd8",
    "nothing": b"",
}
NUMBERS = {
    "2^53 + 1": b'{"n": 9007199254740993}',
    "NaN": b'{"n": NaN}',
    "key order": b'{"b": 1,  "a": 2}',
    "repeated keys": b'{"a": 1, "a": 2}',
    "a small exponent": b'{"n": 1.0E-7, "z": 1.10}',
}
LONG_TYPE = "OrderPlacedByACustomerOfLongStanding"
MEGABYTE = 1024 * 1024
HUNDRED = 100
FAR_AWAY = "Pacific/Kiritimati"
CLOCKS_APART_S = 5.0
TESTED_BYTES_MAX = 2 * MEGABYTE


@check(
    40,
    provokes="appends to streams with such names, events of types with such names, and reads each"
    " back from its stream, from the log and through subscriptions",
    leaves="the name and what was read under it",
    declaration=ALWAYS,
)
async def any_name_is_a_stream_of_its_own(bench: Bench) -> None:
    """Unicode, separators, quotes and SQL in the name of a stream or a type are just its name."""
    items = [
        Item(
            f"the name {name!r}",
            f"{bench.stream()}{name}",
            replace(bench.events()[0], type=f"{LONG_TYPE}{name}"),
        )
        for name in NAMES
    ]
    await comes_back(bench, items, "stream", "type")


@check(
    41,
    provokes="writes every byte, NUL, broken UTF-8 and nothing, as data and as metadata, and reads"
    " them from the stream, from the log and through subscriptions",
    leaves="the bytes that were written and those that were read",
    declaration=EXACT,
)
async def arbitrary_bytes_come_back(bench: Bench) -> None:
    """NUL and arbitrary bytes come back in data and metadata."""
    await _comes_back(bench, BINARY, as_metadata=bench.guarantees.keeps_metadata)


@check(
    42,
    provokes="writes JSON that a number type or an object type would change, and reads it from the"
    " stream, from the log and through subscriptions",
    leaves="the text that was written and what was read",
    declaration=EXACT,
)
async def json_is_not_rewritten(bench: Bench) -> None:
    """2^53 + 1, NaN and the order of keys survive."""
    await _comes_back(bench, NUMBERS)


async def _comes_back(
    bench: Bench, payloads: Mapping[str, bytes], *, as_metadata: bool = False
) -> None:
    items = []
    for label, payload in payloads.items():
        event = bench.events(data=payload)[0]
        event = replace(event, metadata=payload) if as_metadata else event
        items.append(Item(label, bench.stream(), event))
    await comes_back(bench, items, *(["data", "metadata"] if as_metadata else ["data"]))


@check(
    43,
    provokes=f"appends and reads with TZ={FAR_AWAY} and compares with the lab's clock",
    leaves="the time as read and the time of the append",
    declaration=ALWAYS,
)
async def timestamps_are_utc(bench: Bench) -> None:
    """Timestamps are UTC, whatever TZ says."""
    stream = bench.stream()
    with _timezone(FAR_AWAY):
        before = datetime.now(UTC)
        await bench.append(stream, bench.events(1))
        (event,) = await bench.read(stream)
        after = datetime.now(UTC)
    slack = timedelta(seconds=CLOCKS_APART_S)
    at = event.recorded_at
    if at.utcoffset() != timedelta(0) or not before - slack <= at <= after + slack:
        times = [Step("the writer", f"appended at {before}"), Step("a reader", "read", f"{at!r}")]
        raise Broken("a recorded time is not the append's in UTC", times)


@contextmanager
def _timezone(name: str) -> Iterator[None]:
    was = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if was is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = was
        time.tzset()


@check(
    44,
    provokes="writes them into metadata and reads them from the stream, from the log and through"
    " subscriptions",
    leaves="the metadata that was written and that was read",
    declaration=METADATA,
)
async def correlation_and_causation_come_back(bench: Bench) -> None:
    """Correlation and causation ids come back as they were."""
    event = replace(bench.events()[0], metadata=b'{"correlationId": "0b6c", "causationId": "17aa"}')
    same = _same_json if bench.guarantees.payload == "json" else operator.eq
    await comes_back(bench, [Item("metadata", bench.stream(), event)], "metadata", same=same)


def _same_json(one: Any, other: Any) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


@check(
    45,
    provokes="appends 1 MB, and one byte more than the declared limit",
    leaves="the answer, and how many bytes were read back",
    declaration=ALWAYS,
)
async def a_megabyte_is_kept_or_refused(bench: Bench) -> None:
    """An event of 1 MB comes back, or is refused by a typed error."""
    limit = bench.guarantees.event_limit_bytes
    sizes = [MEGABYTE]
    if limit is not None and limit < TESTED_BYTES_MAX:
        sizes.append(limit + 1)
    for size in sizes:
        stream = bench.stream()
        data = b'{"x": "' + letters(bench, size - 9) + b'"}'
        ended = await bench.attempt(stream, bench.events(1, data=data))
        if isinstance(ended, EventTooLarge):
            if await bench.exists(stream):
                raise Broken("a refused event is there", bench.steps)
            continue
        if isinstance(ended, Exception):
            raise Broken(f"{size:,} bytes were refused by {type(ended).__name__}", bench.steps)
        (event,) = await bench.read(stream)
        if event.data != data:
            read = Step("a reader", f"read {stream!r}", compared(event.data, data))
            raise Broken(f"{len(data):,} bytes came back as others", [*bench.steps, read])


@check(
    46,
    provokes="appends 100 events at once",
    leaves="the answer, and how many events were read back",
    declaration=KEEPS,
)
async def a_hundred_events_in_one_append(bench: Bench) -> None:
    """100 events in one append are written in their order, or refused by a typed error."""
    stream, batch = bench.stream(), bench.events(HUNDRED)
    try:
        await bench.append(stream, batch)
    except BatchTooLarge:
        limit = bench.guarantees.batch_limit
        if limit is None or limit >= HUNDRED or await bench.exists(stream):
            raise Broken("100 events were refused without a declared limit", bench.steps) from None
        await bench.append(stream, batch[:limit])
        batch = batch[:limit]
    except AppendRefused as error:
        raise Broken(f"100 events were refused by {type(error).__name__}", bench.steps) from None
    found = await bench.read(stream)
    if [each.id for each in found] != [each.id for each in batch]:
        read = Step("a reader", f"read {stream!r}", f"{len(found)} events")
        raise Broken(f"{len(batch)} events came back as others", [*bench.steps, read])


@check(
    47,
    provokes="saves snapshots of versions 3, 7 and 5, and loads on another connection after each",
    leaves="what was saved and what was loaded",
    declaration=SNAPSHOTS,
)
async def a_newer_snapshot_replaces_an_older_one(bench: Bench) -> None:
    """A newer snapshot replaces an older one, never the other way."""
    if not isinstance(bench.store, SnapshotStore):
        raise Unsupported("keeps no snapshots")
    stream, other = bench.stream(), await bench.another()
    assert isinstance(other, SnapshotStore)
    steps = []
    for version, wanted in ((3, 3), (7, 7), (5, 7)):
        await bench.store.save_snapshot(_snapshot(stream, version))
        loaded = await other.load_snapshot(stream)
        steps.append(Step("the writer", f"saved version {version}", at_ms=bench.at_ms()))
        steps.append(Step("a reader, on another connection", "loaded", str(loaded)))
        if loaded != _snapshot(stream, wanted) and not (
            bench.guarantees.payload == "json" and loaded and loaded.version == wanted
        ):
            raise Broken("the newest snapshot is not the one that is loaded", steps)


def _snapshot(stream: str, version: int) -> Snapshot:
    return Snapshot(stream, version, b'{"v": %d}' % version)


@check(
    50,
    provokes="reads a stream past its head, and one that nobody made",
    leaves="how both reads ended",
    declaration=ALWAYS,
)
async def a_missing_stream_differs_from_an_empty_one(bench: Bench) -> None:
    """A missing stream differs from one that has nothing more to read."""
    stream, missing = bench.stream(), bench.stream()
    await bench.append(stream, bench.events(1))
    if found := await bench.read(stream, start=1):
        read = Step("a reader", f"read {stream!r} from version 1", f"{len(found)} events")
        raise Broken("a stream is longer than what was written", [read])
    try:
        found = await bench.read(missing)
    except StreamNotFound:
        return
    read = Step("a reader", f"read {missing!r}", f"{len(found)} events and no error")
    raise Broken("a stream that nobody made reads like an empty one", [read])

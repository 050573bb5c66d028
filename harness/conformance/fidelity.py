"""Fidelity: what comes back is what was written, whatever it was."""

from __future__ import annotations

import json
import operator
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step, Unsupported, check
from harness.conformance.declared import ALWAYS, EXACT, KEEPS, METADATA, SNAPSHOTS
from harness.conformance.everywhere import Item, comes_back, written_and_read
from harness.conformance.paging import compared, letters
from harness.conformance.snapshots import is_loaded, save, snapshot
from harness.errors import AppendRefused, BatchTooLarge, EventTooLarge, StreamNotFound
from harness.store import NewEvent, RecordedEvent, SnapshotStore

NAMES = (
    "Zoë", "注文", "\N{PARTY POPPER}", "a b", " a ", "'", '"', "\\", "%", "_", "a/b", "a:b", "a#b",
    "$1", ":name", "'; DROP TABLE events; --", "line\nbreak", "tab\tstop", "{}", "straße", "NULL",
)  # fmt: skip
ALIKE = ("a_b", "a%b", "axb")
"""Behind the same beginning: the first two are patterns that would match all three."""
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
    provokes="appends to streams with such names, and to one that a pattern would take for"
    " another, events of types with such names, and reads each back from its stream, from the log"
    " and through subscriptions",
    leaves="the append to that name and what was read under it",
    declaration=ALWAYS,
)
async def any_name_is_a_stream_of_its_own(bench: Bench) -> None:
    """Unicode, separators, quotes and SQL in the name of a stream or a type are just its name."""
    base = bench.stream()
    items = [
        Item(
            f"the name {name!r}",
            f"{bench.stream() if name in NAMES else base}{name}",
            replace(bench.events()[0], type=f"{LONG_TYPE}{name}"),
        )
        for name in NAMES + ALIKE
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
    provokes=f"appends and reads with TZ={FAR_AWAY}, from the stream, from the log and through"
    " subscriptions, and compares with the lab's clock",
    leaves="the time as read and the time of the append",
    declaration=ALWAYS,
)
async def timestamps_are_utc(bench: Bench) -> None:
    """Timestamps are UTC, whatever TZ says."""
    item = Item("an event", bench.stream(), bench.events()[0])
    with _timezone(FAR_AWAY):
        before = datetime.now(UTC)
        refused, readings = await written_and_read(bench, [item])
        after = datetime.now(UTC)
    if refused:
        raise Broken("an append was refused", list(refused.values()))
    slack = timedelta(seconds=CLOCKS_APART_S)
    for reading in readings:
        at = reading.found.recorded_at
        if at.utcoffset() != timedelta(0) or not before - slack <= at <= after + slack:
            appended = replace(reading.appended, result=f"acknowledged, not before {before}")
            read = Step(reading.who, f"read {item.stream!r}", f"recorded at {at!r}", reading.at_ms)
            raise Broken("a recorded time is not the append's in UTC", [appended, read])


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
    provokes="appends 100 events at once, each with a type, data and metadata of its own",
    leaves="the answer, and the first event that was read back as another, from the stream or the"
    " log",
    declaration=KEEPS,
)
async def a_hundred_events_in_one_append(bench: Bench) -> None:
    """100 events in one append are written in their order, or refused by a typed error."""
    stream, batch = bench.stream(), _all_different(bench)
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
    _each_its_own(bench, batch, await bench.read(stream), f"read {stream!r}")
    if bench.guarantees.global_order != "none":
        _each_its_own(bench, batch, await bench.log([stream]), "read the log")


def _all_different(bench: Bench) -> list[NewEvent]:
    metadata = bench.guarantees.keeps_metadata
    return [
        replace(event, type=f"Order{n}", metadata=b'{"of": %d}' % n if metadata else b"")
        for n, event in enumerate(bench.events(HUNDRED))
    ]


def _each_its_own(
    bench: Bench, batch: Sequence[NewEvent], found: Sequence[RecordedEvent], did: str
) -> None:
    """Raises `Broken` unless each event is the one in its place, with all that it had."""
    if [each.id for each in found] != [each.id for each in batch]:
        read = Step("a reader", did, f"{len(found)} events", bench.at_ms())
        raise Broken(f"{len(batch)} events came back as others", [*bench.steps, read])
    same = _same_json if bench.guarantees.payload == "json" else operator.eq
    for n, (event, wanted) in enumerate(zip(found, batch, strict=True)):
        for part in ("type", "data", "metadata"):
            was, now = getattr(wanted, part), getattr(event, part)
            if not (was == now or same(was, now)):
                read = Step("a reader", did, f"at {n}: {part} {now!r}, not {was!r}", bench.at_ms())
                raise Broken(f"event {n} of {len(batch)} came back changed", [*bench.steps, read])


@check(
    47,
    provokes="saves snapshots of versions 3, 7 and 5 beside another stream's of version 9, and"
    " loads both streams' on another connection after each",
    leaves="what was saved and what was loaded",
    declaration=SNAPSHOTS,
)
async def a_newer_snapshot_replaces_an_older_one(bench: Bench) -> None:
    """A newer snapshot replaces an older one of its stream, never the other way."""
    if not isinstance(bench.store, SnapshotStore):
        raise Unsupported("keeps no snapshots")
    stream, beside, other = bench.stream(), bench.stream(), await bench.another()
    assert isinstance(other, SnapshotStore)
    steps = [await save(bench, beside, 9)]
    for version, wanted in ((3, 3), (7, 7), (5, 7)):
        steps.append(await save(bench, stream, version))
        for saved in (snapshot(stream, wanted), snapshot(beside, 9)):
            loaded = await other.load_snapshot(saved.stream)
            did = f"loaded that of {saved.stream!r}"
            steps.append(Step("a reader, on another connection", did, str(loaded), bench.at_ms()))
            if not is_loaded(bench, loaded, saved):
                raise Broken("the newest snapshot is not the one that is loaded", steps)


@check(
    50,
    provokes="reads a stream past its head, and one that nobody made",
    leaves="the append, and how the read ended",
    declaration=ALWAYS,
)
async def a_missing_stream_differs_from_an_empty_one(bench: Bench) -> None:
    """A missing stream differs from one that has nothing more to read."""
    stream, missing = bench.stream(), bench.stream()
    await bench.append(stream, bench.events(1))
    if found := await bench.read(stream, start=1):
        what = f"{len(found)} events"
        read = Step("a reader", f"read {stream!r} from version 1", what, bench.at_ms())
        raise Broken("a stream is longer than what was written", [*bench.steps, read])
    try:
        found = await bench.read(missing)
    except StreamNotFound:
        return
    what = f"{len(found)} events and no error"
    read = Step("a reader", f"read {missing!r}", what, bench.at_ms())
    raise Broken("a stream that nobody made reads like an empty one", [*bench.steps, read])

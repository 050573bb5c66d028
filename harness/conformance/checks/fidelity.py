"""Checks 40–47 and 50. Fidelity: events come back as they were written, whatever they contain."""

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

from harness.conformance.framework.check import (
    ALWAYS,
    EXACT,
    IDS,
    KEEPS,
    METADATA,
    SNAPSHOTS,
    UTC_TIMES,
    check,
)
from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import (
    Broken,
    Step,
    Unsupported,
    describe_error,
    is_decision,
)
from harness.conformance.framework.paging import KIB, MEGABYTE, first_difference, random_letters
from harness.conformance.framework.round_trip import (
    READERS,
    Item,
    Reading,
    require_round_trip,
    write_and_read,
)
from harness.domain.errors import (
    AppendRefused,
    BatchTooLarge,
    EventTooLarge,
    StoreError,
    StreamNotFound,
)
from harness.domain.store import NewEvent, RecordedEvent, Snapshot, SnapshotStore

NAMES = (
    "Zoë", "注文", "\N{PARTY POPPER}", "a b", " a ", "'", '"', "\\", "%", "_", "a/b", "a:b", "a#b",
    "$1", ":name", "'; DROP TABLE events; --", "line\nbreak", "tab\tstop", "{}", "straße", "NULL",
)  # fmt: skip
ALIKE = ("a_b", "a%b", "axb")
"""Endings of one name: as patterns, the first two match all three."""
LONG_TYPE = "OrderPlacedByACustomerOfLongStanding"
NAME_MAX = 255
"""Characters; a store may refuse longer names of streams and types."""
NAME_LENGTHS = ((65, 127), (129, 254), (NAME_MAX, NAME_MAX), (257, 511), (513, 900))
"""Bounds of the lengths of names; of each, one is drawn."""
SHORT_NAME, LONG_NAMES_MIN = 128, 6
"""Characters of the longest short name, and the events with longer ones that are needed."""
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
METADATA_BYTES = ((4_097, 8_000), (8_193, 16_000), (65_537, 100_000))
"""Bounds of the sizes of metadata, as above."""
DATA_BYTES = (
    (65_537, 130_000),
    (262_145, 390_000),
    (1_000_000, MEGABYTE),
    (MEGABYTE + 1, MEGABYTE + 200_000),
)
"""Bounds of the sizes of events, as above."""
TESTED_BYTES_MAX = 2 * MEGABYTE
"""A higher limit of an event's bytes is not tested."""
LIMITED_BYTES = 4 * KIB
"""How far below its limit of bytes a store need not take an event's data."""
BATCHES = ((100, 100), (129, 255), (257, 400))
"""Bounds of the sizes of batches, as above."""
BATCH_TESTED_MAX = 1_000
"""A higher limit of events an append is not tested."""
SNAPSHOT_BYTES = ((50, 2_000), (65_537, 130_000), (500_000, MEGABYTE))
"""Bounds of the sizes of snapshots, as above."""
FAR_AWAY = "Pacific/Kiritimati"
FAR = "with a clock far from UTC"
REPEATS = "in an hour that the clock is about to repeat"
REPEATED = "in an hour that the clock repeats"
SKIPPED = "just after an hour that the clock skipped"
CHANGED_MINUTES = (10, 50)
"""Bounds of the minutes between an append and the change of the clock."""
SEASON = timedelta(days=100)
"""From one change of the clock to the other, at least."""
CLOCKS_APART_S = 5.0
PAST_END_MAX = 300
"""Events past a stream's end."""


@check(
    40,
    provokes="appends to streams with such names, to names that match others as patterns, and to"
    " pairs of names of up to 900 characters that differ in their last one, events of types with"
    " such names, and reads each back from its stream, from the log and through subscriptions",
    leaves="the append to that name, and the events read under it",
    declaration=IDS,
)
async def any_name_is_a_stream_of_its_own(context: CheckContext) -> None:
    """Names of streams and types may have Unicode, separators, quotes, SQL and 255 characters."""
    base = context.stream()
    items = [
        Item(
            f"the name {name!r}",
            f"{context.stream() if name in NAMES else base}{name}",
            replace(context.events()[0], type=f"{LONG_TYPE}{name}"),
        )
        for name in NAMES + ALIKE
    ]
    items += _long_names(context)
    readings = await require_round_trip(context, items, "stream", "type")
    long = sum(each.item.long(SHORT_NAME) for each in readings if each.who == READERS[0])
    context.count(f"names of more than {SHORT_NAME} characters", long, least=LONG_NAMES_MIN)


def _long_names(context: CheckContext) -> Iterator[Item]:
    """Of each length, a type, and two streams whose names differ in the last character."""
    for bounds in NAME_LENGTHS:
        length = context.rng.randint(*bounds)
        longer = length > NAME_MAX
        type_ = random_letters(context, length).decode()
        event = replace(context.events()[0], type=type_)
        yield Item(f"a type of {length} characters", context.stream(), event, longer)
        base = f"{context.stream()}-"
        base += random_letters(context, length - 1 - len(base)).decode()
        for last in "ab":
            label = f"a name of {length} characters that ends in {last}"
            yield Item(label, base + last, context.events()[0], longer)


@check(
    41,
    provokes="writes every byte, NUL, invalid UTF-8 and nothing, as data and as metadata, and"
    " reads them from the stream, from the log and through subscriptions",
    leaves="the bytes written and the bytes read",
    declaration=EXACT,
)
async def arbitrary_bytes_come_back(context: CheckContext) -> None:
    """NUL and arbitrary bytes come back in data and metadata."""
    await _comes_back(context, BINARY, as_metadata=context.guarantees.keeps_metadata)


@check(
    42,
    provokes="writes JSON that a number type or an object type would change, and reads it from the"
    " stream, from the log and through subscriptions",
    leaves="the text written and the text read",
    declaration=EXACT,
)
async def json_is_not_rewritten(context: CheckContext) -> None:
    """JSON comes back as it was written: 2^53 + 1, NaN and the order of keys."""
    await _comes_back(context, NUMBERS)


async def _comes_back(
    context: CheckContext, payloads: Mapping[str, bytes], *, as_metadata: bool = False
) -> None:
    items = []
    for label, payload in payloads.items():
        event = context.events(data=payload)[0]
        event = replace(event, metadata=payload) if as_metadata else event
        items.append(Item(label, context.stream(), event))
    await require_round_trip(context, items, *(["data", "metadata"] if as_metadata else ["data"]))


@check(
    43,
    provokes=f"appends and reads with TZ={FAR_AWAY}, and with clocks that are about to repeat an"
    " hour, repeat one, or have just skipped one, from the stream, from the log and through"
    " subscriptions; reads again with the machine's own TZ, and compares with the lab's clock",
    leaves="the time as read, and the time of the append",
    declaration=UTC_TIMES,
)
async def timestamps_are_utc(context: CheckContext) -> None:
    """Timestamps are UTC, whatever TZ is."""
    minutes = timedelta(minutes=context.rng.randint(*CHANGED_MINUTES))
    in_streams = []
    for name, zone in _zones(minutes).items():
        item = Item(f"an event with TZ={zone}", context.stream(), context.events()[0])
        with _timezone(zone):
            happens, before = _clock_is(name, minutes), datetime.now(UTC)
            refused, readings = await write_and_read(context, [item])
            after = datetime.now(UTC)
        if refused:
            raise Broken("an append was refused", list(refused.values()))
        for reading in readings:
            _require_utc(reading, before, after)
        in_streams.append((readings[0], before, after))
        context.count(f"appends {name}", int(happens), least=1)
    for reading, before, after in in_streams:
        (recorded,) = await context.read(reading.item.stream)
        later = replace(reading, who="a reader later", recorded=recorded, at_ms=context.at_ms())
        _require_utc(later, before, after)


def _zones(minutes: timedelta) -> dict[str, str]:
    """Values of TZ by when their clock changes, in minutes before or after now.

    Standard time is UTC, and summer time an hour ahead of it.
    """
    now = datetime.now(UTC)
    summer = now + timedelta(hours=1)
    return {
        FAR: FAR_AWAY,
        REPEATS: _zone(now - SEASON, summer + minutes),
        REPEATED: _zone(now - SEASON, summer - minutes),
        SKIPPED: _zone(now - minutes, summer + SEASON),
    }


def _zone(begins: datetime, ends: datetime) -> str:
    """A TZ as POSIX has it, whose summer time begins and ends at these times of its own clock."""
    days = (f"{at.timetuple().tm_yday - 1}/{at:%H:%M:%S}" for at in (begins, ends))
    return f"AAA0BBB-1,{','.join(days)}"


def _clock_is(name: str, minutes: timedelta) -> bool:
    """Whether the clock that TZ sets does what this name says."""
    now, utc = datetime.now(), timedelta(0)
    ahead, if_other = (now.replace(fold=fold).astimezone().utcoffset() for fold in (0, 1))
    before = (datetime.now(UTC) - 2 * minutes).astimezone().utcoffset()
    return {
        FAR: ahead != utc,
        REPEATS: ahead != if_other and now.fold == 0,
        REPEATED: ahead != if_other and now.fold == 1,
        SKIPPED: before == utc != ahead,
    }[name]


def _require_utc(reading: Reading, before: datetime, after: datetime) -> None:
    """Raises `Broken` unless the recorded time is between these two, in UTC."""
    slack, at = timedelta(seconds=CLOCKS_APART_S), reading.recorded.recorded_at
    if at.utcoffset() != timedelta(0) or not before - slack <= at <= after + slack:
        item, result = reading.item, f"acknowledged, not before {before}"
        did = f"append {item.label} to {item.stream!r}"
        appended = replace(reading.appended, did=did, result=result)
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
    provokes="writes them into metadata, alone and with more than 4, 8 and 64 KiB of other things,"
    " and reads them from the stream, from the log and through subscriptions",
    leaves="the metadata written and the metadata read",
    declaration=METADATA,
)
async def correlation_and_causation_come_back(context: CheckContext) -> None:
    """Correlation and causation ids come back unchanged, in metadata of any size."""
    same = _same_json if context.guarantees.payload == "json" else operator.eq
    readings = await require_round_trip(context, list(_with_ids(context)), "metadata", same=same)
    sizes = [len(each.recorded.metadata) for each in readings if each.who == READERS[0]]
    large = sum(size >= METADATA_BYTES[0][0] for size in sizes)
    least = len(METADATA_BYTES) if _takes(context, METADATA_BYTES[-1][1]) else 0
    context.count("events with more than 4 KiB of metadata", large, least=least)


def _with_ids(context: CheckContext) -> Iterator[Item]:
    """Events with both ids, alone and before many other bytes."""
    ids = b'{"correlationId": "0b6c", "causationId": "17aa"'
    for size in (0, *(context.rng.randint(*bounds) for bounds in METADATA_BYTES)):
        more = b', "more": "' + random_letters(context, size) + b'"' if size else b""
        event = replace(context.events()[0], metadata=ids + more + b"}")
        label = f"{len(event.metadata):,} bytes of metadata"
        yield Item(label, context.stream(), event, not _takes(context, size))


def _takes(context: CheckContext, size: int) -> bool:
    """Whether the store declares that it takes events of this size."""
    limit = context.guarantees.event_limit_bytes
    return limit is None or size <= limit - LIMITED_BYTES


def _same_json(one: Any, other: Any) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


@check(
    45,
    provokes="appends events beyond 64 KiB, beyond 256 KiB, of about 1 MB and beyond 1 MiB, and of"
    " sizes below and above the declared limit",
    leaves="the answer, and the number of bytes read back",
    declaration=ALWAYS,
)
async def a_megabyte_is_kept_or_refused(context: CheckContext) -> None:
    """An event of 1 MB comes back, or is refused with a typed error."""
    limit = context.guarantees.event_limit_bytes
    sizes = [context.rng.randint(*bounds) for bounds in DATA_BYTES]
    if limit is not None and limit < TESTED_BYTES_MAX:
        sizes += [max(limit - LIMITED_BYTES, 20), limit + 1, limit + context.rng.randint(2, limit)]
    for size in sizes:
        await _require_kept_or_refused(context, size)


async def _require_kept_or_refused(context: CheckContext, size: int) -> None:
    """Raises `Broken` unless an event comes back, or is refused by `EventTooLarge`.

    Below the declared limit it must not be refused.
    """
    stream = context.stream()
    data = b'{"x": "' + random_letters(context, size - 9) + b'"}'
    answer = await context.attempt(stream, context.events(1, data=data))
    appended = context.steps[-1]
    if isinstance(answer, EventTooLarge):
        if await context.exists(stream):
            raise Broken("a refused event is there", [appended])
        if context.guarantees.event_limit_bytes is not None and _takes(context, size):
            raise Broken(f"{size:,} bytes were refused, below the declared limit", [appended])
        context.count("large events that were refused", least=0)
        return
    if isinstance(answer, Exception):
        raise Broken(f"{size:,} bytes were refused by {type(answer).__name__}", [appended])
    (event,) = await context.read(stream)
    if event.data != data:
        read = Step("a reader", f"read {stream!r}", first_difference(event.data, data))
        raise Broken(f"{len(data):,} bytes came back as others", [appended, read])
    context.count("large events that came back", least=1)


@check(
    46,
    provokes="appends 100 events at once, more than 128, more than 256, and as many as the declared"
    " limit and one more, each with its own type, data and metadata",
    leaves="the answer, and the first event that is read back changed, from the stream or the log",
    declaration=KEEPS,
)
async def a_hundred_events_in_one_append(context: CheckContext) -> None:
    """100 events or more in one append are written in order, or refused with a typed error."""
    limit = context.guarantees.batch_limit
    sizes = [context.rng.randint(*bounds) for bounds in BATCHES]
    if limit is not None and limit < BATCH_TESTED_MAX:
        sizes += [limit, limit + 1]
    for size in sizes:
        await _require_batch(context, size)


async def _require_batch(context: CheckContext, size: int) -> None:
    """Raises `Broken` unless a batch comes back, or is refused beyond the declared limit."""
    stream, start, limit = context.stream(), await context.head(), context.guarantees.batch_limit
    batch = _all_different(context, size)
    answer = await context.attempt(stream, batch)
    appended = context.steps[-1]
    if isinstance(answer, BatchTooLarge):
        if limit is None or size <= limit:
            raise Broken(f"{size} events were refused without a declared limit", [appended])
        if await context.exists(stream):
            raise Broken(f"{size} events were refused, and some are there", [appended])
        context.count("batches that were refused beyond the declared limit", least=0)
        return
    if isinstance(answer, StoreError):
        raise Broken(f"{size} events were refused by {type(answer).__name__}", [appended])
    _require_unchanged(context, batch, await context.read(stream), f"read {stream!r}")
    if context.guarantees.global_order != "none":
        log = await context.log([stream], after=start)
        _require_unchanged(context, batch, log, "read the log")
    least = min(BATCHES[0][0], limit or BATCHES[0][0])
    context.count("events of large batches that came back", len(batch), least=least)


def _all_different(context: CheckContext, size: int) -> list[NewEvent]:
    metadata = context.guarantees.keeps_metadata
    return [
        replace(event, type=f"Order{n}", metadata=b'{"of": %d}' % n if metadata else b"")
        for n, event in enumerate(context.events(size))
    ]


def _require_unchanged(
    context: CheckContext, batch: Sequence[NewEvent], events: Sequence[RecordedEvent], did: str
) -> None:
    """Raises `Broken` unless each event is in its place with its type, data and metadata."""
    appended = context.steps[-1]
    if [each.id for each in events] != [each.id for each in batch]:
        read = Step("a reader", did, f"{len(events)} events", context.at_ms())
        raise Broken(f"{len(batch)} events came back as others", [appended, read])
    same = _same_json if context.guarantees.payload == "json" else operator.eq
    for n, (event, wanted) in enumerate(zip(events, batch, strict=True)):
        for part in ("type", "data", "metadata"):
            was, now = getattr(wanted, part), getattr(event, part)
            if not (was == now or same(was, now)):
                read = Step(
                    "a reader", did, f"at {n}: {part} {now!r}, not {was!r}", context.at_ms()
                )
                raise Broken(f"event {n} of {len(batch)} came back changed", [appended, read])


@check(
    47,
    provokes="saves small snapshots of a stream, some of more than 64 KiB and of up to 1 MiB, an"
    " older one after each, and one of another stream, and loads both streams' on another"
    " connection after each",
    leaves="the snapshots saved and the snapshots loaded",
    declaration=SNAPSHOTS,
)
async def a_newer_snapshot_replaces_an_older_one(context: CheckContext) -> None:
    """A newer snapshot replaces an older one of its stream, never the reverse."""
    if not isinstance(context.store, SnapshotStore):
        raise Unsupported("keeps no snapshots")
    stream, steps = context.stream(), list[Step]()
    other = _snapshot(context, context.stream(), context.rng.randint(100, 999), SNAPSHOT_BYTES[0])
    newest = _snapshot(context, stream, context.rng.randint(1, 9), SNAPSHOT_BYTES[0])
    for each in (other, newest):
        await _saved(context, each, steps)
    for bounds in SNAPSHOT_BYTES:
        version = newest.version + context.rng.randint(2, 99)
        newer = _snapshot(context, stream, version, bounds)
        older = _snapshot(context, stream, context.rng.randrange(newest.version), bounds)
        newest = newer if await _saved(context, newer, steps) else newest
        await _require_loaded(context, [newest, other], steps)
        if await _saved(context, older, steps):
            await _require_loaded(context, [newest, other], steps)
            context.count("older snapshots that replaced nothing", least=1)
        large = int(len(newest.data) >= SNAPSHOT_BYTES[1][0])
        least = int(_takes(context, SNAPSHOT_BYTES[1][1]))
        context.count("snapshots of more than 64 KiB that were loaded", large, least=least)


async def _saved(context: CheckContext, snapshot: Snapshot, steps: list[Step]) -> bool:
    """Whether the store took it. Raises `Broken` if it refuses one within its limit."""
    assert isinstance(context.store, SnapshotStore)
    at_ms, did = context.at_ms(), f"saved {_described(snapshot)} of {snapshot.stream!r}"
    try:
        await context.store.save_snapshot(snapshot)
    except AppendRefused as error:
        steps.append(Step("the writer", did, describe_error(error), at_ms))
        if _takes(context, len(snapshot.data)) and is_decision(error):
            why = f"a snapshot of {len(snapshot.data):,} bytes was refused"
            raise Broken(why, steps[-1:]) from error
        return False
    steps.append(Step("the writer", did, at_ms=at_ms))
    return True


async def _require_loaded(
    context: CheckContext, saved: Sequence[Snapshot], steps: list[Step]
) -> None:
    """Raises `Broken` unless another connection loads these, each as its stream's."""
    reader = await context.connect()
    assert isinstance(reader, SnapshotStore)
    for each in saved:
        loaded = await reader.load_snapshot(each.stream)
        did, what = f"loaded that of {each.stream!r}", _described(loaded)
        steps.append(Step("a reader, on another connection", did, what, context.at_ms()))
        if not _is_same_snapshot(context, loaded, each):
            raise Broken("the newest snapshot is not the one that is loaded", steps)


def _is_same_snapshot(context: CheckContext, loaded: Snapshot | None, saved: Snapshot) -> bool:
    """Whether the saved snapshot was loaded. JSON may come back with other bytes."""
    if loaded is None or context.guarantees.payload != "json":
        return loaded == saved
    same = (loaded.stream, loaded.version) == (saved.stream, saved.version)
    return same and _same_json(loaded.data, saved.data)


def _snapshot(
    context: CheckContext, stream: str, version: int, bounds: tuple[int, int]
) -> Snapshot:
    """A snapshot of a drawn size, which contains its version."""
    begins = b'{"v": %d, "x": "' % version
    letters = random_letters(context, context.rng.randint(*bounds) - len(begins) - 2)
    return Snapshot(stream, version, begins + letters + b'"}')


def _described(snapshot: Snapshot | None) -> str:
    if snapshot is None:
        return "nothing"
    return f"version {snapshot.version}, {len(snapshot.data):,} bytes"


@check(
    50,
    provokes="reads a stream at and past its end, and a stream that does not exist, in both"
    " directions",
    leaves="the append, and the result of the read",
    declaration=ALWAYS,
)
async def a_missing_stream_differs_from_an_empty_one(context: CheckContext) -> None:
    """A missing stream differs from one that has no more events."""
    stream, missing, length = context.stream(), context.stream(), context.rng.randint(1, 20)
    length = min(length, context.guarantees.batch_limit or length)
    await context.append(stream, context.events(length))
    for past in (0, context.rng.randint(1, PAST_END_MAX)):
        for backwards in (False, True):
            await _require_nothing_more(context, stream, length + past, backwards=backwards)
            await _require_missing(context, missing, past, backwards=backwards)


async def _require_nothing_more(
    context: CheckContext, stream: str, start: int, *, backwards: bool
) -> None:
    if events := await context.read(stream, start=start, backwards=backwards):
        did = f"read {stream!r} from version {start}" + ", backwards" * backwards
        read = Step("a reader", did, f"{len(events)} events", context.at_ms())
        raise Broken("a stream is longer than what was written", [*context.steps, read])
    context.count("reads of a stream past its end", least=4)


async def _require_missing(
    context: CheckContext, missing: str, start: int, *, backwards: bool
) -> None:
    try:
        events = await context.read(missing, start=start, backwards=backwards)
    except StreamNotFound:
        context.count("reads of a stream that does not exist", least=4)
        return
    did = f"read {missing!r} from version {start}" + ", backwards" * backwards
    read = Step("a reader", did, f"{len(events)} events and no error", context.at_ms())
    raise Broken("a stream that does not exist reads like an empty one", [*context.steps, read])

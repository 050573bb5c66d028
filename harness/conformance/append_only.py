"""Append-only: what is written stays as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, replace

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, NotReached, Step, Unsupported, check
from harness.conformance.declared import ALWAYS, ATOMIC, ENFORCED, KEEPS
from harness.conformance.leftovers import leaving_nothing, refused
from harness.conformance.paging import Written, write
from harness.conformance.racing import CONNECTIONS, attempt, race
from harness.errors import EmptyAppend, StoreError
from harness.store import (
    EventStore,
    ExpectedVersion,
    NewEvent,
    RecordedEvent,
    StreamState,
    Tamper,
)

REPLAYED = 50
SPOILING_BYTES_MAX = 20_000_000
"""A limit above it is not worth the memory that an event over it takes."""
LOST_RACES = 3
"""Streams for which batches race: all but one of them are refused."""

Batch = Sequence[NewEvent]
Events = Sequence[RecordedEvent]


@check(
    1,
    provokes="tries the technology's own update past the adapter",
    leaves="the update, and the event read back before and after it, from the stream and the log",
    declaration=ENFORCED,
)
async def an_update_of_an_event_is_refused(bench: Bench) -> None:
    """The store itself refuses to change a recorded event."""
    tamper = _tamper(bench)
    stream = bench.stream()
    await bench.append(stream, bench.events(2))
    before = await _both_ways(bench, stream)
    at_ms = bench.at_ms()
    allowed = await tamper.overwrite(stream, 0, b'{"n": 999}')
    after = await _both_ways(bench, stream)
    if allowed or any(_payloads(after[where]) != _payloads(before[where]) for where in before):
        read = [
            Step("a reader", f"read {stream!r} in {where}", _data(before[where], after[where]))
            for where in before
        ]
        update = Step("a stranger", f"update {stream!r} version 0", _let(allowed), at_ms)
        raise Broken("a recorded event was changed", [*bench.steps, update, *read])


def _data(before: Events, after: Events) -> str:
    was, now = _payloads(before[:1]), _payloads(after[:1])
    return f"data {was} before, {now} after"


def _payloads(events: Events) -> list[bytes]:
    return [event.data for event in events]


@check(
    2,
    provokes="tries the technology's own delete, and its truncate where it has one, past the"
    " adapter",
    leaves="the delete, and how many events were read after it, from the stream and the log",
    declaration=ENFORCED,
)
async def a_delete_of_an_event_is_refused(bench: Bench) -> None:
    """The store itself refuses to delete a recorded event."""
    tamper = _tamper(bench)
    stream = bench.stream()
    await bench.append(stream, bench.events(2))
    before = await _both_ways(bench, stream)
    at_ms = bench.at_ms()
    allowed = await tamper.delete(stream, 1)
    after = await _both_ways(bench, stream)
    if allowed or any(len(after[where]) != len(before[where]) for where in before):
        did = f"delete {stream!r} version 1, or truncate"
        delete = Step("a stranger", did, _let(allowed), at_ms)
        read = [
            Step("a reader", f"read {stream!r} in {where}", f"{len(after[where])} of 2 events")
            for where in before
        ]
        raise Broken("a recorded event was deleted", [*bench.steps, delete, *read])


def _tamper(bench: Bench) -> Tamper:
    if not isinstance(bench.store, Tamper):
        raise NotReached("the adapter offers no way past itself")
    return bench.store


def _let(allowed: bool) -> str:  # noqa: FBT001 - what a `Tamper` answered
    return "let happen" if allowed else "said to be refused"


async def _both_ways(
    bench: Bench, stream: str, *, through: EventStore | None = None
) -> dict[str, Events]:
    """What the stream has, and what the log, where there is one, has of it."""
    there = await bench.read(stream, through=through) if await bench.exists(stream) else []
    found: dict[str, Events] = {"its stream": there}
    if bench.guarantees.global_order != "none":
        log = (through or bench.store).read_all()
        found["the log"] = [event async for event in log if event.stream == stream]
    return found


@check(
    3,
    provokes="reads a stream, and the log's part of it, appends to it and beside it, and reads the"
    " first part again, on another connection",
    leaves="the append of the first event that differs, and that event in both replays",
    declaration=KEEPS,
)
async def a_replay_is_the_same_later(bench: Bench) -> None:
    """A replay later gives the same events, byte for byte."""
    stream, beside = bench.stream(), bench.stream()
    written = await write(bench, stream, (bench.events(5) for _ in range(REPLAYED // 5)))
    first = await _both_ways(bench, stream)
    for _ in range(10):
        await bench.append(stream, bench.events(3))
        await bench.append(beside, bench.events(3))
    second = await _both_ways(bench, stream, through=await bench.another())
    for where in first:
        _replayed(where, written, first[where], second[where][: len(first[where])])


def _replayed(where: str, written: Written, first: Events, second: Events) -> None:
    """Raises `Broken` unless both replays gave all that was written, and the same."""
    replay = f"replay {written.stream!r} from {where}"
    for was, now in zip(first, second, strict=False):
        if was != now:
            wrote = [written.steps[was.id]] if was.id in written.steps else []
            old, new = _differing(was, now)
            two = [Step("a reader", replay, old), Step("another, later", replay, new)]
            raise Broken("a replay differs from the first one", [*wrote, *two])
    if not len(first) == len(second) == REPLAYED:
        shorter = min(first, second, key=len)
        wrote = written.step([event.id for event in shorter], written.ids)
        found = f"{len(first)} events, then {len(second)}, of {REPLAYED}"
        raise Broken("events are missing", [*wrote, Step("a reader", f"{replay} twice", found)])


def _differing(was: RecordedEvent, now: RecordedEvent) -> tuple[str, str]:
    """Where each stands, and the fields in which they differ."""
    names = [
        each.name for each in fields(was) if getattr(was, each.name) != getattr(now, each.name)
    ]
    old, new = (", ".join(f"{name} {getattr(one, name)}" for name in names) for one in (was, now))
    return f"at {was.version}: {old}", f"at {was.version}: {new}"


@check(
    4,
    provokes="appends batches whose last event alone must be refused, stale batches, and batches"
    " that race for a new stream; and reads the stream, the log and subscriptions",
    leaves="the refused append and what of it was read, and where",
    declaration=ATOMIC,
)
async def a_failed_batch_leaves_nothing(bench: Bench) -> None:
    """An append that fails leaves none of its events."""
    stream, raced = bench.stream(), [bench.stream() for _ in range(LOST_RACES)]
    first, stores = bench.events(2), await bench.writers(CONNECTIONS)
    await bench.append(stream, first)
    async with leaving_nothing(bench, [stream, *raced], but=first) as attempts:
        for batch, expected in _spoiled(bench, first):
            with suppress(Unsupported):
                ended = await attempt("the writer", bench.store, stream, batch, expected)
                attempts.append(ended)
        for each in raced:
            with suppress(Unsupported):
                racing = race(bench, stores, each, StreamState.NO_STREAM, size=3)
                attempts.extend(await racing)
    if not refused(attempts):
        raise NotReached("nothing that was tried is refused by this store")


def _spoiled(bench: Bench, written: Sequence[NewEvent]) -> Iterator[tuple[Batch, ExpectedVersion]]:
    """Batches of which a store refuses all, or all if it refuses any."""
    limit = bench.guarantees.event_limit_bytes
    good = bench.events(3)
    yield bench.events(3), 0
    yield bench.events(3), StreamState.NO_STREAM
    yield [*bench.events(2), written[0]], StreamState.ANY
    yield [*good, replace(good[0])], StreamState.ANY
    yield [*bench.events(2), replace(bench.events()[0], type="not \ud800 UTF-8")], StreamState.ANY
    if limit is not None and limit < SPOILING_BYTES_MAX:
        yield [*bench.events(2), *bench.events(data=b"x" * (limit + 1))], StreamState.ANY


@check(
    5,
    provokes="appends a list that is accepted and one that is refused, and looks at both",
    leaves="the list before and after",
    declaration=ALWAYS,
)
async def the_callers_objects_are_left_alone(bench: Bench) -> None:
    """The caller's list of events is the same after an append, refused or not."""
    stream = bench.stream()
    for expected in (StreamState.ANY, StreamState.NO_STREAM, 99):
        batch = bench.events(3)
        copy = list(batch)
        try:
            await bench.attempt(stream, batch, expected=expected)
        except Unsupported:
            continue
        if batch != copy:
            found = f"{len(batch)} events" if len(batch) != len(copy) else "other events"
            looked = Step("the caller", "looked at its list of 3 events", found)
            raise Broken("an append changed its caller's list", [*bench.steps[-1:], looked])


@check(
    6,
    provokes="appends no events to a missing stream and to one that exists",
    leaves="how the append ended and what was read after it",
    declaration=ALWAYS,
)
async def an_empty_append_is_defined(bench: Bench) -> None:
    """An append of nothing is refused by an error of its own and changes nothing."""
    stream, missing = bench.stream(), bench.stream()
    await bench.append(stream, bench.events())
    for target in (stream, missing):
        try:
            await bench.append(target, [])
        except EmptyAppend:
            continue
        except StoreError:
            pass
        raise Broken("an append of nothing was not refused by EmptyAppend", bench.steps[-1:])
    result = await bench.append(stream, bench.events())
    if bench.guarantees.tells_version and result.version != 1:
        raise Broken("an append of nothing changed the stream's version", bench.steps)
    if await bench.exists(missing):
        read = Step("a reader", f"read {missing!r}", "a stream without events")
        raise Broken("an append of nothing made a stream", [read])

"""Idempotent: the same event sent again is written once, and the writer is told so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, zip_longest
from typing import Any

from harness.conformance.bench import SHORT, Bench, named, told
from harness.conformance.check import Broken, Company, Step, Unsupported, check
from harness.conformance.declared import DURABLE_IDS, RECENT_IDS
from harness.conformance.following import listed
from harness.conformance.paging import in_batches
from harness.conformance.racing import strictest
from harness.conformance.restarting import restarted
from harness.conformance.twins import race_twins
from harness.errors import NotWritten, StoreError
from harness.store import (
    AppendResult,
    EventStore,
    ExpectedVersion,
    NewEvent,
    RecordedEvent,
    StreamState,
)

ANY, EXISTS = StreamState.ANY, StreamState.EXISTS
Content = tuple[str, str, bytes, bytes]
LATER, LATER_BATCH = 150, 15
"""Events appended to its stream between an append and its retry, and in how many at a time."""


@check(
    24,
    provokes="sends the same append again, with the same expected version, at once: to a new"
    " stream, at an exact version of one that exists, and from several connections beside it",
    leaves="both answers and what is in the stream",
    declaration=RECENT_IDS,
)
async def an_exact_retry_returns_the_original_result(bench: Bench) -> None:
    """An exact retry returns the original result and writes nothing."""
    for size in (1, 3):
        stream, batch = bench.stream(), bench.events(size)
        first = await bench.append(stream, batch, expected=strictest(bench))
        await _same_again(bench, stream, batch, first, expected=strictest(bench))
    if bench.guarantees.occ != "none":
        stream, batch = bench.stream(), bench.events(2)
        await bench.append(stream, bench.events(1))
        first = await bench.append(stream, batch, expected=0)
        await _same_again(bench, stream, batch, first, expected=0, beside=1)
    await race_twins(bench)


@check(
    25,
    provokes=f"sends an append again after {LATER} later events of its stream, and as many beside"
    " it, on another connection",
    leaves="both answers and what is in the stream",
    declaration=DURABLE_IDS,
)
async def a_retry_after_later_appends_is_recognised(bench: Bench) -> None:
    """A retry is recognised after later appends, too."""
    stream, beside, batch = bench.stream(), bench.stream(), bench.events(2)
    first = await bench.append(stream, batch, expected=strictest(bench))
    for later in in_batches(bench, LATER, LATER_BATCH):
        await bench.append(stream, later)
        await bench.append(beside, bench.events(len(later)))
    other = (await bench.writers(2))[1]
    await _same_again(
        bench, stream, batch, first, expected=strictest(bench), beside=LATER, through=other
    )


@check(
    26,
    provokes="sends an append again after the server was stopped and started, as another process",
    leaves="both answers and what is in the stream",
    declaration=DURABLE_IDS,
    company=Company.LAST,
)
async def a_retry_after_a_restart_is_recognised(bench: Bench) -> None:
    """A retry is recognised after a restart of the server, too."""
    server = bench.hurtable()
    stream, batch = bench.stream(), bench.events(2)
    first = await bench.append(stream, batch, expected=strictest(bench))
    await restarted(bench, server)
    again = await bench.another()
    try:
        result = await bench.append(stream, batch, expected=strictest(bench), through=again)
    except NotWritten as error:
        raise Broken(f"the retry was refused: {told(error)}", bench.steps) from None
    _told_alike(_both(bench, stream, batch), first, result)
    found = await bench.read(stream, through=again)
    if len(found) != len(batch):
        why = f"{len(found)} events of {len(batch)} after the retry"
        raise Broken(why, [*bench.steps, Step("a reader", f"read {stream!r}", listed(found))])


@check(
    27,
    provokes="sends an append again without an expected version, at once, and later on another"
    " connection",
    leaves="both answers and what is in the stream",
    declaration=DURABLE_IDS,
)
async def a_retry_under_any_is_recognised(bench: Bench) -> None:
    """A retry is recognised under ANY and EXISTS, too."""
    other = (await bench.writers(2))[1]
    for expected in (ANY, EXISTS):
        stream, batch = bench.stream(), bench.events(2)
        await bench.append(stream, bench.events(1))
        first = await bench.append(stream, batch, expected=expected)
        await _same_again(bench, stream, batch, first, expected=expected, beside=1)
        await bench.append(stream, bench.events(1))
        await _same_again(bench, stream, batch, first, expected=expected, beside=2, through=other)


@check(
    28,
    provokes="sends batches in which known and new events are mixed: the end of a known batch, its"
    " beginning, and all of it",
    leaves="the known batch, the mixed one, the answer, and what is in the stream",
    declaration=RECENT_IDS,
)
async def a_partial_overlap_is_refused(bench: Bench) -> None:
    """A batch of which only a part is known is refused as a whole."""
    stream, (one, two) = bench.stream(), bench.events(2)
    await bench.append(stream, [one, two], expected=strictest(bench))
    new = bench.events(3)
    for batch in ([two, new[0]], [new[1], one], [one, two, new[2]]):
        expected = strictest(bench) if bench.guarantees.idempotency == "window" else ANY
        ended = await bench.attempt(stream, batch, expected=expected)
        found = await bench.read(stream)
        if isinstance(ended, AppendResult) or len(found) != 2:  # noqa: PLR2004 - the two above
            steps = [bench.steps[0], bench.steps[-1], _read(bench, stream, found)]
            raise Broken("a partly known batch was accepted", steps)


@check(
    29,
    provokes="sends a known id with other data, another type or other metadata, and known ids in"
    " another order, under ANY and under the next version",
    leaves="the append, the other one and its answer, and the events after it",
    declaration=DURABLE_IDS,
)
async def a_known_id_with_another_payload_is_defined(bench: Bench) -> None:
    """A known id with another payload, or in another order, never changes what is recorded."""
    stream, batch = bench.stream(), bench.events(2)
    await bench.append(stream, batch)
    before = [*map(_content, await bench.read(stream))]
    for what, altered in _altered(bench, batch):
        for expected in (ANY, len(batch) - 1):
            by = f"the writer, with {what}"
            ended = await _attempt(bench, stream, tuple(altered), expected, by=by)
            after = [*map(_content, await bench.read(stream))]
            steps = [bench.steps[0], bench.steps[-1]]
            if after != before:
                read = Step("a reader", f"read {stream!r}", _changed(before, after), bench.at_ms())
                raise Broken("a reused id changed the stream", [*steps, read])
            if isinstance(ended, AppendResult):
                raise Broken(f"{what} under a known id was acknowledged", steps)


def _altered(bench: Bench, batch: Sequence[NewEvent]) -> Iterator[tuple[str, list[NewEvent]]]:
    """What is other in it, and events with the ids of these."""
    *_, last = batch
    yield "other data", [replace(last, data=b'{"n": 4711}')]
    yield "another type", [replace(last, type="OrderPaid")]
    if bench.guarantees.keeps_metadata:
        yield "other metadata", [replace(last, metadata=b'{"by": "another"}')]
    yield "another order", [*batch][::-1]


def _content(event: RecordedEvent) -> Content:
    return str(event.id)[:SHORT], event.type, event.data, event.metadata


def _changed(before: Sequence[Content], after: Sequence[Content]) -> str:
    """The first event that is another now."""
    pairs = enumerate(zip_longest(before, after, fillvalue=()))
    at, was, now = next((at, was, now) for at, (was, now) in pairs if was != now)
    return f"{len(after)} events; at {at} {now or 'nothing'}, before it {was or 'nothing'}"


@check(
    30,
    provokes="sends a known event to another stream",
    leaves="the answer, and what is in both streams",
    declaration=DURABLE_IDS,
)
async def a_known_id_in_another_stream_is_defined(bench: Bench) -> None:
    """A known id in another stream is refused, or written there: never acknowledged only."""
    stream, other, batch = bench.stream(), bench.stream(), bench.events(1)
    await bench.append(stream, batch)
    ended = await _attempt(bench, other, batch, ANY)
    there = await bench.read(other) if await bench.exists(other) else []
    here = await bench.read(stream)
    both = [_read(bench, stream, here), _read(bench, other, there)]
    if isinstance(ended, AppendResult) != bool(there):
        raise Broken("the answer and the stream do not agree", [*bench.steps, *both])
    if len(here) != 1:
        raise Broken("the event's first stream was changed", [*bench.steps, *both])


async def _attempt(
    bench: Bench, stream: str, batch: Sequence[NewEvent], expected: ExpectedVersion, **how: Any
) -> AppendResult | StoreError:
    """How it ended; `Unsupported` versions are a refusal, too."""
    try:
        return await bench.attempt(stream, batch, expected=expected, **how)
    except Unsupported as unsupported:
        return NotWritten(str(unsupported))


async def _same_again(
    bench: Bench,
    stream: str,
    batch: Sequence[NewEvent],
    first: AppendResult,
    *,
    expected: ExpectedVersion,
    beside: int = 0,
    through: EventStore | None = None,
) -> None:
    """The retry is told what the first one was, and the stream has each event once."""
    by = "the same writer, again" + (", on another connection" if through else "")
    result = await bench.attempt(stream, batch, expected=expected, by=by, through=through)
    both = _both(bench, stream, batch)
    if isinstance(result, StoreError):
        raise Broken("an exact retry was refused", both)
    _told_alike(both, first, result)
    found = await bench.read(stream)
    ids = [event.id for event in found]
    if any(ids.count(event.id) != 1 for event in batch) or len(found) != len(batch) + beside:
        raise Broken("a retry changed the stream", [*both, _read(bench, stream, found)])


def _both(bench: Bench, stream: str, batch: Sequence[NewEvent]) -> list[Step]:
    """The append and its retry, out of all that was done."""
    original = (step for step in bench.steps[:-1]
                if repr(stream) in step.did and named(batch) in step.did)  # fmt: skip
    return [*islice(original, 1), bench.steps[-1]]


def _told_alike(both: Sequence[Step], first: AppendResult, again: AppendResult) -> None:
    if again.version != first.version:
        raise Broken("a retry was told another version", both)
    if None not in (first.position, again.position) and again.position != first.position:
        positions = f"{first.position}, then {again.position}"
        compared = Step("the writer", "compared positions", positions)
        raise Broken("a retry was told another position", [*both, compared])


def _read(bench: Bench, stream: str, found: Sequence[RecordedEvent]) -> Step:
    return Step("a reader", f"read {stream!r}", named(found), bench.at_ms())

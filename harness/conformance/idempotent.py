"""Idempotent: the same event sent again is written once, and the writer is told so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from harness.conformance.bench import Bench, told
from harness.conformance.check import Broken, Company, Step, Unsupported, check
from harness.conformance.declared import DURABLE_IDS, RECENT_IDS
from harness.conformance.following import listed
from harness.conformance.racing import strictest
from harness.conformance.restarting import restarted
from harness.errors import NotWritten, StoreError
from harness.store import AppendResult, EventStore, ExpectedVersion, NewEvent, StreamState

ANY, EXISTS = StreamState.ANY, StreamState.EXISTS
LATER = 40
"""Events appended between an append and its retry."""


@check(
    24,
    provokes="sends the same append again, with the same expected version, at once",
    leaves="both answers and what is in the stream",
    declaration=RECENT_IDS,
)
async def an_exact_retry_returns_the_original_result(bench: Bench) -> None:
    """An exact retry returns the original result and writes nothing."""
    for size in (1, 3):
        stream, batch = bench.stream(), bench.events(size)
        first = await bench.append(stream, batch, expected=strictest(bench))
        await _same_again(bench, stream, batch, first, expected=strictest(bench))


@check(
    25,
    provokes=f"sends an append again after {LATER} later events, on another connection",
    leaves="both answers and what is in the stream",
    declaration=DURABLE_IDS,
)
async def a_retry_after_later_appends_is_recognised(bench: Bench) -> None:
    """A retry is recognised after later appends, too."""
    stream, beside, batch = bench.stream(), bench.stream(), bench.events(2)
    first = await bench.append(stream, batch, expected=strictest(bench))
    for _ in range(LATER // 4):
        await bench.append(stream, bench.events(2))
        await bench.append(beside, bench.events(2))
    other = (await bench.writers(2))[1]
    await _same_again(
        bench, stream, batch, first, expected=strictest(bench), beside=LATER // 2, through=other
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
    _told_alike(bench, stream, first, result)
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
    provokes="sends batches in which known and new events are mixed",
    leaves="the batch, the answer, and what is in the stream",
    declaration=RECENT_IDS,
)
async def a_partial_overlap_is_refused(bench: Bench) -> None:
    """A batch of which only a part is known is refused as a whole."""
    stream, (one, two) = bench.stream(), bench.events(2)
    await bench.append(stream, [one, two], expected=strictest(bench))
    for batch in ([two, *bench.events(1)], [*bench.events(1), one]):
        expected = strictest(bench) if bench.guarantees.idempotency == "window" else ANY
        ended = await bench.attempt(stream, batch, expected=expected)
        found = await bench.read(stream)
        if isinstance(ended, AppendResult) or len(found) != 2:  # noqa: PLR2004 - the two above
            read = Step("a reader", f"read {stream!r}", listed(found))
            raise Broken("a partly known batch was accepted", [*bench.steps[-2:], read])


@check(
    29,
    provokes="sends a known id with other data, under ANY and under the next version",
    leaves="the answer, and the event before and after",
    declaration=DURABLE_IDS,
)
async def a_known_id_with_another_payload_is_defined(bench: Bench) -> None:
    """A known id with another payload never changes what is recorded."""
    stream, event = bench.stream(), bench.events(1)[0]
    await bench.append(stream, [event])
    for expected in (ANY, 0):
        ended = await _attempt(bench, stream, [replace(event, data=b'{"n": 4711}')], expected)
        found = await bench.read(stream)
        if [each.data for each in found] != [event.data]:
            read = Step("a reader", f"read {stream!r}", f"{[each.data for each in found]}")
            raise Broken("a reused id changed the stream", [*bench.steps, read])
        if isinstance(ended, AppendResult):
            raise Broken("other content under a known id was acknowledged", bench.steps)


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
    acknowledged = isinstance(ended, AppendResult)
    if acknowledged != bool(there):
        read = Step("a reader", f"read {other!r}", listed(there))
        raise Broken("the answer and the stream do not agree", [*bench.steps, read])
    if len(await bench.read(stream)) != 1:
        raise Broken("the event's first stream was changed", bench.steps)


async def _attempt(
    bench: Bench, stream: str, batch: Sequence[NewEvent], expected: ExpectedVersion
) -> AppendResult | StoreError:
    """How it ended; `Unsupported` versions are a refusal, too."""
    try:
        return await bench.attempt(stream, batch, expected=expected)
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
    if isinstance(result, StoreError):
        raise Broken("an exact retry was refused", _both(bench, stream, first))
    _told_alike(bench, stream, first, result)
    ids = [event.id for event in await bench.read(stream)]
    times = max(ids.count(event.id) for event in batch)
    if times != 1 or len(ids) != len(batch) + beside:
        read = Step("a reader", f"read {stream!r}", f"{len(ids)} events, one of them {times} times")
        raise Broken("a retry changed the stream", [*_both(bench, stream, first), read])


def _both(bench: Bench, stream: str, first: AppendResult) -> list[Step]:
    """The append and its retry, out of all that was done."""
    original = (step for step in bench.steps[:-1]
                if repr(stream) in step.did and step.result == told(first))  # fmt: skip
    return [*islice(original, 1), bench.steps[-1]]


def _told_alike(bench: Bench, stream: str, first: AppendResult, again: AppendResult) -> None:
    if again.version != first.version:
        raise Broken("a retry was told another version", _both(bench, stream, first))
    if None not in (first.position, again.position) and again.position != first.position:
        both = f"{first.position}, then {again.position}"
        compared = Step("the writer", "compared positions", both)
        raise Broken("a retry was told another position", [bench.steps[-1], compared])

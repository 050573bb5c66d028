"""Checks 24–30. Idempotent: an event sent again is written once and answered as before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from harness.conformance.framework.check import DURABLE_IDS, RECENT_IDS, Isolation, check
from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import (
    SHORT_ID,
    Broken,
    OutOfReach,
    Step,
    Unsupported,
    describe_ids,
)
from harness.conformance.framework.occ_races import SIZES, batch_size
from harness.conformance.framework.paging import small_batches
from harness.conformance.framework.races import (
    CONNECTIONS,
    Attempt,
    all_answered,
    attempt,
    count_overlaps,
    overlaps,
    release_together,
)
from harness.conformance.framework.retries import (
    EVERY,
    EXACT,
    MIXTURES,
    Retried,
    plan,
    send_in_process,
)
from harness.conformance.framework.server_faults import restart
from harness.domain.durability import Durability
from harness.domain.errors import NotWritten, StoreError
from harness.domain.store import (
    Adapter,
    AppendResult,
    EventStore,
    ExpectedVersion,
    NewEvent,
    RecordedEvent,
    StreamState,
)

DUPLICATES, ROUNDS = 8, 12
ANY, EXISTS = StreamState.ANY, StreamState.EXISTS
Content = tuple[str, str, bytes, bytes]
Later = tuple[tuple[int, int], tuple[int, int]]
SOON, MUCH_LATER = ((110, 180), (2, 6)), ((5_050, 6_200), (60, 100))
"""Events of the stream between an append and its retry, and those of a batch: ranges to draw from.

The first are many appends, the second many events.
"""
RECENTLY = (20, 90), (2, 20)
"""After the most recent of those appends."""
BEFORE_A_RESTART = (1_030, 1_400), (60, 100)
"""Between an append and the restart that comes before its retry."""


@check(
    24,
    provokes="sends the same append again at once, under each expectation, in batches of drawn"
    " sizes, and from several connections at the same time",
    leaves="both answers, and the events of the stream",
    declaration=RECENT_IDS,
)
async def an_exact_retry_returns_the_original_result(context: CheckContext) -> None:
    """An exact retry returns the original result and writes nothing."""
    for turn in range(len(SIZES)):
        retried = Retried(context, context.stream())
        for kind in EVERY:
            await retried.append(plan(context, len(retried.ids), kinds=[kind], turn=turn))
            if retried.originals:
                await retried.require_recognised(retried.originals[-1], context.store)
        await retried.require_unchanged(context.store)
        _count_retries(context, len(retried.originals))
    await race_duplicates(context)


@check(
    25,
    provokes="sends appends of each expectation again over two connections, after more than a"
    f" hundred later events of their stream and after {MUCH_LATER[0][0]:,} or more, and recent ones"
    " as well; then mixes their events with new ones, before, between and after these",
    leaves="both answers, and the events of the stream",
    declaration=DURABLE_IDS,
)
async def a_retry_after_later_appends_is_recognised(context: CheckContext) -> None:
    """A retry is recognised after later appends."""
    old, recent = Retried(context, context.stream()), Retried(context, context.stream())
    other = (await context.writers(2))[1]
    await old.append(plan(context, turn=context.rng.randrange(len(SIZES))))
    promised = context.guarantees.idempotency == "durable"
    for later in (SOON, MUCH_LATER) if promised else (SOON,):
        count = await _append_later(context, later, old)
        least = (MUCH_LATER if promised else SOON)[0][0]
        context.count("later events of the stream", count, least=least)
        recognised = await old.require_all_recognised(other, context.store)
        _count_retries(context, recognised)
    await old.append(plan(context, len(old.ids)))
    await recent.append(plan(context, turn=1))
    await _append_later(context, RECENTLY, old, recent)
    await _require_known(context, other, old, recent)


async def _append_later(context: CheckContext, later: Later, *streams: Retried) -> int:
    """Append a drawn number of events to these streams each, and some to another; the number."""
    (count, size), other = (context.rng.randint(*each) for each in later), context.stream()
    for number, batch in enumerate(small_batches(context, count, size)):
        for each in streams:
            await each.append_later(batch if each is streams[0] else context.events(len(batch)))
        if number % 10 == 0:
            await context.append(other, context.events(len(batch)))
    return count


async def _require_known(context: CheckContext, through: EventStore, *retried: Retried) -> None:
    """Raises `Broken` unless all retries are recognised, and mixed with new events refused."""
    for each in retried:
        _count_retries(context, await each.require_all_recognised(through))
        await each.require_unchanged(through)
        _count_mixed(context, await each.require_mixed_refused(through))
        await each.require_unchanged(through)


def _count_retries(context: CheckContext, count: int) -> None:
    """At least one under each expectation, of which EXISTS is not required."""
    least = 1 if context.guarantees.occ == "none" else len(EVERY) - 1
    context.count("retries that met their original", count, least=least)


def _count_mixed(context: CheckContext, count: int) -> None:
    """Each mixture at least once, but for those that have no room in the store's batches."""
    least = len(MIXTURES) - 1
    context.count("batches of known and new events that were refused", count, least=least)


@check(
    26,
    provokes="sends appends of each expectation again after the server has restarted as another"
    " process, or where there is no server, after other processes have made them and closed the"
    " store; and mixes their events with new ones, before, between and after these",
    leaves="both answers, and the events of the stream",
    declaration=DURABLE_IDS,
    isolation=Isolation.DESTRUCTIVE,
)
async def a_retry_after_a_restart_is_recognised(context: CheckContext) -> None:
    """A retry is recognised after a restart of the server, or in another process."""
    in_memory = context.guarantees.durability is Durability.MEMORY
    if context.server is None and context.multi_process and not in_memory:
        retried = await _of_other_processes(context)
        await _require_known(context, context.store, *retried)
        return
    server = context.controllable_server()
    if in_memory:
        raise OutOfReach("the server keeps everything in memory: nothing is left after a restart")
    of_before = Retried(context, context.stream())
    await of_before.append(plan(context, turn=context.rng.randrange(len(SIZES))))
    await _append_later(context, BEFORE_A_RESTART, of_before)
    await of_before.append(plan(context, len(of_before.ids)))
    await restart(context, server)
    context.count("restarts", least=1)
    await _require_known(context, await context.connect(), of_before)


async def _of_other_processes(context: CheckContext) -> list[Retried]:
    """A stream of each worker process, which made its appends and closed the store."""
    retried = [Retried(context, context.stream()) for _ in range(context.workers.size)]
    streams = [each.stream for each in retried]
    plans = [plan(context, turn=turn) for turn in range(len(retried))]
    by_process = await context.in_processes(send_in_process, streams, plans)
    for each, originals in zip(retried, by_process, strict=True):
        each.add(originals)
        context.count(
            "appends of processes that closed the store", len(originals), least=len(retried)
        )
    return retried


@check(
    27,
    provokes="sends appends under ANY and EXISTS again, at once, and later on another connection;"
    " and mixes their events with new ones, before, between and after these",
    leaves="both answers, and the events of the stream",
    declaration=DURABLE_IDS,
)
async def a_retry_under_any_is_recognised(context: CheckContext) -> None:
    """A retry is recognised under ANY and EXISTS."""
    other, lenient = (await context.writers(2))[1], (ANY, EXISTS)
    for turn in range(len(SIZES)):
        retried = Retried(context, context.stream())
        await retried.append_later(context.events(batch_size(context, turn)))
        await retried.append(plan(context, len(retried.ids), kinds=lenient, turn=turn))
        recognised = await retried.require_all_recognised(context.store)
        await retried.append_later(context.events(batch_size(context, turn + 1)))
        recognised += await retried.require_all_recognised(other)
        _count_retries(context, recognised)
        await retried.require_unchanged(other)
        if context.guarantees.idempotency != "window":
            _count_mixed(context, await retried.require_mixed_refused(other, kinds=lenient))
            await retried.require_unchanged(context.store)


@check(
    28,
    provokes="sends batches that mix known and new events, under each expectation: known ones"
    " first, in the middle and last, a known batch with another middle, and a known one with more"
    " after it",
    leaves="the known batch, the mixed one, its answer, and the events of the stream",
    declaration=RECENT_IDS,
)
async def a_partial_overlap_is_refused(context: CheckContext) -> None:
    """A batch of which only a part is known is refused as a whole."""
    for turn in range(len(SIZES)):
        retried = Retried(context, context.stream())
        await retried.append(plan(context, turn=turn))
        _count_mixed(context, await retried.require_mixed_refused(context.store))
        await retried.require_unchanged(context.store)


@check(
    29,
    provokes="sends a known id with other data, another type or other metadata, alone and in its"
    " batch, and known ids in another order, under each expectation",
    leaves="the append, the changed one and its answer, and the events after it",
    declaration=DURABLE_IDS,
)
async def a_known_id_with_another_payload_is_defined(context: CheckContext) -> None:
    """A known id with other content, or in another order, never changes what is recorded."""
    stream, batch = context.stream(), context.events(batch_size(context, 1))
    await context.append(stream, batch)
    before = [*map(_content, await context.read(stream))]
    for what, altered in _altered(context, batch):
        for expected in (ANY, len(batch) - 1, EXISTS, StreamState.NO_STREAM):
            by = f"the writer, with {what}"
            answer = await _attempt(context, stream, tuple(altered), expected, by=by)
            after = [*map(_content, await context.read(stream))]
            steps = [context.steps[0], context.steps[-1]]
            if after != before:
                read = Step(
                    "a reader", f"read {stream!r}", _changed(before, after), context.at_ms()
                )
                raise Broken("a reused id changed the stream", [*steps, read])
            if isinstance(answer, AppendResult):
                raise Broken(f"{what} under a known id was acknowledged", steps)
            context.count("changed events under known ids that were refused", least=12)


def _altered(
    context: CheckContext, batch: Sequence[NewEvent]
) -> Iterator[tuple[str, list[NewEvent]]]:
    """What differs, and events with the same ids that differ in it."""
    at = context.rng.randrange(len(batch))
    others = {
        "other data": replace(batch[at], data=b'{"n": 4711}'),
        "another type": replace(batch[at], type="OrderPaid"),
        "other metadata": replace(batch[at], metadata=b'{"by": "another"}'),
    }
    for what, other in others.items():
        if context.guarantees.keeps_metadata or other.metadata == batch[at].metadata:
            yield what, [other]
            yield f"{what} in its batch", [*batch[:at], other, *batch[at + 1 :]]
    yield "another order", [*batch][::-1]


def _content(event: RecordedEvent) -> Content:
    return str(event.id)[:SHORT_ID], event.type, event.data, event.metadata


def _changed(before: Sequence[Content], after: Sequence[Content]) -> str:
    """The first event that differs now."""
    pairs = enumerate(zip_longest(before, after, fillvalue=()))
    at, was, now = next((at, was, now) for at, (was, now) in pairs if was != now)
    return f"{len(after)} events; at {at} {now or 'nothing'}, before it {was or 'nothing'}"


@check(
    30,
    provokes="sends a known event to another stream, a new one and one with events, under ANY and"
    " under its version",
    leaves="the answer, and the events of both streams",
    declaration=DURABLE_IDS,
)
async def a_known_id_in_another_stream_is_defined(context: CheckContext) -> None:
    """A known id in another stream is refused or written, never just acknowledged."""
    stream, batch = context.stream(), context.events(batch_size(context, 1))
    await context.append(stream, batch)
    known = [context.rng.choice(batch)]
    for before in (0, batch_size(context, 0)):
        for expected in (ANY, before - 1 if before else StreamState.NO_STREAM):
            other = context.stream()
            if before:
                await context.append(other, context.events(before))
            answer = await _attempt(context, other, known, expected)
            there = (await context.read_or_empty(other))[before:]
            here = await context.read(stream)
            both = [_read(context, stream, here), _read(context, other, there)]
            if isinstance(answer, AppendResult) != bool(there):
                why = "the answer and the stream do not agree"
                raise Broken(why, [context.steps[0], context.steps[-1], *both])
            if [event.id for event in here] != [event.id for event in batch]:
                why = "the event's first stream was changed"
                raise Broken(why, [context.steps[0], context.steps[-1], *both])
            context.count("known ids sent to another stream", least=4)


async def _attempt(
    context: CheckContext,
    stream: str,
    batch: Sequence[NewEvent],
    expected: ExpectedVersion,
    **how: Any,
) -> AppendResult | StoreError:
    """The answer; an unsupported expected version counts as a refusal."""
    try:
        return await context.attempt(stream, batch, expected=expected, **how)
    except Unsupported as unsupported:
        return NotWritten(str(unsupported))


def _read(context: CheckContext, stream: str, events: Sequence[RecordedEvent]) -> Step:
    return Step("a reader", f"read {stream!r}", describe_ids(events), context.at_ms())


async def race_duplicates(context: CheckContext) -> None:
    """Raises `Broken` if a concurrent retry is written again, or gets another result.

    If ids are known only within a window, a retry may be refused: the window may not be open yet.
    """
    stores, overlapping = await context.writers(CONNECTIONS), 0
    for number in range(ROUNDS):
        with suppress(Unsupported):  # EXISTS
            overlapping += await _race_twins(context, stores, number)
    count_overlaps(context, overlapping)


async def _race_twins(context: CheckContext, stores: Sequence[Adapter], number: int) -> int:
    """One append, sent several times at once; how many of them overlapped."""
    stream, before = context.stream(), 0
    kind = ANY if context.guarantees.occ == "none" else EVERY[number % len(EVERY)]
    if kind in (EXACT, EXISTS):
        before = batch_size(context, number)
        await context.append(stream, context.events(before))
    expected, batch = (
        before - 1 if kind == EXACT else kind,
        context.events(batch_size(context, number)),
    )
    racers = [
        _twin(f"twin {each}", stores[each % len(stores)], stream, batch, expected)
        for each in range(DUPLICATES)
    ]
    attempts = await release_together(racers)
    events = (await context.read_or_empty(stream))[before:]
    read = Step("a reader", f"read {stream!r}", describe_ids(events))
    _require_written_once(attempts, events, read)
    if context.guarantees.idempotency != "window":
        _require_none_refused(attempts)
    return overlaps([attempts])


def _twin(
    who: str, store: Adapter, stream: str, batch: Sequence[NewEvent], expected: ExpectedVersion
) -> Callable[[], Awaitable[Attempt]]:
    return lambda: attempt(who, store, stream, batch, expected)


def _require_written_once(
    attempts: Sequence[Attempt], events: Sequence[RecordedEvent], read: Step
) -> None:
    won = [each for each in attempts if each.won]
    shown = [each.step(attempts) for each in won[:2] or attempts[:2]]
    written = [event.id for event in events]
    batch = [event.id for event in attempts[0].batch]
    if written not in ([batch] if won else [batch, []]):
        raise Broken("an append sent several times at once was not written once", [*shown, read])
    other = [each for each in won if each.answer != won[0].answer]
    if other:
        two = [each.step(attempts) for each in (won[0], other[0])]
        raise Broken("an append sent several times at once got different results", two)


def _require_none_refused(attempts: Sequence[Attempt]) -> None:
    refused = [each for each in attempts if not each.won]
    if refused and all_answered(attempts):
        won = [each for each in attempts if each.won]
        two = [each.step(attempts) for each in (*won[:1], refused[0])]
        raise Broken("a retry concurrent with its original was refused", two)

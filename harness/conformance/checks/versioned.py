"""Checks 16–23. Versioned: an append states what it expects, and the store decides."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from harness.conformance.framework.check import KEEPS, OCC, check
from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import (
    Broken,
    Step,
    Unsupported,
    describe_answer,
    describe_ids,
)
from harness.conformance.framework.history_oracle import require_history
from harness.conformance.framework.occ_races import (
    SIZES,
    batch_size,
    has_one_winner,
    losers_left_nothing,
    occ_races,
    occ_races_between_processes,
    version_after,
)
from harness.conformance.framework.paging import small_batches
from harness.conformance.framework.races import (
    CONNECTIONS,
    RACERS,
    RACES_PER_STREAM,
    Attempt,
    append_in_process,
    attempt,
    count_overlaps,
    count_overlaps_between,
    overlapped,
    race,
)
from harness.domain.errors import AppendRefused, StoreError, WrongExpectedVersion
from harness.domain.expected_version import spelled
from harness.domain.store import Adapter, AppendResult, ExpectedVersion, StreamState
from harness.verification import Kind

ANY, NO_STREAM, EXISTS = StreamState.ANY, StreamState.NO_STREAM, StreamState.EXISTS
EXPECTED_ALONE: tuple[ExpectedVersion, ...] = (ANY, 0, -1, NO_STREAM, 1, 0, EXISTS, ANY)
"""One after another; a number counts from the head: 0 is right, -1 stale and 1 after it."""
LENGTHS = ((3, 40), (260, 520))
"""Of the streams whose versions are expected wrongly, one drawn from each range."""
SIZE_MIN, SIZE_MAX = SIZES[0][0], SIZES[-1][-1]
ACCENTED = ("\N{LATIN SMALL LETTER E WITH ACUTE}", "e\N{COMBINING ACUTE ACCENT}")
"""Look alike, and are equal after Unicode normalization."""


@check(
    16,
    provokes=f"races {RACERS} appends with one expected version, in batches of drawn sizes from"
    f" {SIZE_MIN} to {SIZE_MAX} events, over {CONNECTIONS} connections and then from several"
    " processes, at NO_STREAM and at existing versions, and reads each stream back",
    leaves="two racers that were both acknowledged, or the loser whose event is read",
    declaration=OCC,
)
async def of_racers_with_one_expected_version_exactly_one_wins(context: CheckContext) -> None:
    """Of all appends that expect the same version, exactly one is written."""
    overlapping = 0
    async for attempts in occ_races(context):
        decided = has_one_winner(attempts)
        await losers_left_nothing(context, attempts)
        overlapping += decided and overlapped(attempts)
    count_overlaps(context, overlapping)
    if context.multi_process:
        await occ_races_between_processes(context)


@check(
    17,
    provokes="appends that expect a version before or after the head, or NO_STREAM, on streams of"
    " drawn lengths, a version or EXISTS on a missing one; and races with losers at NO_STREAM and"
    f" at existing versions, in batches of {SIZE_MIN} to {SIZE_MAX} events",
    leaves="the losing append, its error and the actual version of the stream",
    declaration=OCC,
)
async def a_conflict_is_typed_and_carries_the_actual_version(context: CheckContext) -> None:
    """An append with a wrong expected version gets WrongExpectedVersion with the actual version."""
    for least, most in LENGTHS:
        await _require_conflicts_alone(context, context.rng.randint(least, most))
    await _require_conflict(context, context.stream(), 0, actual=None)
    with suppress(Unsupported):  # check 19 reports that
        await _require_conflict(context, context.stream(), EXISTS, actual=None)
    overlapping = 0
    async for attempts in occ_races(context):
        _require_conflicts(attempts)
        lost = any(each.answered and not each.won for each in attempts)
        overlapping += lost and overlapped(attempts)
    count_overlaps(context, overlapping)


async def _require_conflicts_alone(context: CheckContext, length: int) -> None:
    """Each wrong expectation of a stream of that length, one after another."""
    stream, head = context.stream(), length - 1
    for batch in small_batches(context, length, SIZE_MAX):
        await context.append(stream, batch)
    middle, beyond = context.rng.randint(1, head - 1), context.rng.randint(2, 2 * length)
    for expected in (0, middle, head + 1, head + beyond, NO_STREAM):
        await _require_conflict(context, stream, expected, actual=head)


def _require_conflicts(attempts: Sequence[Attempt]) -> None:
    """Raises `Broken` unless each loser gets a conflict with the version after the winner."""
    actual = version_after(attempts[0])
    for each in attempts:
        if each.answered and not each.won and not _is_conflict(each.answer, actual):
            raise Broken(
                f"a losing racer got {describe_answer(each.answer)}",
                [
                    *(one.step(attempts) for one in attempts if one.won),
                    each.step(attempts),
                    Step("the stream", "really had", f"version {actual}"),
                ],
            )


async def _require_conflict(
    context: CheckContext, stream: str, expected: ExpectedVersion, *, actual: int | None
) -> None:
    """Raises `Broken` unless an append with this expectation is a typed conflict."""
    batch = context.events(batch_size(context, len(context.steps)))
    answer = await context.attempt(stream, batch, expected=expected)
    context.count("wrong expectations", least=11)
    if _is_conflict(answer, actual):
        assert isinstance(answer, WrongExpectedVersion)
        if (answer.stream, answer.expected) == (stream, expected):
            return
    head = "no stream" if actual is None else f"version {actual}"
    steps = [*context.steps[-2:], Step("the stream", "really had", head)]
    if isinstance(answer, AppendResult):
        raise Broken(f"an append that expected {spelled(expected)} at {head} was accepted", steps)
    raise Broken(f"the conflict came as {describe_answer(answer)}", steps)


def _is_conflict(answer: AppendResult | StoreError, actual: int | None) -> bool:
    return isinstance(answer, WrongExpectedVersion) and answer.actual == actual


@check(
    18,
    provokes="appends with NO_STREAM to existing streams, of one event and of a drawn length",
    leaves="the append and its result, and the events of the stream",
    declaration=OCC,
)
async def no_stream_on_an_existing_stream_is_refused(context: CheckContext) -> None:
    """An append that expects NO_STREAM is refused on an existing stream."""
    for least, most in ((1, 1), *LENGTHS):
        stream = context.stream()
        for batch in small_batches(context, context.rng.randint(least, most), SIZE_MAX):
            await context.append(stream, batch)
        await _require_refused(context, stream, NO_STREAM, least=3)


@check(
    19,
    provokes="appends with EXISTS to a missing stream",
    leaves="the append and its result",
    declaration=OCC,
)
async def exists_on_a_missing_stream_is_refused(context: CheckContext) -> None:
    """An append that expects EXISTS is refused on a missing stream."""
    await _require_refused(context, context.stream(), EXISTS, least=1)
    stream = context.stream()
    await context.append(stream, context.events())
    await context.append(stream, context.events(), expected=EXISTS)


@check(
    20,
    provokes="appends that expect versions which the stream does not have yet",
    leaves="the append and its result, and the versions that are read",
    declaration=OCC,
)
async def an_expectation_beyond_the_head_is_refused(context: CheckContext) -> None:
    """An append that expects a version after the stream's last one is refused."""
    stream, length = context.stream(), batch_size(context, 1)
    await context.append(stream, context.events(length))
    for beyond in (0, 1, context.rng.randint(2, 40), context.rng.randint(900, 70_000)):
        await _require_refused(context, stream, length + beyond, least=5)
    await _require_refused(context, context.stream(), 0, least=5)


async def _require_refused(
    context: CheckContext, stream: str, expected: ExpectedVersion, *, least: int
) -> None:
    """Raises `Broken` unless the append is refused, with any error, and writes nothing."""
    batch = context.events()
    answer = await context.attempt(stream, batch, expected=expected)
    context.count("wrong expectations", least=least)
    there = await context.exists(stream) and await context.read(stream)
    written = bool(there) and any(event.id == batch[0].id for event in there or ())
    if isinstance(answer, AppendResult) or written:
        read = Step(
            "a reader", f"read {stream!r}", f"the event is {'' if written else 'not '}there"
        )
        raise Broken(
            f"an append that expected {spelled(expected)} was not refused",
            [*context.steps[-2:], read],
        )


@check(
    21,
    provokes=f"races {RACERS} appends under ANY, over several connections and from several"
    " processes, to one stream",
    leaves="the append that did not succeed, or the events in the wrong place",
    declaration=OCC,
)
async def concurrent_appends_under_any_all_succeed(context: CheckContext) -> None:
    """Appends under ANY never conflict, and each gets consecutive versions."""
    stores = await context.writers(CONNECTIONS)
    overlapping, stream, sent = 0, context.stream(), list[Attempt]()
    for number in context.rounds():
        if number % RACES_PER_STREAM == 0:
            await _contiguous(context, sent)
            stream, sent = context.stream(), []
        attempts = await race(context, stores, stream, ANY, size=1 + number % 3)
        _all_won(attempts)
        overlapping += overlapped(attempts)
        sent += attempts
    await _contiguous(context, sent)
    count_overlaps(context, overlapping)
    if context.multi_process:
        by_process = await context.in_processes(append_in_process, context.stream())
        attempts = [each for by_one in by_process for each in by_one]
        _all_won(attempts)
        await _contiguous(context, attempts)
        count_overlaps_between(context, by_process)


def _all_won(attempts: Sequence[Attempt]) -> None:
    lost = [each for each in attempts if each.answered and not each.won]
    if lost:
        shown = [each.step(attempts) for each in lost[:3]]
        raise Broken(f"{len(lost)} of {len(attempts)} appends under ANY did not succeed", shown)


async def _contiguous(context: CheckContext, attempts: Sequence[Attempt]) -> None:
    if attempts:
        recorded = await context.read(attempts[0].stream)
        require_history(attempts, recorded, Kind.NOT_CONTIGUOUS, Kind.LOST, Kind.DUPLICATED)
        require_history(attempts, recorded, Kind.BATCH_BROKEN, Kind.MISPLACED)


@check(
    22,
    provokes="races appends with right and future expected versions, in batches of"
    f" {SIZE_MIN} to {SIZE_MAX} events, sends some alone, stale ones too, and reads each"
    " acknowledged event back",
    leaves="the acknowledged append whose event is missing, and the event in its place; or the"
    " refused append whose event is read",
    declaration=KEEPS,
)
async def nothing_is_ever_overwritten(context: CheckContext) -> None:
    """An acknowledged event stays in its place; a refused one takes none."""
    stores = await context.writers(CONNECTIONS)
    await require_in_place(context, await append_one_by_one(context, stores[0]))
    overlapping = 0
    for number in context.rounds():
        attempts = await race_to_overwrite(context, stores, number)
        overlapping += overlapped(attempts)
        await require_in_place(context, attempts)
    count_overlaps(context, overlapping)


@check(
    23,
    provokes="writes streams whose names differ only in case, in their last character after 254,"
    " 255, 256 and 1000 others, in a space, or in the encoding of an accent",
    leaves="the appends to the two names, and the events read from one of them",
    declaration=KEEPS,
)
async def streams_that_differ_only_in_case_or_length_are_different(context: CheckContext) -> None:
    """Different names are different streams, or are refused."""
    base = context.stream()
    names = [f"{base}{end}" for end in ("Aa", "aA", "aa", "a", "a ", *ACCENTED)] + [f" {base}a"]
    for length in (254, 255, 256, 1000):
        long = base.ljust(length, "x")
        names += [f"{long}y", f"{long}z"]
    written, appended = dict[str, UUID](), dict[UUID, Step]()
    for name in names:
        (event,) = context.events()
        answer = await context.attempt(name, [event])
        if isinstance(answer, AppendResult):
            written[name], appended[event.id] = event.id, context.steps[-1]
        elif not isinstance(answer, AppendRefused):
            raise Broken(
                f"a stream's name was refused by {describe_answer(answer)}", context.steps[-1:]
            )
    for name, event_id in written.items():
        context.count("names that look alike", least=2)
        events = await context.read(name)
        found = [event.id for event in events]
        if found != [event_id]:
            read = Step("a reader", f"read {name!r}", describe_ids(events), context.at_ms())
            both = dict.fromkeys([*found[:2], event_id])
            wrote = [appended[each] for each in both if each in appended]
            raise Broken("two streams are one", [*wrote, read])


async def append_one_by_one(context: CheckContext, store: Adapter) -> list[Attempt]:
    """Right and wrong expectations, one after another, on one stream."""
    stream, attempts, head = context.stream(), list[Attempt](), -1
    for number, each in enumerate(EXPECTED_ALONE):
        batch = context.events(batch_size(context, number))
        expected: ExpectedVersion = head + each if isinstance(each, int) else each
        with suppress(Unsupported):
            attempts.append(await attempt("the writer", store, stream, batch, expected))
            head += len(batch) if attempts[-1].won else 0
    return attempts


async def race_to_overwrite(
    context: CheckContext, stores: Sequence[Adapter], number: int
) -> list[Attempt]:
    """A race on a new stream; under ANY if the store supports no expectations.

    The expectations in turn: right, right for one, after the head, and right for one.
    """
    size, length = batch_size(context, number), batch_size(context, number // len(SIZES))
    raced = ((ANY, 0), (NO_STREAM, 0), (length - 1, 0), (length - 1, length))
    expected, before = raced[number % len(raced)]
    stream = context.stream()
    if before:
        await context.append(stream, context.events(before))
    try:
        return await race(context, stores, stream, expected, size=size)
    except Unsupported:
        return await race(context, stores, context.stream(), ANY, size=size)


async def require_in_place(context: CheckContext, attempts: Sequence[Attempt]) -> None:
    """Raises `Broken` unless acknowledged events are in place and refused ones are missing."""
    recorded = await context.read_or_empty(attempts[0].stream)
    require_history(attempts, recorded, Kind.LOST, Kind.MISPLACED, Kind.WRITTEN_THOUGH_REFUSED)

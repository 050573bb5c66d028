"""Versioned: an append says what it expects, and the store decides."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from harness.conformance.bench import Bench, named, said, told
from harness.conformance.check import Broken, Step, Unsupported, check
from harness.conformance.contests import (
    contest_between_processes,
    contests,
    decided,
    head_after,
    losers_left_nothing,
)
from harness.conformance.declared import KEEPS, OCC
from harness.conformance.judged import judge
from harness.conformance.overwriting import kept, one_by_one, over_each_other
from harness.conformance.racing import (
    A_STREAM,
    CONNECTIONS,
    RACERS,
    Attempt,
    append_alone,
    collided,
    enough,
    enough_between,
    race,
)
from harness.errors import AppendRefused, StoreError, WrongExpectedVersion
from harness.history import Kind
from harness.store import AppendResult, ExpectedVersion, StreamState

ANY, NO_STREAM, EXISTS = StreamState.ANY, StreamState.NO_STREAM, StreamState.EXISTS
ACCENTED = ("\N{LATIN SMALL LETTER E WITH ACUTE}", "e\N{COMBINING ACUTE ACCENT}")
"""The same to the eye, and after normalizing."""


@check(
    16,
    provokes=f"{RACERS} racers with one expected version and batches of one to three events, over"
    f" {CONNECTIONS} connections and then from several processes, at NO_STREAM and at versions"
    " that exist, and reads each stream back",
    leaves="two racers that were both acknowledged, or the loser whose event is there",
    declaration=OCC,
)
async def of_racers_with_one_expected_version_exactly_one_wins(bench: Bench) -> None:
    """Of any number of appends that expect the same version, exactly one is written."""
    collisions = 0
    async for attempts in contests(bench):
        decided(attempts)
        await losers_left_nothing(bench, attempts)
        collisions += collided(attempts)
    enough(collisions)
    if bench.many_processes:
        await contest_between_processes(bench)


@check(
    17,
    provokes="appends that expect a version before or beyond the head, NO_STREAM where there is"
    " one, a version or EXISTS where there is none; and racers that come too late, at NO_STREAM"
    " and at versions that exist",
    leaves="the losing append, the error it got and the version that the stream really had",
    declaration=OCC,
)
async def a_conflict_is_typed_and_carries_the_actual_version(bench: Bench) -> None:
    """An append that expects wrongly gets WrongExpectedVersion with the actual version."""
    stream = bench.stream()
    await bench.append(stream, bench.events(3))
    for expected in (0, 1, 3, NO_STREAM):
        await _conflicts(bench, stream, expected, actual=2)
    await _conflicts(bench, bench.stream(), 0, actual=None)
    with suppress(Unsupported):  # 19 tells so
        await _conflicts(bench, bench.stream(), EXISTS, actual=None)
    collisions = 0
    async for attempts in contests(bench):
        _losers_were_told(attempts)
        collisions += collided(attempts)
    enough(collisions)


def _losers_were_told(attempts: Sequence[Attempt]) -> None:
    """Each loser got a conflict that carries the version to which the winner has brought it."""
    actual = head_after(attempts[0])
    for each in attempts:
        if each.answered and not each.won and not _is_conflict(each.ended, actual):
            raise Broken(
                f"a losing racer got {told(each.ended)}",
                [
                    *(one.step(attempts) for one in attempts if one.won),
                    each.step(attempts),
                    Step("the stream", "really had", f"version {actual}"),
                ],
            )


async def _conflicts(
    bench: Bench, stream: str, expected: ExpectedVersion, *, actual: int | None
) -> None:
    """An append with this expectation is a typed conflict and writes nothing."""
    ended = await bench.attempt(stream, bench.events(), expected=expected)
    if _is_conflict(ended, actual):
        assert isinstance(ended, WrongExpectedVersion)
        if (ended.stream, ended.expected) == (stream, expected):
            return
    head = "no stream" if actual is None else f"version {actual}"
    steps = [*bench.steps[-2:], Step("the stream", "really had", head)]
    if isinstance(ended, AppendResult):
        raise Broken(f"an append that expected {said(expected)} at {head} was accepted", steps)
    raise Broken(f"the conflict came as {told(ended)}", steps)


def _is_conflict(ended: AppendResult | StoreError, actual: int | None) -> bool:
    return isinstance(ended, WrongExpectedVersion) and ended.actual == actual


@check(
    18,
    provokes="appends to an existing stream as if there were none",
    leaves="the append, how it ended, and what the stream holds",
    declaration=OCC,
)
async def no_stream_on_an_existing_stream_is_refused(bench: Bench) -> None:
    """An append that expects no stream is refused where there is one."""
    stream = bench.stream()
    await bench.append(stream, bench.events())
    await _refused(bench, stream, NO_STREAM)


@check(
    19,
    provokes="appends to a missing stream as if it existed",
    leaves="the append and how it ended",
    declaration=OCC,
)
async def exists_on_a_missing_stream_is_refused(bench: Bench) -> None:
    """An append that expects a stream is refused where there is none."""
    await _refused(bench, bench.stream(), EXISTS)
    stream = bench.stream()
    await bench.append(stream, bench.events())
    await bench.append(stream, bench.events(), expected=EXISTS)


@check(
    20,
    provokes="appends that expect versions which the stream does not have yet",
    leaves="the append, how it ended, and the versions that can be read",
    declaration=OCC,
)
async def an_expectation_beyond_the_head_is_refused(bench: Bench) -> None:
    """An append that expects a version beyond the stream's last one is refused."""
    stream = bench.stream()
    await bench.append(stream, bench.events(2))
    for expected in (2, 3, 1000):
        await _refused(bench, stream, expected)
    await _refused(bench, bench.stream(), 0)


async def _refused(bench: Bench, stream: str, expected: ExpectedVersion) -> None:
    """The append is refused, by whatever error, and nothing of it is there."""
    batch = bench.events()
    ended = await bench.attempt(stream, batch, expected=expected)
    there = await bench.exists(stream) and await bench.read(stream)
    written = bool(there) and any(event.id == batch[0].id for event in there or ())
    if isinstance(ended, AppendResult) or written:
        read = Step(
            "a reader", f"read {stream!r}", f"the event is {'' if written else 'not '}there"
        )
        raise Broken(
            f"an append that expected {said(expected)} was not refused", [*bench.steps[-2:], read]
        )


@check(
    21,
    provokes=f"{RACERS} appends at once without an expectation, over several connections and from"
    " several processes, to one stream",
    leaves="the append that did not succeed, or the events that are not where they belong",
    declaration=OCC,
)
async def concurrent_appends_under_any_all_succeed(bench: Bench) -> None:
    """Appends that expect nothing never conflict; each gets versions of its own in a row."""
    stores = await bench.writers(CONNECTIONS)
    collisions, stream, sent = 0, bench.stream(), list[Attempt]()
    for number in bench.rounds():
        if number % A_STREAM == 0:
            await _contiguous(bench, sent)
            stream, sent = bench.stream(), []
        attempts = await race(bench, stores, stream, ANY, size=1 + number % 3)
        _all_won(attempts)
        collisions += collided(attempts)
        sent += attempts
    await _contiguous(bench, sent)
    enough(collisions)
    if bench.many_processes:
        by_process = await bench.in_processes(append_alone, bench.stream())
        attempts = [each for by_one in by_process for each in by_one]
        _all_won(attempts)
        await _contiguous(bench, attempts)
        enough_between(by_process)


def _all_won(attempts: Sequence[Attempt]) -> None:
    lost = [each for each in attempts if each.answered and not each.won]
    if lost:
        shown = [each.step(attempts) for each in lost[:3]]
        raise Broken(f"{len(lost)} of {len(attempts)} appends under ANY did not succeed", shown)


async def _contiguous(bench: Bench, attempts: Sequence[Attempt]) -> None:
    if attempts:
        recorded = await bench.read(attempts[0].stream)
        judge(attempts, recorded, Kind.NOT_CONTIGUOUS, Kind.LOST, Kind.DUPLICATED)
        judge(attempts, recorded, Kind.BATCH_BROKEN, Kind.MISPLACED)


@check(
    22,
    provokes="appends with expectations that are right, stale and beyond the head, racing in"
    " batches of one to three events and alone, and reads back each event that was acknowledged",
    leaves="the acknowledged append whose event is not there, and what stands in its place; or"
    " the refused one whose event is there",
    declaration=KEEPS,
)
async def nothing_is_ever_overwritten(bench: Bench) -> None:
    """An acknowledged event stays where it was acknowledged; a refused one takes no place."""
    stores = await bench.writers(CONNECTIONS)
    await kept(bench, await one_by_one(bench, stores[0]))
    collisions = 0
    for number in bench.rounds():
        attempts = await over_each_other(bench, stores, number)
        collisions += collided(attempts)
        await kept(bench, attempts)
    enough(collisions)


@check(
    23,
    provokes="writes streams whose names differ in case alone, in their last character after 254,"
    " 255, 256 and 1000 others, in a space, or in how an accent is spelled",
    leaves="the appends to the two names, and the events that were read from one",
    declaration=KEEPS,
)
async def streams_that_differ_only_in_case_or_length_are_different(bench: Bench) -> None:
    """Names that are not the same name are different streams, or are refused."""
    base = bench.stream()
    names = [f"{base}{end}" for end in ("Aa", "aA", "aa", "a", "a ", *ACCENTED)] + [f" {base}a"]
    for length in (254, 255, 256, 1000):
        long = base.ljust(length, "x")
        names += [f"{long}y", f"{long}z"]
    written, appended = dict[str, UUID](), dict[UUID, Step]()
    for name in names:
        (event,) = bench.events()
        ended = await bench.attempt(name, [event])
        if isinstance(ended, AppendResult):
            written[name], appended[event.id] = event.id, bench.steps[-1]
        elif not isinstance(ended, AppendRefused):
            raise Broken(f"a stream's name was refused by {told(ended)}", bench.steps[-1:])
    for name, event_id in written.items():
        events = await bench.read(name)
        found = [event.id for event in events]
        if found != [event_id]:
            read = Step("a reader", f"read {name!r}", named(events), bench.at_ms())
            both = dict.fromkeys([*found[:2], event_id])
            wrote = [appended[each] for each in both if each in appended]
            raise Broken("two streams are one", [*wrote, read])

"""Concurrency: who wins a race, that nobody's batch is torn, and that a tailing reader sees all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

import pytest

from harness.domain.errors import NotWritten, UnsupportedByStore, WrongExpectedVersion
from harness.domain.store import AppendResult, ExpectedVersion, NewEvent

from ..subject import Subject
from .support import (
    ANY,
    NO_STREAM,
    append,
    assert_same_log,
    events,
    following,
    ids,
    only,
    read,
    read_log,
    versions,
)

RACERS = 8
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Attempt:
    """One racer's batch and how its append ended."""

    batch: Sequence[NewEvent]
    ended: AppendResult | NotWritten | UnsupportedByStore

    @property
    def won(self) -> bool:
        """Whether it was acknowledged."""
        return isinstance(self.ended, AppendResult)


async def _race(
    subject: Subject, stream: str, *, expected: ExpectedVersion, size: int = 1
) -> list[Attempt]:
    """Appends at once, over two connections where the store takes more than one writer."""
    stores = [subject.store]
    if subject.declared.writers == "many":
        stores.append(await subject.connect())

    async def attempt(number: int) -> Attempt:
        batch = events(size)
        try:
            store = stores[number % len(stores)]
            return Attempt(batch, await append(store, stream, batch, expected=expected))
        except (NotWritten, UnsupportedByStore) as error:
            return Attempt(batch, error)

    return await asyncio.gather(*map(attempt, range(RACERS)))


async def _assert_each_winner_is_there_once(
    subject: Subject, stream: str, attempts: Sequence[Attempt]
) -> None:
    """And no loser, in both ways of reading: also where two may win."""
    recorded = await read(subject.store, stream)
    in_log = [one for one in await read_log(subject.store) if one.stream == stream]
    for attempt in attempts:
        for one in attempt.batch:
            assert ids(recorded).count(one.id) == attempt.won
            assert ids(in_log).count(one.id) == attempt.won


async def test_of_many_racers_with_one_expected_version_exactly_one_wins(subject: Subject):
    everybody: list[Attempt] = []
    expected: ExpectedVersion = NO_STREAM
    for _ in range(ROUNDS):
        attempts = await _race(subject, "order-1", expected=expected)
        everybody += attempts
        if subject.declared.occ != "none":
            winner = only([attempt for attempt in attempts if attempt.won])
            losers = [attempt.ended for attempt in attempts if not attempt.won]
            assert {type(error) for error in losers} == {WrongExpectedVersion}
            assert {error.actual for error in losers} == {winner.ended.version}
            expected = winner.ended.version
        else:
            written = len(await read(subject.store, "order-1"))
            expected = written - 1 if written else NO_STREAM
    if subject.declared.append_only != "none":
        await _assert_each_winner_is_there_once(subject, "order-1", everybody)


async def test_concurrent_appends_without_an_expectation_are_each_whole_and_there_once(
    subject: Subject,
):
    attempts = await _race(subject, "order-1", expected=ANY, size=3)
    if subject.declared.occ != "none":
        assert all(attempt.won for attempt in attempts)
        last = sorted(attempt.ended.version for attempt in attempts)
        assert last == list(range(2, RACERS * 3, 3))
    if subject.declared.append_only != "none":
        await _assert_each_winner_is_there_once(subject, "order-1", attempts)
    if subject.declared.occ == "none" or not subject.declared.atomic_append:
        return
    recorded = await read(subject.store, "order-1")
    assert versions(recorded) == list(range(RACERS * 3))
    for attempt in attempts:
        last = attempt.ended.version
        assert ids(recorded[last - 2 : last + 1]) == ids(attempt.batch)


async def test_appends_to_different_streams_do_not_conflict(subject: Subject):
    batches = {f"order-{number}": events(2) for number in range(12)}
    await _all(append(subject.store, stream, batch) for stream, batch in batches.items())
    for stream, batch in batches.items():
        assert ids(await read(subject.store, stream)) == ids(batch)
    assert len(await read_log(subject.store)) == 24


@pytest.mark.declares(subscription=("push", "poll"))
async def test_a_reader_behind_concurrent_writers_sees_everything_once(subject: Subject):
    """A position that commits late must not be passed over, where the store declares so."""
    elsewhere = await subject.connect() if subject.declared.writers == "many" else subject.store
    written = [events(1 + number % 3) for number in range(54)]

    async def write(writer: int) -> None:
        for number in range(writer, len(written), 9):
            store = (subject.store, elsewhere)[writer % 2]
            await append(store, f"order-{writer}", written[number])

    wanted = sum(map(len, written))
    async with following(subject.store) as follower:
        await _all(map(write, range(9)))
        if subject.declared.gap_free_read:
            await follower.until(wanted)
    seen = ids(follower.events)
    assert len(seen) == len(set(seen))
    for writer in range(9):
        mine = versions([one for one in follower.events if one.stream == f"order-{writer}"])
        assert mine == sorted(mine)
    if subject.declared.gap_free_read:
        assert_same_log(subject, follower.events, await read_log(subject.store))


async def _all(work: Sequence[Awaitable[object]]) -> None:
    await asyncio.gather(*work)

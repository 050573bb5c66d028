"""The workload `retry`, and the same choice in `command`: what follows an unknown outcome."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from uuid import uuid4

import pytest

from harness.domain.errors import (
    EventTooLarge,
    OutcomeUnknown,
    ReadFailed,
    StoreUnavailable,
    UnsupportedByStore,
    WrongExpectedVersion,
)
from harness.domain.flags import FlagCode
from harness.domain.store import NewEvent, StreamState
from harness.stores.kafka import STORE as KAFKA
from harness.stores.memory.store import GUARANTEES, MemoryStore
from harness.stores.null import GUARANTEES as OF_NULL
from harness.workloads import command, retry

STREAM = "order-1"
NEVER_MIND = {"backoff_ms": 0.0}


class Cycle:
    """Time stands still until pauses use up what is left of it."""

    def __init__(self, pauses_left=1000):
        self.pauses_left, self.said = pauses_left, []

    def choose_stream(self, rng):
        return STREAM

    def new_events(self, count):
        return [NewEvent(uuid4(), "Placed", b"{}") for _ in range(count)]

    def saw(self, stream, version):
        """Nobody asks."""

    async def think(self, seconds):
        self.pauses_left -= 1

    def within(self, seconds):
        return self.pauses_left > 0

    def found(self, stream, events, *, expected, version):
        self.said.append((stream, [event.id for event in events], expected, version))


WRITTEN, NOT_WRITTEN = object(), object()
"""An append without an answer, that was written or not."""


class Scripted:
    """A store in memory whose next appends and reads end as told; it knows ids or does not."""

    def __init__(self, *script, knows_ids=True, reads=()):
        self.store = MemoryStore(uuid4().hex)
        self.script, self.reads, self.knows_ids = list(script), list(reads), knows_ids
        self.sent = []

    async def append(self, stream, events, *, expected):
        self.sent.append((tuple(event.id for event in events), expected))
        end = self.script.pop(0) if self.script else None
        if isinstance(end, Exception):
            raise end
        if end is NOT_WRITTEN:
            raise OutcomeUnknown("no answer")
        if not self.knows_ids:
            for event in events:
                self.store.log.by_id.pop(event.id.int, None)
        result = await self.store.append(stream, events, expected=expected)
        if end is WRITTEN:
            raise OutcomeUnknown("no answer")
        return result

    async def read_stream(self, stream, **how):
        if self.reads and (error := self.reads.pop(0)):
            raise error
        async for event in self.store.read_stream(stream, **how):
            yield event

    async def ids(self):
        try:
            return [event.id async for event in self.store.read_stream(STREAM)]
        except Exception:
            return []


def a_retry(**how):
    return retry.Retry(retry.RetryParameters(**{**NEVER_MIND, **how}))


def a_command(**how):
    return command.Command(command.CommandParameters(**{**NEVER_MIND, **how}))


async def operation(workload, store, cycle=None):
    await store.store.setup()
    cycle = cycle or Cycle()
    await workload.run(store, cycle, Random(1))
    return cycle, {name: count for name, count in workload.counts().items() if count}


@pytest.mark.parametrize("make", [a_retry, a_command])
async def test_sent_again_with_the_same_ids_it_is_written_once(make):
    store, workload = Scripted(WRITTEN), make(unknown="again", batch_size=3)
    _, counts = await operation(workload, store)
    assert store.sent[0] == store.sent[1]
    assert len(await store.ids()) == 3
    assert counts == {"unknown_attempts": 1, "appended_again": 1, "settled_by_answer": 1}


@pytest.mark.parametrize("make", [a_retry, a_command])
async def test_read_first_it_is_found_and_not_sent_again(make):
    store, workload = Scripted(WRITTEN), make(unknown="read", batch_size=2)
    cycle, counts = await operation(workload, store)
    ((ids, expected),) = store.sent
    assert cycle.said == [(STREAM, list(ids), expected, 1)], "the generator is told"
    assert counts == {"unknown_attempts": 1, "settled_by_reading": 1}


@pytest.mark.parametrize("make", [a_retry, a_command])
async def test_read_first_and_not_found_it_is_sent_again(make):
    store, workload = Scripted(NOT_WRITTEN), make(unknown="read")
    cycle, counts = await operation(workload, store)
    assert len(await store.ids()) == 1
    assert not cycle.said
    assert counts == {"unknown_attempts": 1, "appended_again": 1, "settled_by_answer": 1}


async def test_where_ids_are_not_known_sending_again_writes_twice_and_a_look_saves_that():
    for unknown, copies in {"again": 2, "read": 1}.items():
        store = Scripted(WRITTEN, knows_ids=False)
        await operation(a_retry(unknown=unknown), store)
        assert len(await store.ids()) == copies


@pytest.mark.parametrize("make", [lambda **how: a_retry(expected="exact", **how), a_command])
async def test_a_conflict_with_its_own_first_try_is_success(make):
    store, workload = Scripted(WRITTEN, knows_ids=False), make(unknown="again")
    cycle, counts = await operation(workload, store)
    assert len(await store.ids()) == 1
    assert len(cycle.said) == 1
    assert counts == {
        "unknown_attempts": 1,
        "appended_again": 1,
        "own_conflicts": 1,
        "settled_by_reading": 1,
    }


class Overtaken(Scripted):
    """Somebody else appends once the first attempt has been sent."""

    async def append(self, stream, events, *, expected):
        if len(self.sent) == 1:
            other = [NewEvent(uuid4(), "Placed", b"{}")]
            await self.store.append(stream, other, expected=StreamState.ANY)
        return await super().append(stream, events, expected=expected)


async def test_a_conflict_with_somebody_else_is_the_outcome_of_a_retry_and_ends_its_doubt():
    store, workload = Overtaken(NOT_WRITTEN), a_retry(expected="exact", unknown="again")
    with pytest.raises(WrongExpectedVersion):
        await operation(workload, store)
    assert workload.counts()["settled_by_conflict"] == 1
    assert len(await store.ids()) == 1


async def test_after_a_conflict_with_somebody_else_a_command_decides_again():
    store = Overtaken(NOT_WRITTEN)
    _, counts = await operation(a_command(unknown="again"), store)
    assert [expected for _, expected in store.sent] == [StreamState.NO_STREAM] * 2 + [0]
    assert len(await store.ids()) == 2
    assert "own_conflicts" not in counts


async def test_what_is_certainly_not_written_is_sent_again():
    store = Scripted(StoreUnavailable("gone"), StoreUnavailable("gone"))
    _, counts = await operation(a_retry(), store)
    assert counts == {"refused_attempts": 2, "appended_again": 2}


async def test_what_no_retry_can_change_is_the_outcome_at_once():
    store = Scripted(EventTooLarge("too large"))
    with pytest.raises(EventTooLarge):
        await operation(a_retry(), store)
    assert len(store.sent) == 1


async def test_a_look_that_fails_is_taken_again_before_anything_is_sent():
    store = Scripted(WRITTEN, reads=[ReadFailed("broken"), StoreUnavailable("gone"), None])
    _, counts = await operation(a_retry(unknown="read"), store)
    assert len(store.sent) == 1
    assert counts == {"unknown_attempts": 1, "settled_by_reading": 1}


@pytest.mark.parametrize("make", [lambda **how: a_retry(expected="exact", **how), a_command])
async def test_a_read_before_the_append_that_fails_is_read_again(make):
    store = Scripted(reads=[ReadFailed("broken"), StoreUnavailable("gone"), None])
    _, counts = await operation(make(unknown="again"), store)
    assert counts == {"read_again": 2}
    assert len(await store.ids()) == 1


async def test_reads_that_fail_up_to_the_deadline_are_the_outcome():
    store, workload = Scripted(reads=[ReadFailed("broken")] * 10), a_command(unknown="again")
    with pytest.raises(ReadFailed):
        await operation(workload, store, Cycle(pauses_left=3))
    assert workload.counts()["given_up"] == 1
    assert store.sent == []


async def test_a_command_that_does_not_go_on_reads_once():
    store = Scripted(reads=[ReadFailed("broken"), None])
    with pytest.raises(ReadFailed):
        await operation(a_command(), store)


async def test_at_the_deadline_doubt_is_the_outcome_whatever_came_last():
    store = Scripted(WRITTEN, *[StoreUnavailable("gone")] * 10)
    workload = a_retry()
    with pytest.raises(OutcomeUnknown):
        await operation(workload, store, Cycle(pauses_left=3))
    assert len(store.sent) == 3
    assert workload.counts()["given_up"] == 1


async def test_at_the_deadline_without_doubt_the_last_refusal_is_the_outcome():
    store = Scripted(*[StoreUnavailable("gone")] * 10)
    with pytest.raises(StoreUnavailable):
        await operation(a_retry(), store, Cycle(pauses_left=3))


async def test_a_command_that_does_not_go_on_fails_and_counts_nothing():
    store, workload = Scripted(WRITTEN), a_command()
    with pytest.raises(OutcomeUnknown):
        await operation(workload, store)
    assert workload.counts() == {}


def test_a_command_that_does_not_go_on_offers_the_load_that_it_always_has():
    assert command.CommandParameters().model_dump() == {
        "batch_size": 1,
        "attempts_max": 10,
        "think_ms": 0.0,
        "load_max": 100,
    }
    assert command.CommandParameters(unknown="read").model_dump()["deadline_s"] > 0


def test_pauses_double_up_to_a_second():
    careful = retry.Careful("again", retry.RetryParameters(backoff_ms=100))
    pauses = careful._pauses()
    for longest_s in (0.1, 0.2, 0.4, 0.8, 1.0, 1.0):
        assert longest_s / 2 <= next(pauses) <= longest_s


@pytest.mark.parametrize("declared", [OF_NULL, replace(GUARANTEES, keeps_ids=False)])
@pytest.mark.parametrize("workload", [retry, command], ids=["retry", "command"])
def test_where_ids_do_not_come_back_nothing_can_be_looked_for(workload, declared):
    parameters = workload.WORKLOAD.parameters
    with pytest.raises(UnsupportedByStore, match="ids"):
        workload.fitted(parameters(unknown="read"), declared)
    assert workload.fitted(parameters(unknown="again"), declared) == (
        parameters(unknown="again"),
        (),
    )


def test_without_versions_it_appends_at_any_with_a_flag():
    declared = KAFKA.variants[""].declares(KAFKA.options())
    fitted, (flag,) = retry.fitted(retry.RetryParameters(expected="exact"), declared)
    assert fitted.expected == "any"
    assert flag.code is FlagCode.WITHOUT_VERSIONS

"""The loops: every operation is counted once, at the times that `measurement.md` defines."""

import asyncio
import itertools
import time
from contextlib import contextmanager

import numpy as np
import pytest

from harness.domain.errors import (
    OutcomeUnknown,
    ReadTimeout,
    StoreUnavailable,
    UnsupportedByStore,
    WrongExpectedVersion,
)
from harness.domain.outcome import Outcome
from harness.domain.store import Endpoint, StreamState
from harness.load import loops
from harness.load.column_buffer import SAMPLE_COLUMNS, ColumnBuffer, SampleBuffer
from harness.load.events import EventFactory, chooser
from harness.load.loops import Client, ClientContext
from harness.load.pacing import SleepPacer, schedule
from harness.load.recording_store import APPEND_COLUMNS, AppendRecorder
from harness.scenario.model import EventShape, OpenLoop, Streams
from harness.stores.memory import STORE as MEMORY

CLOCK = time.monotonic_ns
SHAPE = EventShape(types={"Placed": 1}, size_bytes=64)
STREAMS = Streams(count=10)


class Collecting:
    def __init__(self, width):
        self.blocks = [np.empty((0, width), np.int64)]

    def write(self, block):
        self.blocks.append(block.copy())

    def close(self):
        pass


class Scripted:
    """A workload that does what the test says; its store is the real in-memory one."""

    def __init__(self, operation):
        self.run = operation


class Bench:
    """Clients over a memory store, and the rows that they recorded."""

    def __init__(self, store, operation, clients):
        self.sinks = {"samples": Collecting(14), "appends": Collecting(8)}
        self.samples = SampleBuffer(self.sinks["samples"])
        self.factory = EventFactory(SHAPE, "seed")
        names = STREAMS.names
        self.log = AppendRecorder(
            ColumnBuffer(APPEND_COLUMNS, self.sinks["appends"]),
            base=self.factory.base,
            streams=names,
        )
        around = ClientContext(
            store=store,
            workload=Scripted(operation),
            factory=self.factory,
            choose=chooser(STREAMS, names),
            appends=self.log,
            clock=CLOCK,
            seed="seed",
        )
        self.clients = [Client(number, around, self.samples) for number in range(clients)]

    def rows(self):
        self.samples.close()
        return self._columns("samples", SAMPLE_COLUMNS)

    def appends(self):
        self.log.rows.close()
        return self._columns("appends", APPEND_COLUMNS)

    def _columns(self, name, columns):
        table = np.concatenate(self.sinks[name].blocks)
        return {column: table[:, place] for place, column in enumerate(columns)}


@contextmanager
def memory_store(namespace="loops"):
    adapter = MEMORY.variants[""]
    options = MEMORY.options()

    async def opened():
        store = await adapter.connect(Endpoint(namespace=namespace), options)
        await store.setup()
        return store

    with asyncio.Runner() as runner:
        store = runner.run(opened())
        yield runner, store
        runner.run(store.teardown())


async def append_one(store, cycle, rng):
    await store.append(cycle.choose_stream(rng), cycle.new_events(1), expected=StreamState.ANY)


def failing_in_turn(*errors):
    turn = itertools.cycle([*errors, None])

    async def operation(store, cycle, rng):
        error = next(turn)
        if error is not None:
            raise error
        await append_one(store, cycle, rng)

    return operation


def closed(operation, *, clients=4, duration_s=None, operations=None):
    with memory_store() as (runner, store):
        bench = Bench(store, operation, clients)
        window = runner.run(
            loops.closed_loop(
                bench.clients,
                itertools.count(),
                CLOCK,
                duration_s=duration_s,
                operations=operations,
            )
        )
        return bench, window


def opened(operation, intended_s, *, clients=4, deadline_s=None, drain_s=5.0):
    with memory_store() as (runner, store):
        bench = Bench(store, operation, clients)
        window = runner.run(
            loops.open_loop(
                bench.clients,
                np.round(np.array(intended_s) * 1e9).astype(np.int64),
                itertools.count(),
                pacer=SleepPacer(CLOCK),
                clock=CLOCK,
                deadline_s=deadline_s,
                drain_s=drain_s,
            )
        )
        assert not asyncio.all_tasks(runner.get_loop())
        return bench, window


def test_a_closed_loop_performs_exactly_the_operations_asked_for():
    bench, window = closed(append_one, operations=1000)
    rows = bench.rows()
    assert window.scheduled == 1000
    assert sorted(rows["op"]) == list(range(1000))
    assert (rows["outcome"] == Outcome.OK).all()
    assert len(set(rows["first"])) == 1000


def test_a_closed_loop_stops_after_its_duration():
    bench, window = closed(append_one, duration_s=0.2)
    assert 0.2 <= (window.ended_ns - window.started_ns) / 1e9 < 2
    assert window.scheduled == len(bench.rows()["op"])


def test_an_append_found_by_reading_has_a_row_of_its_own_and_counts_as_the_operations_events():
    async def found(store, cycle, rng):
        stream, events = cycle.choose_stream(rng), cycle.new_events(3)
        try:
            await store.append(stream, events, expected=7)
        except WrongExpectedVersion:
            cycle.found(stream, events, expected=7, version=10)

    bench, _ = closed(found, operations=1, clients=1)
    rows, appends = bench.rows(), bench.appends()
    assert rows["outcome"].tolist() == [Outcome.OK]
    assert (rows["events"].tolist(), rows["count"].tolist()) == ([3], [0])
    assert appends["outcome"].tolist() == [Outcome.CONFLICT, Outcome.FOUND]
    assert appends["first"].tolist() == [0, 0]
    assert appends["count"].tolist() == [3, 3]
    assert appends["version"].tolist() == [-1, 10]
    assert appends["expected"].tolist() == [7, 7]


def test_a_deadline_counts_from_when_the_operation_was_sent():
    told = []

    async def waiting(store, cycle, rng):
        told.append((cycle.within(60), cycle.within(0)))

    closed(waiting, operations=2, clients=1)
    assert told == [(True, False)] * 2


def test_every_outcome_is_counted_and_the_accounting_balances():
    errors = (
        WrongExpectedVersion("s", 1, 2),
        StoreUnavailable("gone"),
        OutcomeUnknown("who knows"),
        ReadTimeout("slow"),
    )
    bench, window = closed(failing_in_turn(*errors), operations=100, clients=1)
    counted = np.bincount(bench.rows()["outcome"], minlength=len(Outcome))
    assert counted.sum() == window.scheduled == 100
    assert counted.tolist() == [20, 20, 20, 20, 20, 0, 0, 0]


def test_a_refused_client_of_a_closed_loop_does_not_hammer_the_server():
    bench, _ = closed(failing_in_turn(StoreUnavailable("gone")), duration_s=0.2, clients=1)
    refused = int((bench.rows()["outcome"] == Outcome.REFUSED).sum())
    assert 1 <= refused <= 21  # fewer on a busy machine


def test_a_bug_ends_the_loop_with_its_own_error():
    async def buggy(store, cycle, rng):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        closed(buggy, duration_s=1)
    with pytest.raises(ZeroDivisionError):
        opened(buggy, [0.0, 0.01])


def test_what_a_store_does_not_support_ends_the_loop():
    async def unsupported(store, cycle, rng):
        raise UnsupportedByStore("no expected versions")

    with pytest.raises(UnsupportedByStore):
        closed(unsupported, duration_s=1)


def test_retries_stay_inside_one_operation_and_each_failed_attempt_is_kept():
    async def two_conflicts(store, cycle, rng):
        events = cycle.new_events(1)
        for _ in range(2):
            with pytest.raises(WrongExpectedVersion):
                await store.append("other-1", events, expected=99)
        await store.append("other-1", events, expected=StreamState.ANY)

    bench, _ = closed(two_conflicts, operations=10, clients=1)
    rows, appends = bench.rows(), bench.appends()
    assert (rows["attempts"] == 3).all()
    assert (rows["outcome"] == Outcome.OK).all()
    assert len(appends["op"]) == 20
    assert (appends["outcome"] == Outcome.CONFLICT).all()
    for op in range(10):
        ended = appends["ended_ns"][appends["op"] == op]
        sent, done = rows["sent_ns"][rows["op"] == op], rows["done_ns"][rows["op"] == op]
        assert sent <= ended[0] <= ended[1] <= done


def test_an_operation_with_two_appends_writes_both_down():
    async def twice(store, cycle, rng):
        await append_one(store, cycle, rng)
        await append_one(store, cycle, rng)

    bench, _ = closed(twice, operations=10, clients=1)
    rows, appends = bench.rows(), bench.appends()
    assert (rows["events"] == 2).all()
    written = np.concatenate((rows["first"], appends["first"]))
    assert sorted(written) == list(range(20))


def test_an_open_loop_keeps_its_intended_times_whatever_the_store_does():
    stalled = iter([True])

    async def stalls_once(store, cycle, rng):
        if next(stalled, False):
            await asyncio.sleep(0.3)
        await append_one(store, cycle, rng)

    intended_s = [number * 0.01 for number in range(30)]
    bench, _ = opened(stalls_once, intended_s, clients=1)
    rows = bench.rows()
    order = np.argsort(rows["op"])
    gaps = np.diff(rows["intended_ns"][order])
    assert (np.abs(gaps - 10_000_000) <= 1).all()
    response_s = (rows["done_ns"] - rows["intended_ns"])[order] / 1e9
    assert response_s[0] >= 0.3
    assert (response_s[1:20] >= 0.29 - np.arange(1, 20) * 0.01).all()
    service_s = (rows["done_ns"] - rows["sent_ns"])[order] / 1e9
    assert (service_s[1:] < 0.1).all()


def test_queueing_at_in_flight_max_is_recorded_as_queue_delay():
    async def slow(store, cycle, rng):
        await asyncio.sleep(0.05)

    bench, _ = opened(slow, [0.0] * 6, clients=2)
    rows = bench.rows()
    order = np.argsort(rows["sent_ns"])
    queue_s = (rows["sent_ns"] - rows["dispatched_ns"])[order] / 1e9
    assert (queue_s[:2] < 0.04).all()
    assert (queue_s[4:] >= 0.09).all()
    assert (rows["outcome"] == Outcome.OK).all()


def test_operations_over_the_deadline_are_dropped_and_counted():
    async def slow(store, cycle, rng):
        await asyncio.sleep(0.1)

    bench, window = opened(slow, [0.0] * 5, clients=1, deadline_s=0.15)
    counted = np.bincount(bench.rows()["outcome"], minlength=len(Outcome))
    assert counted[Outcome.OK] == 2
    assert counted[Outcome.DROPPED] == 3
    assert counted.sum() == window.scheduled


def test_what_is_not_done_when_the_drain_ends_is_unfinished_not_forgotten():
    async def hangs(store, cycle, rng):
        await asyncio.sleep(60)

    bench, window = opened(hangs, [0.0] * 5, clients=2, drain_s=0.2)
    outcomes = bench.rows()["outcome"]
    assert len(outcomes) == window.scheduled == 5
    assert (outcomes == Outcome.UNFINISHED).all()


def test_an_append_cut_off_by_the_end_is_written_down_as_unknown():
    class Hanging:
        read_stream = read_all = subscribe = None

        async def append(self, stream, events, *, expected):
            await asyncio.sleep(60)

    async def scenario():
        bench = Bench(Hanging(), append_one, 1)
        await loops.open_loop(
            bench.clients,
            np.zeros(1, np.int64),
            itertools.count(),
            pacer=SleepPacer(CLOCK),
            clock=CLOCK,
            deadline_s=None,
            drain_s=0.1,
        )
        return bench

    with asyncio.Runner() as runner:
        bench = runner.run(scenario())
    assert bench.appends()["outcome"].tolist() == [Outcome.UNKNOWN]
    assert bench.rows()["outcome"].tolist() == [Outcome.UNFINISHED]


@pytest.mark.parametrize("arrivals", ["poisson", "uniform"])
def test_a_schedule_has_its_rate_and_depends_on_the_seed_alone(arrivals):
    load = OpenLoop(rate_per_s=1000.0, arrivals=arrivals, in_flight_max=16)
    times = schedule(load, 50_000, "seed")
    assert (np.diff(times) >= 0).all()
    assert times[-1] / 1e9 == pytest.approx(50, rel=0.02)
    assert (times == schedule(load, 50_000, "seed")).all()
    gaps = np.diff(times)
    if arrivals == "uniform":
        assert gaps.max() - gaps.min() <= 1
    else:
        assert gaps.std() / gaps.mean() == pytest.approx(1, rel=0.03)
        assert not (times == schedule(load, 50_000, "other")).all()

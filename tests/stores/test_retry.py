"""Clients that go on after an append without an answer, on real servers, judged by the history."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import numpy as np
import pytest

from harness.domain.outcome import Outcome
from harness.domain.store import Adapter
from harness.load import loops
from harness.load.column_buffer import SAMPLE_COLUMNS, ColumnBuffer, SampleBuffer
from harness.load.events import EventFactory, chooser
from harness.load.recording_store import APPEND_COLUMNS, AppendRecorder
from harness.scenario.model import EventShape, Streams
from harness.servers import TECHNOLOGIES, Server
from harness.servers.path.relaying import relayed
from harness.stores import kinds
from harness.verification import Appends, Kind, Verification, declared, verify
from harness.workloads import kinds as workloads

from .subject import fresh, opened

STREAMS = Streams(count=1)
PATIENCE_S = 1.0
"""The store's own deadline: how long the client waits for an answer that never comes."""
OK, UNKNOWN, FOUND = Outcome.OK, Outcome.UNKNOWN, Outcome.FOUND


class Rows:
    """A sink that keeps what it gets."""

    def __init__(self):
        self.blocks = []

    def write(self, block):
        self.blocks.append(block.copy())

    def close(self):
        pass

    def columns(self, names):
        table = np.concatenate(self.blocks) if self.blocks else np.empty((0, len(names)), np.int64)
        return {name: table[:, place] for place, name in enumerate(names)}


@dataclass
class Wounded:
    """The store, whose second append is hurt on its way back."""

    store: Adapter
    hurt: Callable
    appends: int = 0

    def __getattr__(self, name):
        return getattr(self.store, name)

    async def append(self, stream, events, *, expected):
        self.appends += 1
        if self.appends != 2:
            return await self.store.append(stream, events, expected=expected)
        async with self.hurt():
            return await self.store.append(stream, events, expected=expected)


@dataclass
class Story:
    """What became of three operations, of which the second was hurt."""

    ended: list[Outcome]
    attempts: list[Outcome]
    """Those with rows of their own."""
    counts: dict[str, int]
    verification: Verification
    copies: int
    """Of the event that was in doubt."""


async def told(store: Adapter, hurt: Callable, guarantees, workload: str, **how) -> Story:
    kind = workloads()[workload]
    samples, appends = Rows(), Rows()
    buffer, factory = SampleBuffer(samples), EventFactory(EventShape(), "retries")
    recorder = AppendRecorder(
        ColumnBuffer(APPEND_COLUMNS, appends), base=factory.base, streams=STREAMS.names
    )
    what = kind.make(kind.parameters(**how))
    around = loops.ClientContext(
        store=Wounded(store, hurt),
        workload=what,
        factory=factory,
        choose=chooser(STREAMS, STREAMS.names),
        appends=recorder,
        clock=time.monotonic_ns,
        seed="retries",
    )
    client = loops.Client(0, around, buffer)
    await loops.closed_loop(
        [client], itertools.count(), time.monotonic_ns, duration_s=None, operations=3
    )
    for each in (buffer, recorder.rows):
        each.close()
    own, others = samples.columns(SAMPLE_COLUMNS), appends.columns(APPEND_COLUMNS)
    acknowledged = own["count"] > 0
    names = [each for each in APPEND_COLUMNS if each not in {"outcome", "ended_ns"}]
    sent = Appends(
        **{name: np.concatenate([own[name][acknowledged], others[name]]) for name in names},
        outcome=np.concatenate([own["outcome"][acknowledged], others["outcome"]]),
    )
    verification = await verify(
        store,
        appends=[sent],
        deliveries=None,
        streams=STREAMS.names,
        base=factory.base,
        data_of=factory.data_of,
        guarantees=guarantees,
        streams_max=1,
        rng=Random(1),
    )
    doubted = factory.base + 1
    return Story(
        ended=[Outcome(each) for each in own["outcome"]],
        attempts=[Outcome(each) for each in others["outcome"]],
        counts={name: count for name, count in getattr(what, "counts", dict)().items() if count},
        verification=verification,
        copies=len([1 async for event in store.read_all() if event.id.int == doubted]),
    )


@asynccontextmanager
async def behind_a_relay(server: Server, technology: str) -> AsyncIterator[tuple]:
    """The store, and losing all answers of one append on the way back to it."""
    kind = kinds()[technology]
    options = kind.options(deadline_s=PATIENCE_S)
    async with relayed(technology, TECHNOLOGIES[technology].line, server.endpoint) as relay:

        @asynccontextmanager
        async def answers_lost():
            await relay.lose_answers()
            try:
                yield
            finally:
                await relay.restore()

        async with opened(kind.variants[""], options, fresh(relay.endpoint), server) as subject:
            yield subject, answers_lost


EXPECTED = {
    ("append", ()): ([OK, UNKNOWN, OK], [UNKNOWN], {}),
    ("retry", (("unknown", "again"),)): (
        [OK, OK, OK],
        [UNKNOWN],
        {"unknown_attempts": 1, "appended_again": 1, "settled_by_answer": 1},
    ),
    ("retry", (("unknown", "read"),)): (
        [OK, OK, OK],
        [UNKNOWN, FOUND],
        {"unknown_attempts": 1, "settled_by_reading": 1},
    ),
    ("command", (("unknown", "again"),)): (
        [OK, OK, OK],
        [UNKNOWN],
        {"unknown_attempts": 1, "appended_again": 1, "settled_by_answer": 1},
    ),
    ("command", (("unknown", "read"),)): (
        [OK, OK, OK],
        [UNKNOWN, FOUND],
        {"unknown_attempts": 1, "settled_by_reading": 1},
    ),
}


@pytest.mark.parametrize("case", EXPECTED, ids=lambda case: f"{case[0]}-{dict(case[1])}")
async def test_an_append_whose_answer_is_lost_is_written_once_and_only_a_careful_client_knows(
    postgres_server: Server, case
):
    workload, how = case
    async with behind_a_relay(postgres_server, "postgres") as (subject, answers_lost):
        story = await told(subject.store, answers_lost, subject.declared, workload, **dict(how))
    assert (story.ended, story.attempts, story.counts) == EXPECTED[case]
    assert story.copies == 1
    assert story.verification.ok, story.verification.violations
    resolved = story.verification.unknown_written, story.verification.unknown_lost
    assert resolved == ((1, 0) if workload == "append" else (0, 0))


@pytest.fixture
def kafka_server(servers: Callable[[str], Server]) -> Server:
    return servers("kafka")


async def test_kafka_knows_no_ids_so_sending_again_may_write_twice_and_is_counted(
    kafka_server: Server,
):
    async with behind_a_relay(kafka_server, "kafka") as (subject, answers_lost):
        story = await told(subject.store, answers_lost, subject.declared, "retry", unknown="again")
    assert story.ended == [OK, OK, OK]
    assert story.counts["unknown_attempts"] >= 1
    extra = story.copies - 1
    assert story.verification.counts == ({Kind.RETRY_DUPLICATED: extra} if extra else {})
    assert not declared(Kind.RETRY_DUPLICATED, subject.declared)

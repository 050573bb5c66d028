"""Reads that do not show what was acknowledged before they began are found, and no others."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from harness.domain.errors import StreamNotFound
from harness.domain.factory import StoreFactory
from harness.domain.store import Endpoint
from harness.domain.workload import Catalogue
from harness.results import RunFolder
from harness.results.sorted_rows import Scratch, Sizes
from harness.run.trial import TrialRun
from harness.run.trial_result import violation_counts
from harness.scenario.model import ClosedLoop, EventShape, Streams, Trial, Verify
from harness.scenario.names import StoreRef
from harness.stores import kinds
from harness.stores.memory.store import MemoryOptions, MemoryStore
from harness.verification.staleness import Acknowledgements, HeadReads, Readings, judge_reads
from harness.verification.violations import Kind, Violations
from harness.workloads import kinds as workloads

EVERYTHING = 1 << 40


class ReadsAReplicaThatLags(MemoryStore):
    """Promises fresh reads, and answers those of a stream's end from a copy that is behind."""

    lag_s = 0.02

    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=expected)
        self.__dict__.setdefault("written", []).append((time.monotonic(), result.version))
        await asyncio.sleep(0.001)
        return result

    async def read_stream(self, stream, *, start=0, limit=None, backwards=False):
        followed = time.monotonic() - self.lag_s
        written = [version for at, version in self.__dict__.get("written", ()) if at > followed]
        shown = min(written, default=EVERYTHING) if backwards else EVERYTHING
        nothing = True
        events = super().read_stream(stream, start=start, limit=limit, backwards=backwards)
        async for event in events:
            if event.version < shown:
                nothing = False
                yield event
        if nothing:
            raise StreamNotFound(stream)


class DeclaresSo(ReadsAReplicaThatLags):
    """The same, and says so."""

    @classmethod
    def declares(cls, options):
        return replace(super().declares(options), reads="eventual")


class IsFresh(ReadsAReplicaThatLags):
    lag_s = 0.0


async def judged(adapter, tmp_path, workload="command"):
    """What a trial with one stream says of its reads."""
    parameters = workloads()[workload].parameters()
    trial = Trial(
        number=1, scenario="made", store=StoreRef("memory"), workload=workload,
        parameters=parameters, load=ClosedLoop(workers=2), events=EventShape(types={"Placed": 1}),
        streams=Streams(count=1, prefill=3), verify=Verify(streams_max=1), conformance=False,
        server_settings={}, point={}, processes=1, added_rtt_ms=0.0, warm_up_s=0.0,
        duration_s=None, operations=40, drain_s=5.0, repetition=1, seed="1/1",
    )  # fmt: skip
    facts = await TrialRun(
        trial=trial,
        how=StoreFactory(adapter, Endpoint(namespace=str(tmp_path)), MemoryOptions()),
        catalogue=Catalogue(kinds(), workloads()),
        folder=RunFolder.create(tmp_path, "made"),
        server=None,
        watcher=None,
    ).run()
    assert facts.status == "done", facts.message
    return violation_counts(facts)


async def test_a_store_that_promises_fresh_reads_and_lags_is_caught(tmp_path):
    counted = await judged(ReadsAReplicaThatLags, tmp_path)
    assert 0 < counted.stale_reads <= counted.judged_reads
    assert counted.stale_max_ns > 0
    assert counted.declared_violations >= counted.stale_reads
    lines = json.loads(counted.violation_list)
    assert any("read its stream up to" in line and "acknowledged" in line for line in lines)


async def test_one_that_declares_it_has_a_count_and_breaks_no_promise(tmp_path):
    counted = await judged(DeclaresSo, tmp_path)
    assert counted.stale_reads > 0
    assert (counted.violations, counted.declared_violations) == (counted.stale_reads, 0)


@pytest.mark.parametrize("workload", ["command", "read_stream"])
async def test_fresh_reads_are_judged_and_none_is_stale(tmp_path, workload):
    counted = await judged(IsFresh, tmp_path, workload)
    assert counted.judged_reads >= 40
    assert (counted.stale_reads, counted.stale_max_ns, counted.violations) == (0, None, 0)


async def test_a_workload_that_does_not_read_has_nothing_to_judge(tmp_path):
    counted = await judged(IsFresh, tmp_path, "append")
    assert counted.judged_reads is None


def table(kind, rows):
    return kind(*np.array(rows, np.int64).reshape(-1, 4).T)


@pytest.mark.parametrize("seed", range(20))
def test_the_judgement_is_that_of_comparing_each_read_with_each_append(seed):
    rng = Random(seed)
    acknowledged = [
        (rng.randrange(5), rng.randrange(30), event, rng.randrange(1000)) for event in range(60)
    ]
    reads = [
        (op, rng.randrange(6), rng.randrange(1000), rng.randrange(-1, 30)) for op in range(200)
    ]
    lost = rng.sample(range(60), 10)
    violations = Violations(base=0, names={}, foreign={})
    violations.lost_events += lost
    with Scratch(sizes=Sizes(run=16, part=16, step=4)) as scratch:
        found = judge_reads(
            Readings(
                (table(HeadReads, reads[at : at + 7]) for at in range(0, 200, 7)),
                (table(Acknowledgements, acknowledged[at : at + 9]) for at in range(0, 60, 9)),
            ),
            scratch,
            violations,
        )
    late = [
        max(
            (
                began - at
                for of, version, event, at in acknowledged
                if of == stream and version > seen and event not in lost
            ),
            default=0,
        )
        for _, stream, began, seen in reads
    ]
    missed = [each for each in late if each > 0]
    assert (found.reads, found.stale, found.max_ns) == (200, len(missed), max(missed))
    assert violations.counts == {Kind.STALE_READ: len(missed)}

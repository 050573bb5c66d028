"""Each broken store is caught by the check that is named for its fault, and by no neighbour of it.

`make conformance-soak` runs each of them against all checks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from harness.conformance import (
    FAST,
    Check,
    CheckResult,
    CheckVerdict,
    Conclusion,
    Requirement,
    StoreUnderTest,
    all_checks,
    judge,
    measure,
)
from harness.conformance.framework.check_workers import CheckWorkers
from harness.domain.factory import StoreFactory
from harness.domain.store import Endpoint
from harness.stores.memory.store import BoundaryMemory, MemoryOptions
from harness.stores.sqlite import SqliteOptions, SqliteStore

from .broken import apart as a
from .broken import boundaries as bd
from .broken import boundaries_apart as ba
from .broken import changing as c
from .broken import keeping as k
from .broken import meeting as m
from .broken import retrying as r
from .broken import versioning as v
from .broken.guarding import GuardsInItsProcess, WakesByABellOfItsProcess
from .broken.machine import Served
from .broken.transactions import Transactional
from .catching import QUICK, failures, results_of
from .faults import FAULTS, OUT_OF_REACH, numbers_for

OF_BOUNDARIES = {
    number for number, each in all_checks().items() if each.requirement is Requirement.BOUNDARIES
}
OF_TRANSACTIONS = {9, 11, 12, 13}
"""The checks that hold a foreign transaction open."""


@pytest.mark.parametrize("store", FAULTS, ids=lambda store: store.__name__)
async def test_it_is_caught_by_the_check_named_for_it_and_by_no_neighbour(store):
    number, _ = FAULTS[store]
    results = await results_of(store, numbers=numbers_for(store))
    assert failures(results).keys() == {number}, failures(results)
    assert results[number].evidence, "a failure leaves evidence"


@pytest.mark.parametrize(
    ("store", "numbers"), [(Served, OUT_OF_REACH), (Transactional, OF_TRANSACTIONS)]
)
async def test_a_healthy_store_passes_what_one_without_server_or_transactions_cannot_reach(
    store, numbers
):
    """The store in memory, which has neither, is among `test_stores`."""
    results = await results_of(store, numbers=numbers)
    assert {n: each.verdict for n, each in results.items()} == dict.fromkeys(
        numbers, CheckVerdict.HOLDS
    ), failures(results)


async def test_a_healthy_store_with_boundaries_passes_their_checks():
    results = await results_of(BoundaryMemory, numbers=OF_BOUNDARIES)
    verdicts = {number: each.verdict for number, each in results.items()}
    assert verdicts == dict.fromkeys(OF_BOUNDARIES, CheckVerdict.HOLDS), results


async def test_boundaries_in_a_file_pass_from_several_processes(
    workers: CheckWorkers, tmp_path: Path
):
    checks = [all_checks()[number] for number in (61, 62)]
    place = Endpoint(str(tmp_path), "eslab_sound")
    results = await results_on(ba.KeepsBoundariesInAFile, place, checks, workers)
    for each in results.values():
        assert each.verdict is CheckVerdict.HOLDS, each.why
        assert any("several processes" in one.what for one in each.provoked)


async def test_where_no_two_conditional_appends_meet_nothing_is_said_of_them():
    races = {61, 62, 63, 66, 67}
    results = await results_of(bd.LetsNothingMeet, numbers=races)
    for each in results.values():
        assert each.verdict is CheckVerdict.NOT_REACHED
        assert "at once" in each.why or "0 appends that overlapped" in each.why


async def test_appends_that_wait_for_each_other_until_nobody_answers_prove_nothing():
    results = await results_of(bd.WaitsForEachOther, numbers={63})
    assert results[63].verdict is CheckVerdict.NOT_REACHED
    assert "5 ways to describe boundaries that met, at least 6 needed" in results[63].why


async def test_refusals_of_disjoint_boundaries_are_counted_and_no_defect_where_declared():
    results = await results_of(bd.SaysSo, numbers={63})
    judged = judge(all_checks()[63], results[63], bd.SaysSo.declares(MemoryOptions()))
    assert judged.conclusion is Conclusion.FAILS_NOT_PROMISED
    refused = next(each for each in results[63].provoked if "refused" in each.what)
    assert refused.count > 0
    assert f"{refused.count:,} of" in results[63].why


async def test_an_answer_is_lost_only_where_something_was_written():
    results = await results_of(r.DropsWhatIsStalled, numbers={49})
    assert results[49].verdict is CheckVerdict.NOT_REACHED


async def test_a_change_that_something_else_prevents_says_nothing_of_the_store():
    results = await results_of(c.PreventsTampering, numbers={1, 2})
    for each in results.values():
        assert each.verdict is CheckVerdict.NOT_REACHED
        assert "a disk that is read-only" in each.why


async def test_names_of_more_than_255_characters_may_be_refused():
    results = await results_of(k.RefusesVeryLongNames, numbers={40})
    assert results[40].verdict is CheckVerdict.HOLDS


async def test_an_append_without_an_answer_is_neither_won_nor_lost():
    races = {4, 7, 8, 10, 16, 17, 21, 22}
    results = await results_of(v.SometimesDoesNotAnswer, numbers=races)
    assert {
        number for number, each in results.items() if each.verdict is CheckVerdict.HOLDS
    } == races


async def test_where_no_two_appends_meet_nothing_is_said_of_races():
    races = {7, 8, 9, 10, 16, 17, 21, 22, 24}
    results = await results_of(m.LetsNothingMeet, numbers=races)
    assert {number: each.verdict for number, each in results.items()} == dict.fromkeys(
        races, CheckVerdict.NOT_REACHED
    )
    assert all("provoked too little: 0 appends that" in each.why for each in results.values())


IN_ONE_PROCESS: dict[type[SqliteStore], set[int]] = {
    GuardsInItsProcess: {16},
    a.GuardsVersionsInItsProcess: {16},
    a.TakesTurnsInItsProcess: {21},
    a.ReadsAsFarAsItsProcessWrote: {9, 10, 11, 12},
    WakesByABellOfItsProcess: {35},
    ba.GuardsBoundariesInItsProcess: {61, 62},
}
"""Sound as long as one process writes, and the checks that must fail with several."""


@pytest.fixture(scope="module")
def workers(runner: asyncio.Runner) -> Iterator[CheckWorkers]:
    """The worker processes of all these stores: each opens the store anew for each race."""
    workers = CheckWorkers(FAST.processes)
    yield workers
    runner.run(workers.aclose())


@pytest.mark.parametrize("store", IN_ONE_PROCESS, ids=lambda store: store.__name__)
async def test_what_is_sound_in_one_process_is_caught_from_several(
    store: type[SqliteStore], workers: CheckWorkers, tmp_path: Path
):
    checks = [all_checks()[number] for number in sorted(IN_ONE_PROCESS[store])]
    alone, several = [
        await results_on(store, Endpoint(str(tmp_path), f"eslab_{among.size}"), checks, among)
        for among in (CheckWorkers(0), workers)
    ]
    for number in IN_ONE_PROCESS[store]:
        assert alone[number].verdict is CheckVerdict.HOLDS, alone[number].why
        assert several[number].verdict is CheckVerdict.FAILS, several[number].why
        assert any("process" in step.who for step in several[number].evidence)


async def results_on(
    store: type[SqliteStore], endpoint: Endpoint, checks: Sequence[Check], workers: CheckWorkers
) -> Mapping[int, CheckResult]:
    factory = StoreFactory(store, endpoint, SqliteOptions())
    async with factory.set_up():
        return await measure(StoreUnderTest("guarded", factory), checks, QUICK, workers=workers)


def test_every_check_has_a_store_that_it_catches():
    assert {number for number, _ in FAULTS.values()} == set(all_checks())

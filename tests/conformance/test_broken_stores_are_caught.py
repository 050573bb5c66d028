"""Each broken store is caught by the check that is named for its fault, and by nothing unrelated.

The table says which check must fail, and which may besides because they rest on the same promise.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.conformance import Subject, Verdict, all_checks, measure
from harness.conformance.bench import Reach
from harness.store import Endpoint
from harness.stores.memory import MemoryStore
from harness.stores.sqlite import SqliteOptions, SqliteStore

from .broken import apart as a
from .broken import batching as b
from .broken import categories as g
from .broken import changing as c
from .broken import keeping as k
from .broken import leaving as left
from .broken import log_only as lo
from .broken import meeting as m
from .broken import naming as n
from .broken import ordering as o
from .broken import retrying as r
from .broken import subscribing as s
from .broken import versioning as v
from .broken.guarding import GuardsInItsProcess, WakesByABellOfItsProcess
from .broken.machine import Served
from .broken.transactions import Transactional
from .catching import QUICK, failing, found_in

OUT_OF_REACH = {9, 11, 12, 13, 26, 37, 48}
"""For a store without transactions to hold open, and without a server."""

FAULTS: dict[type[MemoryStore], tuple[int, set[int]]] = {
    c.CanBeOverwritten: (1, set()),
    c.CanBeOverwrittenInSilence: (1, set()),
    lo.OverwritesInTheLogOnly: (1, set()),
    c.CanBeDeletedFrom: (2, set()),
    lo.DeletesFromTheLogOnly: (2, set()),
    c.RewritesOldEvents: (3, set()),
    lo.RewritesItsLog: (3, set()),
    c.LeavesPartOfABatch: (4, {28}),
    c.ReportsConflictsAfterWriting: (4, {16, 17, 18, 19, 20, 22}),
    left.WritesItsLogBeforeItLooks: (4, {14}),
    left.TellsSubscribersBeforeItLooks: (4, {31, 32, 33, 34, 35, 38, 39}),
    m.LeavesTheRestOfLosers: (4, {16, 17, 22}),
    c.ReversesTheCallersList: (5, set()),
    c.AcknowledgesNothing: (6, set()),
    c.CountsNothing: (6, set()),
    o.LeavesGapsInVersions: (7, {8, 14, 21, 22, 31, 39}),
    o.CountsFromOne: (7, {6, 10, 16, 21, 22}),
    o.TellsTheLogsBeginning: (7, set()),
    o.ReversesLongBatches: (8, {15, 36, 46}),
    m.MixesBatchesThatMeet: (8, {21}),
    m.TearsWhatItDoesNotAnswer: (8, set()),
    o.MissesSomeOfWhatIsNew: (9, {10, 14}),
    o.SkipsLateCommits: (9, set()),
    o.InvertsPairs: (10, {8, 9, 14, 15, 46}),
    o.OrdersByWallClock: (10, {3, 8, 9, 14, 15, 46}),
    o.CountsFromOneInItsLog: (10, set()),
    o.InvertsEarlyStarters: (11, set()),
    o.LosesWhatIsWrittenBesideATransaction: (12, {11}),
    o.StallsBehindARollback: (13, set()),
    o.KeepsWhatWasRolledBack: (13, set()),
    o.TakesLimitsFromTheOtherEnd: (14, set()),
    lo.TakesALimitOfNoneForNoLimit: (14, set()),
    o.StopsAtAMegabyte: (15, set()),
    o.StopsAtAThousandEvents: (15, set()),
    o.DropsTheFirstOfLongStreams: (15, set()),
    o.EndsItsLogAtAMegabyte: (15, {3, 10, 46}),
    v.LosesUpdates: (16, {17}),
    v.HasTwoWinnersInTwoHundred: (16, {17}),
    m.LosesUpdatesOfBatches: (16, {17}),
    m.LosesUpdatesAtVersions: (16, {17}),
    v.TellsTheWrongActualVersion: (17, set()),
    v.KeepsTheActualVersionToItself: (17, set()),
    v.RefusesConflictsByAnyError: (17, set()),
    v.RefusesExistsByAnyError: (17, set()),
    m.RefusesLateOnesAtVersionsByAnyError: (17, set()),
    m.TellsLateOnesWhatTheyExpected: (17, set()),
    v.TakesNoStreamForAny: (18, {16, 17}),
    v.TakesExistsForAny: (19, {17}),
    v.TakesTheFutureForAny: (20, {17}),
    v.LocksOptimistically: (21, set()),
    v.OverwritesWhatCommitsBeside: (22, {7, 8, 9, 10, 21, 31}),
    v.FoldsStreamNames: (23, {39, 40}),
    v.CutsStreamNames: (23, set()),
    n.NormalizesNames: (23, set()),
    r.WritesRetriesAgain: (24, {25, 27, 28, 29, 30, 49}),
    r.ConflictsAtExactVersions: (24, set()),
    r.WritesTwinsTwice: (24, set()),
    r.RefusesTwins: (24, set()),
    r.ForgetsOldIds: (25, set()),
    r.ForgetsIdsBeyondAHundred: (25, set()),
    r.ForgetsIdsAtARestart: (26, set()),
    r.ForgetsIdsUnderAny: (27, {4, 28, 29, 30}),
    r.WritesTheRestOfAPartlyKnownBatch: (28, {4}),
    r.ExtendsAKnownBatch: (28, set()),
    r.ReplacesKnownEvents: (29, set()),
    r.ComparesDataAlone: (29, set()),
    r.TakesRetriesInAnyOrder: (29, set()),
    r.AcknowledgesIdsOfOtherStreams: (30, set()),
    r.TellsRetriesTheHead: (25, {27}),
    r.KnowsIdsOfItsOwnConnection: (25, {27, 49}),
    r.WritesTwiceWhenTheAnswerIsLost: (49, set()),
    s.HasAGapBetweenCatchUpAndLive: (31, {32, 33, 34, 35, 36, 37, 38, 39}),
    s.ResumesAtItsCheckpoint: (32, {31, 33, 37, 39}),
    s.SavesCheckpointsBeforeTheHandler: (33, {34}),
    s.MovesCheckpointsOn: (34, {33}),
    s.WakesLate: (35, set()),
    s.HoardsForSlowConsumers: (36, set()),
    s.DropsWhatSlowConsumersDontTake: (36, set()),
    s.GoesDeafAfterARestart: (37, set()),
    s.HoardsRows: (36, set()),
    s.SharesOneCursor: (38, {31}),
    s.TakesPrefixesForCategories: (39, set()),
    s.CategoriesMissThePast: (39, set()),
    s.TakesPrefixesInThePast: (39, set()),
    s.StopsSilentlyAfterAnError: (31, {32, 33, 34, 35, 36, 38, 39}),
    s.TellsSubscribersNoVersions: (31, {39}),
    s.TurnsRoundWhatCameMeanwhile: (31, {36, 39}),
    s.KeepsCheckpointsInItsConnection: (34, {33}),
    s.GapOfOneTurn: (31, {32, 35, 37, 38, 39}),
    s.NowIsTheBeginning: (32, set()),
    s.BlocksBehindTheSlowest: (38, set()),
    s.HoardsOnceItHasBegun: (36, {31, 32, 33, 34, 35, 37, 38, 39}),
    s.SharesOneCheckpoint: (34, set()),
    s.CutsCheckpointNames: (34, set()),
    s.FoldsCheckpointNames: (34, set()),
    g.CategoriesIgnoreTheCheckpoint: (39, set()),
    g.CategoriesResumeAtTheirCheckpoint: (39, set()),
    g.CategoriesBeginWithTheNewest: (39, set()),
    g.CategoriesTurnBatchesRound: (39, set()),
    g.CategoriesEndAtAPage: (39, set()),
    k.ExecutesStreamNames: (40, set()),
    n.ReadsByPattern: (40, set()),
    k.RenamesStreamsInItsLog: (40, set()),
    k.LosesTypes: (40, {29, 46}),
    k.CutsTypes: (40, set()),
    k.EndsAtNul: (41, set()),
    k.EndsMetadataAtNul: (41, set()),
    k.ReencodesJson: (42, {3, 15, 29, 46}),
    k.ReencodesJsonInItsLog: (42, {15, 46}),
    k.ReencodesJsonForSubscribers: (42, set()),
    k.KeepsLocalTime: (43, {3, 14}),
    lo.LocalTimeInItsLog: (43, {3}),
    k.DropsMetadata: (44, {29, 41, 46}),
    k.DropsMetadataInItsLog: (44, {41, 46}),
    k.RefusesLargeEventsByAnyError: (45, set()),
    k.FillsLargeEventsUp: (45, {15}),
    k.CutsBatches: (46, {15}),
    b.SharesDataInBatches: (46, {15}),
    b.SharesTypesInBatches: (46, set()),
    b.SharesMetadataInBatches: (46, set()),
    k.KeepsAnySnapshot: (47, set()),
    k.KeepsSnapshotsInItsConnection: (47, set()),
    k.SharesOneSnapshot: (47, set()),
    k.FindsEveryStream: (50, {6}),
    k.AcknowledgesBeforeItIsDurable: (48, {49}),
    k.LosesTheEndOfItsLogAtAKill: (48, set()),
    k.ForgetsItsLogAtARestart: (48, set()),
}


@pytest.mark.parametrize("store", FAULTS, ids=lambda store: store.__name__)
async def test_it_is_caught_by_the_check_named_for_it_and_by_nothing_unrelated(store):
    number, related = FAULTS[store]
    found = await found_in(store)
    told = {each: found[each].why for each in failing(found)}
    assert number in told
    assert set(told) <= {number, *related}, told
    assert found[number].evidence, "a failure leaves evidence"


@pytest.mark.parametrize("store", [MemoryStore, Served, Transactional])
async def test_a_healthy_store_passes_every_check_that_can_be_reached(store):
    found = await found_in(store)
    assert {number: found[number].why for number in failing(found)} == {}
    reached = {number for number, each in found.items() if each.verdict is Verdict.HOLDS}
    assert reached >= set(found) - OUT_OF_REACH
    if store is Served:
        assert reached >= {26, 37, 48, 49}
    if store is Transactional:
        assert reached >= {9, 11, 12, 13}


async def test_an_answer_is_lost_only_where_something_was_written():
    found = await found_in(r.DropsWhatIsStalled, numbers={49})
    assert found[49].verdict is Verdict.NOT_REACHED


async def test_an_append_without_an_answer_is_neither_won_nor_lost():
    races = {4, 7, 8, 10, 16, 17, 21, 22}
    found = await found_in(v.SometimesDoesNotAnswer, numbers=races)
    assert {number for number, each in found.items() if each.verdict is Verdict.HOLDS} == races


async def test_where_no_two_appends_meet_nothing_is_said_of_races():
    races = {7, 8, 9, 10, 16, 17, 21, 22, 24}
    found = await found_in(m.LetsNothingMeet, numbers=races)
    assert {number: each.verdict for number, each in found.items()} == dict.fromkeys(
        races, Verdict.NOT_REACHED
    )
    assert all("appends met only 0 times" in each.why for each in found.values())


IN_ONE_PROCESS = [
    (GuardsInItsProcess, 16),
    (a.GuardsVersionsInItsProcess, 16),
    (a.TakesTurnsInItsProcess, 21),
    (a.ReadsAsFarAsItsProcessWrote, 9),
    (a.ReadsAsFarAsItsProcessWrote, 10),
    (a.ReadsAsFarAsItsProcessWrote, 11),
    (a.ReadsAsFarAsItsProcessWrote, 12),
    (WakesByABellOfItsProcess, 35),
]
"""Sound as long as one process writes, and the check that must find it out from several."""


@pytest.mark.parametrize(("processes", "verdict"), [(0, Verdict.HOLDS), (3, Verdict.FAILS)])
@pytest.mark.parametrize(("store", "number"), IN_ONE_PROCESS)
async def test_what_is_sound_in_one_process_is_caught_from_several(
    store: type[SqliteStore], number: int, processes: int, verdict: Verdict, tmp_path: Path
):
    reach = Reach(store, Endpoint(address=str(tmp_path)), SqliteOptions())
    opened = await reach.opened()
    await opened.setup()
    profile = replace(QUICK, processes=processes)
    found = (await measure(Subject("kept", reach), [all_checks()[number]], profile))[number]
    await opened.aclose()
    assert found.verdict is verdict, found.why
    if verdict is Verdict.FAILS:
        assert any("process" in step.who for step in found.evidence)


def test_every_check_has_a_store_that_it_catches():
    assert {number for number, _ in FAULTS.values()} == set(all_checks())

"""Each test of the contract fails on a store that is broken in just what the test is about."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from types import ModuleType

import pytest

from harness.domain.errors import StoreError
from harness.domain.store import Endpoint
from harness.stores.memory.store import MemoryOptions, MemoryStore

from .broken import reading as r
from .broken import writing as w
from .contract import (
    support,
    test_appending,
    test_beside_the_log,
    test_concurrency,
    test_fidelity,
    test_idempotency,
    test_lifecycle,
    test_reading,
    test_subscribing,
)
from .subject import fresh, opened

IMPATIENT_S = 0.3

Broken = type[MemoryStore]
FAULTS: dict[ModuleType, dict[str, Broken | tuple[Broken, ...]]] = {
    test_appending: {
        "an_append_is_written_where_the_stream_is_as_expected": w.CountsFromOne,
        "a_stale_append_is_refused_and_writes_nothing": (
            w.KeepsTheActualVersionToItself,
            w.EmptiesTheCallersBatch,
        ),
        "a_negative_number_never_stands_for_a_state": w.TakesMinusOneForAny,
        "versions_count_from_zero_without_gaps_and_the_result_is_the_last_events_place": (
            w.CountsFromOne
        ),
        "as_many_events_as_declared_are_written_in_their_order_and_no_more": w.DropsTheLastOfABatch,
        "an_append_of_nothing_is_refused": w.AcknowledgesNothing,
        "a_refused_batch_leaves_nothing_behind": w.TearsBatches,
        "a_megabyte_comes_back_or_is_refused_by_its_own_error": w.CutsPayloads,
    },
    test_beside_the_log: {
        "a_checkpoint_is_what_was_saved_last": r.KeepsTheFirstCheckpoint,
        "a_checkpoint_is_there_for_the_next_connection": r.KeepsToItself,
        "a_newer_snapshot_replaces_an_older_one_and_never_the_other_way": r.KeepsAnySnapshot,
        "what_is_recorded_cannot_be_changed_where_that_is_enforced": r.CanBeTamperedWith,
    },
    test_concurrency: {
        "of_many_racers_with_one_expected_version_exactly_one_wins": w.ChecksThenWrites,
        "concurrent_appends_without_an_expectation_are_each_whole_and_there_once": (
            w.LocksOptimistically,
            w.TearsBatches,
        ),
        "appends_to_different_streams_do_not_conflict": w.LosesEveryTenth,
        "a_reader_behind_concurrent_writers_sees_everything_once": r.SkipsInSubscriptions,
    },
    test_fidelity: {
        "json_comes_back_as_declared": w.ReencodesJson,
        "bytes_that_are_not_json_come_back_or_are_refused": w.EndsAtNul,
        "an_event_without_metadata_comes_back_without": w.FillsInMetadata,
        "an_event_comes_back_with_its_id_and_type": w.CutsTypes,
        "every_stream_name_is_a_stream_of_its_own": w.FoldsStreamNames,
        "a_stream_name_that_cannot_be_kept_is_refused": w.CutsStreamNames,
        "timestamps_are_utc_whatever_the_local_time": r.KeepsLocalTime,
    },
    test_idempotency: {
        "an_exact_retry_returns_the_original_result": w.ForgetsIds,
        "a_retry_is_recognised_whatever_it_expects": w.ChecksVersionsFirst,
        "a_retry_is_recognised_after_later_appends": w.AnswersRetriesWithTheHead,
        "a_retry_through_another_connection_is_recognised": w.ForgetsIds,
        "the_same_append_sent_many_times_at_once_is_written_once": w.LooksBeforeItLeaps,
        "a_known_id_in_anything_but_an_exact_retry_is_refused": w.ComparesIdsAlone,
        "the_same_new_id_twice_in_one_append_is_refused": w.AcceptsTwins,
        "a_partial_overlap_within_the_window_is_refused": w.ForgetsItsWindow,
        "a_retry_is_refused_or_written_again_but_never_half": w.HalfRetries,
    },
    test_lifecycle: {
        "a_store_that_cannot_be_read_says_so": MemoryStore,
        "a_torn_down_namespace_is_empty_when_set_up_again": r.KeepsEverything,
        "two_namespaces_know_nothing_of_each_other": r.HasOneNamespace,
        "a_connection_may_be_opened_before_the_namespace_is_made": r.KeepsToItself,
        "a_second_connection_sees_what_the_first_has_written": r.KeepsToItself,
        "settings_are_read_back_where_there_is_something_to_ask": r.SaysNothingOfItsVersion,
    },
    test_reading: {
        "any_part_of_a_stream_can_be_read": r.IgnoresLimits,
        "a_missing_stream_differs_from_one_read_past_its_head": r.FindsEveryStream,
        "a_long_stream_is_read_whole": r.ReadsOnePage,
        "an_abandoned_read_leaves_the_store_usable": r.RunsOutOfReaders,
        "a_read_ends_although_the_reader_appends": r.ReadsAfterItself,
        "the_log_holds_everything_once_and_in_the_streams_order": r.DoublesTheLog,
        "the_log_and_the_stream_tell_the_same_of_an_event": r.LogsWithoutMetadata,
        "an_empty_store_has_an_empty_log": r.MissesAnEmptyLog,
        "reading_resumes_behind_any_position": r.ResumesInclusively,
        "the_log_can_be_read_in_pages": r.SkipsAPageBoundary,
    },
    test_subscribing: {
        "a_store_without_subscriptions_says_so": r.StopsAtTheHead,
        "a_subscriber_gets_past_events_and_then_new_ones": r.StopsAtTheHead,
        "a_subscription_resumes_behind_any_position": r.ResumesInclusively,
        "a_subscription_from_now_gets_new_events_only": r.IgnoresNow,
        "a_category_subscription_gets_all_and_only_its_own": r.TakesPrefixesForCategories,
        "a_category_subscription_resumes_behind_a_position": r.RestartsCategories,
        "two_subscribers_do_not_share_what_they_get": r.SharesOneCursor,
        "an_idle_subscriber_wakes_for_another_connections_append": r.DozesOff,
        "a_slow_subscriber_loses_nothing": r.SkipsInSubscriptions,
        "a_cancelled_subscriber_leaves_the_store_usable": r.RunsOutOfReaders,
    },
}
CAUGHT = (AssertionError, pytest.fail.Exception, StoreError, TimeoutError, StopAsyncIteration)
ARGUMENTS = {"backwards": False, "field": "data", "far_east": None}


def _tests(module: ModuleType) -> set[str]:
    return {name.removeprefix("test_") for name in vars(module) if name.startswith("test_")}


@pytest.mark.parametrize("module", FAULTS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_test_of_the_contract_has_a_store_that_fails_it(module: ModuleType):
    assert _tests(module) == set(FAULTS[module])


@pytest.mark.parametrize(
    ("contract", "broken"),
    [
        pytest.param(getattr(module, f"test_{name}"), broken, id=f"{broken.__name__}-{name}")
        for module, faults in FAULTS.items()
        for name, stores in faults.items()
        for broken in (stores if isinstance(stores, tuple) else (stores,))
    ],
)
async def test_a_broken_store_is_caught(
    contract: Callable,
    broken: type[MemoryStore],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
):
    monkeypatch.setattr(support, "WITHIN_S", IMPATIENT_S)
    names = inspect.signature(contract).parameters
    if "far_east" in names:
        request.getfixturevalue("far_east")
    arguments = {name: ARGUMENTS[name] for name in names if name in ARGUMENTS}
    async with opened(broken, MemoryOptions(), fresh(Endpoint())) as subject:
        with pytest.raises(CAUGHT):
            async with asyncio.timeout(5 * IMPATIENT_S):
                await contract(subject, **arguments)

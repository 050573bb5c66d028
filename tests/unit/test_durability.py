"""The weakest setting decides a store's durability class, whatever the others are."""

from __future__ import annotations

from itertools import combinations_with_replacement, permutations, product
from operator import le

import pytest

from harness.domain.durability import Durability, weakest
from harness.stores.dynamodb import declaration as dynamodb
from harness.stores.eventstoredb import declaration as eventstoredb
from harness.stores.kafka import options as kafka
from harness.stores.postgres import options as postgres
from harness.stores.sqlite import store as sqlite

MEMORY, BOUNDED, CRASH, POWER, UNKNOWN = (
    Durability.MEMORY, Durability.BOUNDED_LOSS, Durability.PROCESS_CRASH, Durability.POWER_LOSS,
    Durability.UNKNOWN,
)  # fmt: skip
LEFT = {MEMORY: (0, 0), BOUNDED: (1, 1), CRASH: (2, 0), POWER: (2, 2)}
"""After a crash of the server and after a power loss: nothing for sure, all but a little, all."""
SYNC = ("on", "local", "remote_write", "remote_apply", "off")
SWITCH = ("on", "off")


def test_no_class_promises_more_than_any_of_its_settings_nor_less_than_it_may():
    for classes in combinations_with_replacement(LEFT, 3):
        kept = [min(LEFT[each][crash] for each in classes) for crash in (0, 1)]
        allowed = [each for each in LEFT if all(map(le, LEFT[each], kept))]
        assert weakest(*classes) is max(allowed, key=lambda each: sum(LEFT[each])), classes


def test_neither_order_nor_repetition_matters():
    for classes in combinations_with_replacement(Durability, 3):
        found = {weakest(*order) for order in permutations((*classes, classes[0]))}
        assert found == {weakest(*set(classes))}, classes


def test_an_unknown_setting_may_be_the_weakest_but_no_weaker_than_nothing():
    assert (
        weakest(UNKNOWN, POWER) is weakest(UNKNOWN, CRASH) is weakest(UNKNOWN, BOUNDED) is UNKNOWN
    )
    assert weakest(UNKNOWN, MEMORY) is MEMORY
    assert weakest(UNKNOWN, BOUNDED, CRASH) is MEMORY
    assert weakest() is POWER


def test_postgresql_in_every_combination():
    for combination in product(SYNC, SWITCH, SWITCH, SWITCH, ("logged", "unlogged")):
        _check_postgresql(*combination)


def _check_postgresql(commit, fsync, pages, retry, table):
    settings = {
        "synchronous_commit": commit, "fsync": fsync, "full_page_writes": pages,
        "data_sync_retry": retry, "events_table": table, "wal_sync_method": "fdatasync",
        "system": "x86_64-pc-linux-gnu",
    }  # fmt: skip
    found = postgres.durability_of(settings)
    unsynced, late = "off" in (fsync, pages) or retry == "on", commit == "off"
    if table == "unlogged" or (unsynced and late):
        assert found is MEMORY
    elif late:
        assert found is BOUNDED
    else:
        assert found is (CRASH if unsynced else POWER)


@pytest.mark.parametrize(
    ("system", "method", "durability"),
    [
        ("x86_64-pc-linux-gnu", "open_datasync", POWER),
        ("aarch64-apple-darwin23.6.0", "open_datasync", CRASH),
        ("aarch64-apple-darwin23.6.0", "fsync", CRASH),
        ("aarch64-apple-darwin23.6.0", "fsync_writethrough", POWER),
        ("x86_64-w64-mingw32", "open_datasync", CRASH),
        ("PostgreSQL 16.2, compiled by Visual C++ build 1937, 64-bit", "open_datasync", CRASH),
        ("PostgreSQL 16.2, compiled by Visual C++ build 1937, 64-bit", "fdatasync", POWER),
    ],
)
def test_a_sync_that_stops_in_the_drives_cache_is_no_sync(system, method, durability):
    settings = {
        "synchronous_commit": "on", "fsync": "on", "full_page_writes": "on",
        "wal_sync_method": method, "system": system,
    }  # fmt: skip
    assert postgres.durability_of(settings) is durability
    assert postgres.durability_of(settings | {"synchronous_commit": "off"}) is (
        BOUNDED if durability is POWER else MEMORY
    )


@pytest.mark.parametrize("left_out", ["synchronous_commit", "fsync", "full_page_writes"])
def test_a_server_that_does_not_say_what_decides_is_unknown(left_out):
    told = {"synchronous_commit": "on", "fsync": "on", "full_page_writes": "on"}
    assert postgres.durability_of(told) is POWER
    assert postgres.durability_of({k: v for k, v in told.items() if k != left_out}) is UNKNOWN
    assert postgres.durability_of(told | {left_out: "perhaps"}) is UNKNOWN


def test_sqlite_in_every_combination():
    journals = ("wal", "truncate", "delete", "memory", "off")
    for combination in product(("off", "normal", "full", "extra"), journals):
        _check_sqlite(*combination)


def _check_sqlite(synchronous, journal):
    found = sqlite.durability_of({"synchronous": synchronous, "journal_mode": journal})
    if journal in ("memory", "off"):
        assert found is MEMORY
    elif journal == "delete":
        assert found is (POWER if synchronous == "extra" else CRASH)
    else:
        assert found is (POWER if synchronous in ("full", "extra") else CRASH)


@pytest.mark.parametrize(("full", "durability"), [("0", CRASH), ("1", POWER)])
def test_macos_needs_its_full_sync(full, durability, monkeypatch):
    settings = {"synchronous": "full", "journal_mode": "wal", "fullfsync": full}
    assert sqlite.durability_of(settings) is POWER
    monkeypatch.setattr("sys.platform", "darwin")
    assert sqlite.durability_of(settings) is durability


@pytest.mark.parametrize(
    ("messages", "ms", "durability", "in_transactions"),
    [
        ("1", "9223372036854775807", POWER, CRASH),
        ("1", "1000", POWER, CRASH),
        ("2", "1", CRASH, CRASH),
        ("9223372036854775807", "1", CRASH, CRASH),
        ("", "1", UNKNOWN, UNKNOWN),
    ],
)
def test_kafka(messages, ms, durability, in_transactions):
    settings = {"flush.messages": messages, "flush.ms": ms}
    assert kafka.durability_of(settings) is durability
    assert kafka.durability_of_transactions(settings) is in_transactions


def test_eventstoredb_in_every_combination():
    for combination in product(("true", "false", "unknown"), repeat=2):
        _check_eventstoredb(*combination)


def _check_eventstoredb(memory, unflushed):
    settings = {"mem_db": memory, "unsafe_disable_flush_to_disk": unflushed}
    found = eventstoredb.durability_of(settings)
    if memory == "true":
        assert found is MEMORY
    elif "unknown" in (memory, unflushed):
        assert found is UNKNOWN
    else:
        assert found is (CRASH if unflushed == "true" else POWER)


@pytest.mark.parametrize(
    ("storage", "durability"), [("memory", MEMORY), ("file", BOUNDED), ("unknown", UNKNOWN)]
)
def test_dynamodb(storage, durability):
    assert dynamodb.durability_of({"storage": storage}) is durability


def test_what_an_asynchronous_commit_may_lose_is_three_delays_of_the_logs_writer():
    assert postgres.loss_bound_s({"wal_writer_delay": "200"}) == 0.6
    assert postgres.loss_bound_s({}) is None

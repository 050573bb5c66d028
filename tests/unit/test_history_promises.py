"""What is a broken promise and what is only a finding."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.domain.durability import Durability
from harness.domain.store import Guarantees
from harness.verification import PROMISES, Kind, declared

ALL = Guarantees(
    occ="native",
    atomic_append=True,
    global_order="total",
    gap_free_read=True,
    idempotency="durable",
    stream_read="indexed",
    subscription="push",
    append_only="enforced",
    durability=Durability.POWER_LOSS,
    writers="many",
)
KEEPING = {
    Kind.LOST,
    Kind.DUPLICATED,
    Kind.NOT_CONTIGUOUS,
    Kind.STREAM_READ_DIFFERS,
    Kind.DELIVERED_UNWRITTEN,
}
ORDER = {Kind.INVERTED, Kind.DELIVERED_TWICE, Kind.DELIVERED_OUT_OF_ORDER}


def test_every_kind_has_its_row():
    assert {*PROMISES} == {*Kind}


def test_a_store_that_promises_everything_is_held_to_everything():
    assert {kind for kind in Kind if declared(kind, ALL)} == {*Kind}


@pytest.mark.parametrize(
    ("weaker", "excused"),
    [
        ({"append_only": "none"}, KEEPING),
        ({"append_only": "by-convention"}, set()),
        ({"atomic_append": False}, {Kind.TORN, Kind.BATCH_BROKEN}),
        ({"occ": "none"}, {Kind.MISPLACED, Kind.EXPECTED_VERSION_IGNORED}),
        ({"occ": "emulated"}, set()),
        ({"gap_free_read": False}, {Kind.SKIPPED}),
        ({"global_order": "per-partition"}, {Kind.POSITION_NOT_INCREASING}),
        ({"global_order": "none"}, {Kind.POSITION_NOT_INCREASING, *ORDER}),
        ({"idempotency": "window"}, {Kind.RETRY_DUPLICATED}),
        ({"idempotency": "none"}, {Kind.RETRY_DUPLICATED}),
        ({"payload": "json"}, set()),
    ],
)
def test_what_is_not_promised_is_excused_and_nothing_else(weaker: dict, excused: set[Kind]):
    guarantees = replace(ALL, **weaker)
    assert {kind for kind in Kind if not declared(kind, guarantees)} == excused


def test_a_kind_may_be_given_by_its_name_in_the_results():
    assert declared("lost", ALL)

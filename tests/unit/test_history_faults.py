"""Every way to break a history is found under its own name, and nothing else is claimed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.domain.identity import event_id
from harness.verification import Kind

from .history.fault import Fault
from .history.in_the_log import IN_THE_LOG
from .history.in_the_places import IN_THE_PLACES
from .history.in_what_was_seen import IN_DELIVERIES, IN_STREAM_READS
from .history.model import correct_history
from .history.told import BASE, NAMES, Told

seeds = st.builds(Random, st.integers(0, 1 << 32))
sizes = st.integers(1, 20)
searching = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


def each(faults: Sequence[Fault]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", faults, ids=str)


def assert_found(told: Told, fault: Fault, rng: Random) -> None:
    """It is found, at a place that it touched, and nothing is claimed but its companions."""
    places = fault.apply(told, rng)
    verification = told.verification()
    assert fault.kind in verification.counts
    assert verification.counts.keys() <= {fault.kind, *fault.companions}
    named = {
        (violation.stream, violation.version, violation.event_id)
        for violation in verification.violations
        if violation.kind is fault.kind
    }
    touched = {
        (NAMES[stream], version, event_id(BASE, event) if event >= 0 else None)
        for stream, version, event in places
    }
    assert named & touched


@given(rng=seeds, operations=st.integers(0, 20), subscribers=st.integers(0, 2))
@settings(max_examples=300, deadline=None)
def test_a_correct_history_has_no_violation(rng: Random, operations: int, subscribers: int):
    told = correct_history(rng, operations, subscribers=subscribers, reads=True)
    verification = told.verification()
    assert verification.violations == ()
    assert verification.counts == {}
    assert verification.unknown_written == told.unknown_written
    assert verification.refused_though_written == told.refused_though_written
    assert verification.unknown_lost == told.unknown_lost
    assert verification.events_read == len(told.log)
    assert verification.streams_read == len(NAMES)


@each((*IN_THE_LOG, *IN_THE_PLACES))
@given(rng=seeds, operations=sizes)
@searching
def test_a_broken_log_is_found_under_its_own_name(fault: Fault, rng: Random, operations: int):
    assert_found(correct_history(rng, operations), fault, rng)


@each(IN_STREAM_READS)
@given(rng=seeds, operations=sizes)
@searching
def test_a_stream_read_that_differs_is_found(fault: Fault, rng: Random, operations: int):
    assert_found(correct_history(rng, operations, reads=True), fault, rng)


@each(IN_DELIVERIES)
@given(rng=seeds, operations=sizes)
@searching
def test_a_fault_towards_subscribers_is_found(fault: Fault, rng: Random, operations: int):
    assert_found(correct_history(rng, operations, subscribers=2), fault, rng)


def test_every_kind_has_a_fault_that_provokes_it():
    faults = (*IN_THE_LOG, *IN_THE_PLACES, *IN_STREAM_READS, *IN_DELIVERIES)
    # Stale reads are judged by when they began: test_stale_reads.
    assert {fault.kind for fault in faults} == {*Kind} - {Kind.STALE_READ}

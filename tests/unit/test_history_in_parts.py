"""A history that is judged in parts has the violations that it has as a whole."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption

from harness.results.sorted_rows import Sizes
from harness.verification import Kind

from .history.fault import Fault
from .history.in_the_log import IN_THE_LOG
from .history.in_the_places import IN_THE_PLACES
from .history.in_what_was_seen import IN_DELIVERIES, IN_STREAM_READS
from .history.model import correct_history
from .history.told import Told

FAULTS = (*IN_THE_LOG, *IN_THE_PLACES, *IN_STREAM_READS, *IN_DELIVERIES)
ORDERS = ("total", "per-partition", "none")
seeds = st.builds(Random, st.integers(0, 1 << 32))
sizes = st.builds(
    Sizes,
    run=st.integers(1, 40),
    part=st.integers(1, 40),
    step=st.integers(1, 5),
)


def broken_history(rng: Random, operations: int) -> Told:
    """A history with some faults, one upon the other."""
    told = correct_history(rng, operations, subscribers=2, reads=True)
    for fault in rng.choices(FAULTS, k=rng.randint(0, 6)):
        with suppress(
            UnsatisfiedAssumption, ValueError, LookupError
        ):  # not after the faults before it
            fault.apply(told, rng)
    return told


@given(rng=seeds, operations=st.integers(0, 60), sizes=sizes, order=st.sampled_from(ORDERS))
@settings(max_examples=50, deadline=None)
def test_parts_give_what_the_whole_gives(rng: Random, operations: int, sizes: Sizes, order: str):
    told = broken_history(rng, operations)
    whole = told.verification(global_order=order)
    assert told.verification(global_order=order, sizes=sizes) == whole


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@given(rng=seeds)
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_each_fault_is_found_across_parts(fault: Fault, rng: Random):
    told = correct_history(rng, 25, subscribers=2, reads=True)
    fault.apply(told, rng)
    whole = told.verification()
    assert fault.kind in whole.counts
    assert told.verification(sizes=Sizes(run=7, part=3, step=1)) == whole


def test_the_faults_provoke_every_kind():
    assert {fault.kind for fault in FAULTS} == {*Kind} - {Kind.STALE_READ}

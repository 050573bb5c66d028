"""The search for the highest rate, on stores whose answer is known."""

from __future__ import annotations

import asyncio
import random

import pytest

from harness.run.rate_search import CONFIRMATIONS, PRECISION, PROBES_MAX, highest_rate


def search(holds, start_per_s=100.0, most_per_s=100_000.0):
    async def ask(rate_per_s):
        return holds(rate_per_s)

    return asyncio.run(highest_rate(ask, start_per_s, most_per_s))


@pytest.mark.parametrize("limit_per_s", [3.0, 90.0, 101.0, 777.0, 40_000.0])
def test_the_answer_and_the_lowest_rate_that_failed_enclose_the_limit(limit_per_s):
    found = search(lambda rate: rate <= limit_per_s)
    assert found.rate_per_s <= limit_per_s < found.failed_per_s
    assert found.failed_per_s / found.rate_per_s <= PRECISION
    assert len(found.tried) <= PROBES_MAX


def test_the_answer_has_held_again_as_often_as_was_asked():
    found = search(lambda rate: rate <= 500)
    assert [each.held for each in found.tried[-CONFIRMATIONS:]] == [True] * CONFIRMATIONS
    assert {each.rate_per_s for each in found.tried[-CONFIRMATIONS:]} == {found.rate_per_s}


def test_a_rate_that_held_by_luck_is_given_up():
    lucky = iter([True])
    found = search(lambda rate: rate <= 300 or (rate > 390 and next(lucky, False)))
    assert found.rate_per_s <= 300
    assert found.failed_per_s / found.rate_per_s <= PRECISION**2


def test_nothing_above_the_most_is_asked_for_and_no_failure_is_made_up():
    found = search(lambda _: True, most_per_s=350.0)
    assert found.rate_per_s == 350.0
    assert found.failed_per_s is None


def test_where_nothing_holds_there_is_no_answer():
    found = search(lambda _: False)
    assert found.rate_per_s is None
    assert found.tried[-1].rate_per_s == 1.0


def test_a_store_that_cannot_make_up_its_mind_does_not_keep_the_search_for_ever():
    flipping = random.Random(7)
    found = search(lambda _: flipping.random() < 0.5)
    assert len(found.tried) <= 2 * PROBES_MAX


def test_near_the_limit_where_luck_decides_the_answer_is_near_it_too():
    for seed in range(50):
        luck = random.Random(seed)
        found = search(lambda rate, luck=luck: rate * luck.lognormvariate(0, 0.05) <= 1000)
        assert 800 < found.rate_per_s < 1100

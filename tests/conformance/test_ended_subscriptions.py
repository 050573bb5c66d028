"""A subscription that ends is broken; one that ends with its server says nothing."""

from __future__ import annotations

import pytest

from harness.conformance import CheckVerdict

from .broken import following as f
from .catching import results_of


@pytest.mark.parametrize(
    "store", [f.EndsAfterAThousand, f.FailsAfterAThousand, f.FailsOnceAllIsDelivered]
)
async def test_a_subscription_that_ends_by_itself_is_broken(store):
    results = await results_of(store, numbers={38})
    assert results[38].why == "a subscription ended by itself"


async def test_nothing_is_said_of_a_subscription_that_ends_with_its_server():
    results = await results_of(f.LosesItsServer, numbers={38})
    assert results[38].verdict is CheckVerdict.NOT_REACHED

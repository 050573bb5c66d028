"""Positions handed out before they commit are noticed without a transaction to hold open."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.conformance import FAST, CheckVerdict, StoreUnderTest, measure, numbered
from harness.conformance.framework.check_workers import CheckWorkers
from harness.domain.factory import StoreFactory
from harness.domain.store import OpenTransactions
from harness.servers import Server
from harness.stores.postgres.options import PostgresOptions

from ..stores.subject import fresh
from .broken.black_boxes import BlackBox

HASTY = replace(FAST, within_s=3.0)


@pytest.fixture(scope="module")
def workers(runner: asyncio.Runner) -> Iterator[CheckWorkers]:
    workers = CheckWorkers(FAST.processes)
    yield workers
    runner.run(workers.aclose())


async def test_late_commits_are_caught_in_storms(postgres_server: Server, workers: CheckWorkers):
    factory = StoreFactory(BlackBox, fresh(postgres_server.endpoint), PostgresOptions())
    async with factory.set_up() as store:
        assert not isinstance(store, OpenTransactions)
        under_test = StoreUnderTest("black box", factory, postgres_server)
        results = await measure(under_test, numbered("9,12,31"), HASTY, workers=workers)
    failing = {n: each for n, each in results.items() if each.verdict is CheckVerdict.FAILS}
    assert failing.keys() & {9, 12, 31}, results
    assert all(each.evidence for each in failing.values())

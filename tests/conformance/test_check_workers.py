"""The worker processes of checks: they meet, and one that fails does not block the others."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from harness.conformance.framework.check_result import NotReached
from harness.conformance.framework.check_workers import CheckWorkers
from harness.domain.errors import StoreUnavailable
from harness.domain.factory import StoreFactory
from harness.domain.store import Endpoint
from harness.stores.sqlite import SqliteOptions, SqliteStore


async def meeting(store, rendezvous, number):
    await asyncio.sleep(0.1 * number)
    await rendezvous()
    return os.getpid(), time.monotonic()


async def failing(store, rendezvous, number):
    if number == 1:
        raise StoreUnavailable("nobody answers")
    await rendezvous()


async def dying(store, rendezvous, number):
    if number == 1:
        os._exit(3)
    await rendezvous()


async def test_a_dead_process_is_not_the_stores_failure(
    tmp_path: Path,
):
    factory = StoreFactory(SqliteStore, Endpoint(address=str(tmp_path)), SqliteOptions())
    workers = CheckWorkers(2)
    try:
        with pytest.raises(NotReached, match="died"):
            await workers.run(dying, factory)
        assert len(await workers.run(meeting, factory)) == 2
    finally:
        await workers.aclose()


async def test_each_process_continues_when_all_have_met(tmp_path: Path):
    factory = StoreFactory(SqliteStore, Endpoint(address=str(tmp_path)), SqliteOptions())
    workers = CheckWorkers(2)
    try:
        (one, at), (other, too) = await workers.run(meeting, factory)
        assert one != other
        assert abs(at - too) < 0.09
        with pytest.raises(StoreUnavailable):
            await workers.run(failing, factory)
        assert len(await workers.run(meeting, factory)) == 2
    finally:
        await workers.aclose()


async def test_the_first_rendezvous_is_reported(tmp_path: Path):
    factory = StoreFactory(SqliteStore, Endpoint(address=str(tmp_path)), SqliteOptions())
    workers = CheckWorkers(2)
    try:
        for _ in range(2):  # the second time, too, though they have met before
            run = asyncio.create_task(workers.run(meeting, factory))
            await workers.first_rendezvous(run)
            reported = time.monotonic()
            met = [at for _, at in await run]
            assert reported > min(met) - 0.05
            assert reported < max(met) + 1.0
        await workers.first_rendezvous(run)  # returns at once when the run has ended
    finally:
        await workers.aclose()


async def test_a_store_that_does_not_pickle_is_not_reached_and_says_why(tmp_path: Path):
    class OfThisFunction(SqliteStore):
        pass

    workers = CheckWorkers(2)
    try:
        with pytest.raises(NotReached, match="have to be classes of a module"):
            await workers.run(
                meeting,
                StoreFactory(OfThisFunction, Endpoint(address=str(tmp_path)), SqliteOptions()),
            )
    finally:
        await workers.aclose()

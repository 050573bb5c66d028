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
    came = time.monotonic()
    await rendezvous()
    return os.getpid(), came, time.monotonic()


async def meeting_until(store, rendezvous, number, sign):
    await rendezvous()
    while not sign.exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.01)


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
        (one, *times), (other, *others) = await workers.run(meeting, factory)
        assert one != other
        assert max(times[0], others[0]) <= min(times[1], others[1])
        with pytest.raises(StoreUnavailable):
            await workers.run(failing, factory)
        assert len(await workers.run(meeting, factory)) == 2
    finally:
        await workers.aclose()


async def test_the_first_rendezvous_is_reported(tmp_path: Path):
    factory = StoreFactory(SqliteStore, Endpoint(address=str(tmp_path)), SqliteOptions())
    workers = CheckWorkers(2)
    try:
        for number in range(2):  # the second time, too, though they have met before
            run = asyncio.create_task(workers.run(meeting, factory))
            await workers.first_rendezvous(run)
            reported = time.monotonic()
            assert reported >= max(came for _, came, _ in await run)
            sign = tmp_path / f"sign {number}"
            run = asyncio.create_task(workers.run(meeting_until, factory, sign))
            await workers.first_rendezvous(run)
            assert not run.done(), "they go on only when they are given a sign"
            sign.touch()
            await run
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

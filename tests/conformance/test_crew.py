"""The processes that checks race from: they meet, and one that fails holds nobody up."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from harness.conformance.bench import Reach
from harness.conformance.check import NotReached
from harness.conformance.crew import Crew
from harness.errors import StoreUnavailable
from harness.store import Endpoint
from harness.stores.sqlite import SqliteOptions, SqliteStore


async def meeting(store, meet, number):
    await asyncio.sleep(0.1 * number)
    await meet()
    return os.getpid(), time.monotonic()


async def failing(store, meet, number):
    if number == 1:
        raise StoreUnavailable("nobody answers")
    await meet()


async def dying(store, meet, number):
    if number == 1:
        os._exit(3)
    await meet()


async def test_what_goes_wrong_between_processes_is_not_the_stores_failure(
    tmp_path: Path,
):
    reach = Reach(SqliteStore, Endpoint(address=str(tmp_path)), SqliteOptions())
    crew = Crew(2)
    try:
        with pytest.raises(NotReached, match="died"):
            await crew.work(dying, reach)
        assert len(await crew.work(meeting, reach)) == 2
    finally:
        await crew.aclose()


async def test_each_process_goes_on_when_all_are_there(tmp_path: Path):
    reach = Reach(SqliteStore, Endpoint(address=str(tmp_path)), SqliteOptions())
    crew = Crew(2)
    try:
        (one, at), (other, too) = await crew.work(meeting, reach)
        assert one != other
        assert abs(at - too) < 0.09
        with pytest.raises(StoreUnavailable):
            await crew.work(failing, reach)
        assert len(await crew.work(meeting, reach)) == 2
    finally:
        await crew.aclose()


async def test_whoever_asks_is_told_when_the_processes_have_met(tmp_path: Path):
    reach = Reach(SqliteStore, Endpoint(address=str(tmp_path)), SqliteOptions())
    crew = Crew(2)
    try:
        for _ in range(2):  # the second time, too, though they have met before
            work = asyncio.create_task(crew.work(meeting, reach))
            await crew.met(work)
            told = time.monotonic()
            met = [at for _, at in await work]
            assert told > min(met) - 0.05
            assert told < max(met) + 1.0
        await crew.met(work)  # and not held up by one that is over
    finally:
        await crew.aclose()


async def test_a_store_that_no_other_process_can_be_given_is_told_in_words(tmp_path: Path):
    class OfThisFunction(SqliteStore):
        pass

    crew = Crew(2)
    try:
        with pytest.raises(NotReached, match="have to be classes of a module"):
            await crew.work(
                meeting,
                Reach(OfThisFunction, Endpoint(address=str(tmp_path)), SqliteOptions()),
            )
    finally:
        await crew.aclose()

"""One timer for all calls ends each of them as `asyncio.timeout` would."""

from __future__ import annotations

import asyncio

import pytest

from harness.stores._shared.time_limit import TimeLimit

LIMIT_S = 0.05


async def _within(limit: TimeLimit, seconds: float) -> str:
    task = limit.begin()
    try:
        await asyncio.sleep(seconds)
    except BaseException as error:
        raise limit.failed(task, error) from None
    limit.end(task)
    return "answered"


def test_each_late_call_ends_alone_and_leaves_its_task_as_it_was():
    async def main() -> None:
        limit = TimeLimit(LIMIT_S)
        for _ in range(2):
            late, quick = _within(limit, 60), _within(limit, 0)
            ended = await asyncio.gather(late, quick, return_exceptions=True)
            assert [type(each) for each in ended] == [TimeoutError, str]
        with pytest.raises(TimeoutError):
            await _within(limit, 60)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        assert await _within(limit, 0) == "answered"

    asyncio.run(main())


def test_a_call_that_begins_while_another_is_under_way_has_its_own_time():
    async def main() -> None:
        limit, loop = TimeLimit(LIMIT_S), asyncio.get_running_loop()
        first = asyncio.create_task(_within(limit, 60))
        await asyncio.sleep(LIMIT_S / 2)
        began_s = loop.time()
        with pytest.raises(TimeoutError):
            await _within(limit, 60)
        assert loop.time() - began_s >= LIMIT_S * 0.99
        assert first.done()
        await asyncio.gather(first, return_exceptions=True)

    asyncio.run(main())


def test_a_task_that_somebody_cancels_stays_cancelled_and_errors_stay_what_they_are():
    async def main() -> None:
        limit = TimeLimit(60)
        task = asyncio.create_task(_within(limit, 60))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        mine = limit.begin()
        error = OSError()
        assert limit.failed(mine, error) is error
        limit.close()

    asyncio.run(main())


def test_a_call_under_way_keeps_its_limit_when_the_store_is_closed():
    async def main() -> None:
        limit = TimeLimit(LIMIT_S)
        call = asyncio.create_task(_within(limit, 60))
        await asyncio.sleep(0)
        limit.close()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await call
        assert not call.cancelled()

    asyncio.run(main())


def test_a_late_call_that_ends_with_an_error_of_its_own_keeps_it():
    async def refused(limit: TimeLimit) -> None:
        task = limit.begin()
        try:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise ConnectionResetError from None
        except BaseException as error:
            raise limit.failed(task, error) from None

    async def main() -> None:
        with pytest.raises(ConnectionResetError):
            await refused(TimeLimit(LIMIT_S))

    asyncio.run(main())

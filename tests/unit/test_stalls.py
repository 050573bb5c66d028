"""Whether the lab's own loop stood still."""

import asyncio

from harness.load.stalls import STALL_MIN_NS, TICK_NS, LoopWatch


class Clock:
    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


async def test_a_stall_is_counted_also_when_it_lasts_until_the_end():
    clock = Clock()
    async with LoopWatch(clock) as watch:
        clock.now_ns += TICK_NS + 5_000_000_000
    assert watch.stalled_ns == 5_000_000_000


async def test_a_tick_that_is_a_little_late_is_no_stall():
    clock = Clock()
    async with LoopWatch(clock) as watch:
        clock.now_ns += TICK_NS + STALL_MIN_NS - 1
    assert watch.stalled_ns == 0


async def test_the_tick_runs_beside_what_is_watched():
    clock = Clock()
    async with LoopWatch(clock) as watch:
        await asyncio.sleep(0)
        for _ in range(2):
            clock.now_ns += TICK_NS + STALL_MIN_NS
            await asyncio.sleep(1.5 * TICK_NS / 1e9)
    assert watch.stalled_ns == 2 * STALL_MIN_NS

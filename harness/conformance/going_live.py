"""Subscribers that pass from the past into the present, each at a moment of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress

from harness.conformance.bench import Bench
from harness.conformance.following import following
from harness.conformance.subscriber import Sent, append_all, as_in_streams, once_each, until_all
from harness.store import Adapter, Position

PAST = 60
SUBSCRIBERS = 3
MEANWHILE, LIVE = 4, 8
"""Fewer appends than so many while one is held up in the past, and behind its change."""
TURNS = 8
PAUSE_S = 0.004
PAUSES = 0.3
"""The writer pauses for so many turns of the loop at most, and so often for so long as well."""
SOON_S = 0.05
"""Behind the last expected event, in each round: for one too many to show up."""
LOOK_S = 0.2


class Writing:
    """A writer who appends in no rhythm, so that a change may fall before, on or behind any."""

    def __init__(self, bench: Bench, streams: Sequence[str], store: Adapter) -> None:
        self.sent: list[Sent] = []
        self.appends = 0
        """Acknowledged so far."""
        self._bench, self._streams, self._store = bench, streams, store
        self._one_more, self._ended = asyncio.Event(), False
        self._task = asyncio.create_task(self._run())

    async def more(self, count: int) -> bool:
        """Wait until so many more are acknowledged; whether they were in time."""
        wanted, until = self.appends + count, time.monotonic() + self._bench.profile.within_s
        while self.appends < wanted and time.monotonic() < until and not self._task.done():
            self._one_more.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._one_more.wait(), LOOK_S)
        return self.appends >= wanted

    async def end(self) -> list[Sent]:
        """What was sent, when nothing is under way any more. Raises what ended the writer."""
        self._ended = True
        await self._task
        return self.sent

    async def _run(self) -> None:
        rng = self._bench.rng
        while not self._ended:
            stream, count = rng.choice(self._streams), rng.randrange(1, 4)
            self.sent += await append_all(self._bench, [stream], count, through=self._store)
            self.appends += 1
            self._one_more.set()
            if rng.random() < PAUSES:
                await asyncio.sleep(rng.uniform(0, PAUSE_S))
            for _ in range(rng.randrange(TURNS)):
                await asyncio.sleep(0)


async def go_live(bench: Bench, after: Position | None) -> tuple[Position, int]:
    """Some subscribers who begin there go live one by one, while a writer appends.

    Each is held up somewhere in the past until something was appended, and the writer goes on
    when it has come to the end of the past. Returns a place behind everything, and how many
    changes had acknowledged appends on both sides. Raises `Broken`.
    """
    streams = [bench.stream() for _ in range(3)]
    past = await append_all(bench, streams, PAST)
    async with AsyncExitStack() as stack:
        writing = Writing(bench, streams, (await bench.writers(2))[1])
        stack.push_async_callback(writing.end)
        followers, between = [], 0
        for number in range(SUBSCRIBERS):
            place = bench.rng.randrange(1, PAST + 1)
            held = following(
                bench, streams, after=after, holds_at=place, who=f"subscriber {number}"
            )
            follower = await stack.enter_async_context(held)
            await follower.until(place)
            before = await writing.more(bench.rng.randrange(1, MEANWHILE))
            follower.go_on()
            await follower.until(PAST)
            between += before and await writing.more(bench.rng.randrange(1, LIVE))
            followers.append(follower)
        sent = past + await writing.end()
        for follower in followers:
            await until_all(follower, sent)
        await asyncio.sleep(SOON_S)
    for follower in followers:
        once_each(follower, sent)
        await as_in_streams(bench, follower, streams)
    return followers[0].events[-1].position, between

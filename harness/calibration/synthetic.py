"""A store that answers each append at the moment at which a known queue would let it go."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from typing import Any

from harness.generator.pacing import Pacer
from harness.store import AppendResult, ExpectedVersion, NewEvent


class SyntheticStore:
    """Answers its n-th append at the n-th of the given moments, or at once if that has passed.

    The moments come from intended arrivals, not from when calls really came in: so a call that
    is late by less than its response time changes nothing, and lateness never adds up.
    """

    def __init__(self, due_ns: Sequence[int], pacer: Pacer, clock: Callable[[], int]) -> None:
        self._due_ns = due_ns
        self._pacer = pacer
        self._clock = clock
        self._calls = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._more = asyncio.Event()
        self._answering = asyncio.create_task(self._answer())

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Wait for this call's moment."""
        number, self._calls = self._calls, self._calls + 1
        due_ns = self._due_ns[number]
        if due_ns > self._clock():
            answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            first = not self._waiting or due_ns < self._waiting[0][0]
            heapq.heappush(self._waiting, (due_ns, number, answer))
            if first:
                self._more.set()
            await answer
        return AppendResult(number, None)

    async def aclose(self) -> None:
        """Stop answering."""
        self._answering.cancel()
        await asyncio.gather(self._answering, return_exceptions=True)
        self._pacer.close()

    async def _answer(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._waiting:
                await self._until_due()

    async def _until_due(self) -> None:
        """Wait for the earliest moment, or until an earlier one comes in."""
        waking = asyncio.create_task(self._pacer.until(self._waiting[0][0]))
        sooner = asyncio.create_task(self._more.wait())
        await asyncio.wait((waking, sooner), return_when=asyncio.FIRST_COMPLETED)
        for task in (waking, sooner):
            task.cancel()
        self._more.clear()
        now_ns = self._clock()
        while self._waiting and self._waiting[0][0] <= now_ns:
            _, _, answer = heapq.heappop(self._waiting)
            if not answer.done():
                answer.set_result(None)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the synthetic store only appends; it has no {name!r}")

"""A store that answers each append at the moment at which a known queue would let it go."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Sequence

from harness.errors import UnsupportedByStore
from harness.generator.pacing import Pacer
from harness.store import AppendResult, ExpectedVersion, NewEvent, Position, RecordedEvent


class SyntheticStore:
    """Answers its n-th append at the n-th of the given moments, or at once if that has passed.

    The moments come from intended arrivals, not from when calls really came in: so a call that
    is late by less than its response time changes nothing, and lateness never adds up.
    """

    def __init__(self, pacer: Pacer, clock: Callable[[], int]) -> None:
        self._due_ns: Sequence[int] = ()
        self._pacer = pacer
        self._clock = clock
        self._calls = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._more = asyncio.Event()
        self._answering = asyncio.create_task(self._answer())

    def answer_at(self, due_ns: Sequence[int]) -> None:
        """The moments, on the clock, for the calls to come."""
        self._due_ns = due_ns

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Wait for this call's moment."""
        del stream, events, expected
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

    def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """Raises `UnsupportedByStore`."""
        del stream, start, limit, backwards
        raise UnsupportedByStore("the synthetic store keeps nothing to read")

    def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Raises `UnsupportedByStore`."""
        del after, limit
        raise UnsupportedByStore("the synthetic store keeps nothing to read")

    def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Raises `UnsupportedByStore`."""
        del after, category
        raise UnsupportedByStore("the synthetic store keeps nothing to follow")

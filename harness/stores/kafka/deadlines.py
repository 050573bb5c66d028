"""The adapter's own deadline of appends: the drivers' calls go on, whoever stops waiting."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from harness.errors import NotSent, OutcomeUnknown, StoreError, StoreUnavailable
from harness.stores.kafka.reach import Reach

_LOOKS = 4
_LOOK_MAX_S = 0.1
_SILENCE_S = 0.3
"""Without an answer for so long, it is asked whether anybody listens at all."""


async def all_answered(answers: Sequence[asyncio.Future[Any]]) -> list[BaseException]:
    """Wait for the messages of one append; what went wrong, if anything.

    Where only some of them are written, that is an `OutcomeUnknown`, too.
    """
    found = await asyncio.gather(*answers, return_exceptions=True)
    errors = [one for one in found if isinstance(one, BaseException)]
    if errors and len(errors) < len(found):
        return [OutcomeUnknown(f"Kafka: a part of the append was written: {errors[0]}")]
    return sorted(errors, key=lambda error: not isinstance(error, OutcomeUnknown))


class Turn:
    """Whether an append that waits for its turn was sent by now."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = False


class Deadlines:
    """Ends the waiting of callers, one task for all of them.

    At 100,000 appends a second a timer for each would be a fifth of their cost.
    """

    def __init__(self, reach: Reach, deadline_s: float) -> None:
        self._reach, self._deadline_s = reach, deadline_s
        self._look_s = min(_LOOK_MAX_S, deadline_s / _LOOKS)
        self._waiting: deque[tuple[float, asyncio.Future[Any], Turn | None]] = deque()
        self._watch: asyncio.Task[None] | None = None
        self._now = asyncio.get_running_loop().time
        self.down = False
        """Nobody answered when last asked."""

    def add(self, answer: asyncio.Future[Any], turn: Turn | None = None) -> None:
        """End this future with an error when its time is up, unless it is done by then."""
        self._waiting.append((self._now(), answer, turn))
        if self._watch is None:
            self._watch = asyncio.create_task(self._look())

    async def require(self) -> None:
        """After nobody answered: ask again. Raises `StoreUnavailable`."""
        await self._reach.require()
        self.down = False

    def close(self) -> None:
        """Whoever still waits is told."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._expire(float("inf"), "the store was closed")

    async def _look(self) -> None:
        while self._oldest_s() is not None:
            await asyncio.sleep(self._look_s)
            self._expire(self._now() - self._deadline_s, "no answer before the deadline")
            age_s = self._oldest_s()
            if age_s is not None and age_s > _SILENCE_S and not await self._reach.answers():
                self.down = True
                self._expire(float("inf"), "the broker has gone")
        self._watch = None

    def _oldest_s(self) -> float | None:
        waiting = self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()
        return self._now() - waiting[0][0] if waiting else None

    def _expire(self, before: float, why: str) -> None:
        while self._waiting and self._waiting[0][0] < before:
            _, answer, turn = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(self._error(why, turn))

    def _error(self, why: str, turn: Turn | None) -> StoreError:
        if turn is None or turn.sent:
            return OutcomeUnknown(f"Kafka: {why}")
        return StoreUnavailable(why) if self.down else NotSent(why)

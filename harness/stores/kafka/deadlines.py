"""The deadline of appends: one task ends the waiting of all callers, and sees a broker gone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from harness.domain.errors import OutcomeUnknown, StoreUnavailable
from harness.stores.kafka.errors import overdue

_KNOCK_LIMIT_S = 2.0


class BrokerProbe:
    """Asks the hosts of a bootstrap list whether they take connections."""

    def __init__(self, address: str) -> None:
        places = (place.rpartition(":") for place in address.split(","))
        self._hosts = [(host.strip("[]"), int(port)) for host, _, port in places]

    async def answers(self) -> bool:
        """Whether one of them takes connections."""
        for host, port in self._hosts:
            try:
                async with asyncio.timeout(_KNOCK_LIMIT_S):
                    _, writer = await asyncio.open_connection(host, port)
            except (OSError, TimeoutError):
                continue
            writer.close()
            return True
        return False

    async def require(self) -> None:
        """Raises `StoreUnavailable` if nobody does, asked again where a busy machine was late."""
        if not await self.answers() and not await self.answers():
            raise StoreUnavailable("no Kafka broker answers")


_LOOKS = 4
_LOOK_MAX_S = 0.1
_SILENCE_S = 0.3
"""After this long without an answer, ask whether a broker is there at all."""


async def all_answered(answers: Sequence[asyncio.Future[Any]]) -> list[BaseException]:
    """Wait for the messages of one append; what went wrong, if anything.

    Where only some of them are written, that is an `OutcomeUnknown`, too.
    """
    found = await asyncio.gather(*answers, return_exceptions=True)
    errors = [one for one in found if isinstance(one, BaseException)]
    if errors and len(errors) < len(found):
        return [OutcomeUnknown(f"Kafka: a part of the append was written: {errors[0]}")]
    return sorted(errors, key=lambda error: not isinstance(error, OutcomeUnknown))


class SendState:
    """Whether an append that waits for its turn was sent by now."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = False


class Deadlines:
    """Ends the waiting of callers, one task for all of them.

    At 100,000 appends a second a timer for each would be a fifth of their cost.
    """

    def __init__(self, probe: BrokerProbe, deadline_s: float) -> None:
        self._probe, self._deadline_s = probe, deadline_s
        self._look_s = min(_LOOK_MAX_S, deadline_s / _LOOKS)
        self._waiting: deque[tuple[float, asyncio.Future[Any], SendState | None]] = deque()
        self._watch: asyncio.Task[None] | None = None
        self._now = asyncio.get_running_loop().time
        self.down = False
        """Nobody answered when last asked."""

    def add(self, answer: asyncio.Future[Any], state: SendState | None = None) -> None:
        """End this future with an error when its time is up, unless it is done by then."""
        self._waiting.append((self._now(), answer, state))
        if self._watch is None:
            self._watch = asyncio.create_task(self._look())

    async def require(self) -> None:
        """After nobody answered: ask again. Raises `StoreUnavailable`."""
        await self._probe.require()
        self.down = False

    def close(self) -> None:
        """End the waiting of everybody."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._expire(float("inf"), "the store was closed")

    async def _look(self) -> None:
        while self._oldest_s() is not None:
            await asyncio.sleep(self._look_s)
            self._expire(self._now() - self._deadline_s, "no answer before the deadline")
            age_s = self._oldest_s()
            if age_s is not None and age_s > _SILENCE_S and not await self._probe.answers():
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
            _, answer, state = self._waiting.popleft()
            if not answer.done():
                sent = state is None or state.sent
                answer.set_exception(overdue(why, sent=sent, down=self.down))

"""Group commit: appends that wait at the same time share one write of the store.

One task writes group after group. Each waiting caller gets its own answer: from the group's write,
from the error that ended it, or from the closing of the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from harness.domain.cancellation import raise_if_cancelled
from harness.domain.errors import OutcomeUnknown, StoreError, StoreUnavailable

Answer = TypeVar("Answer")


class WaitingAppend(Generic[Answer]):
    """An append whose caller awaits `answer`. Made on the running event loop."""

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def resolve(self, answer: Answer) -> None:
        """Answer the caller, unless it was cancelled or its deadline passed."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def refuse(self, error: StoreError) -> None:
        """Fail the caller, unless it was cancelled or its deadline passed."""
        if not self.answer.done():
            self.answer.set_exception(error)


Member = TypeVar("Member", bound=WaitingAppend[Any])


class GroupCommit(Generic[Member]):
    """Passes waiting appends to `write`, one group at a time, in order of arrival.

    `take` returns how many waiting appends form the next group, at least one. `write` resolves each
    member; a `StoreError` from it fails all members without an answer. If the task is cancelled
    during a write, the outcome of its members is unknown, and the rest was never sent.
    """

    __slots__ = ("_queue", "_take", "_task", "_write")

    def __init__(
        self,
        write: Callable[[Sequence[Member]], Awaitable[None]],
        take: Callable[[Sequence[Member]], int],
    ) -> None:
        self._write, self._take = write, take
        self._queue: list[Member] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, member: Member) -> None:
        """Join the next group."""
        self._queue.append(member)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def drain(self, within_s: float) -> None:
        """Wait up to `within_s` until no append is waiting."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=within_s)

    async def aclose(self) -> None:
        """End the task."""
        task = self._task
        try:
            if task is not None:
                task.cancel()
                await asyncio.wait([task])  # unlike the task's own, its caller's end is heard
                if not task.cancelled():
                    task.result()
        finally:
            self._end()  # a task that was cancelled before its first step has not called it

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)  # callers of this turn of the loop join the group
            while self._queue:
                taken = self._take(self._queue)
                group = self._queue[:taken]
                del self._queue[:taken]
                await self._commit(group)
        finally:
            self._end()

    def _end(self) -> None:
        self._task = None
        left, self._queue = self._queue, []
        _refuse(left, StoreUnavailable("closed before the append was sent"))

    async def _commit(self, group: Sequence[Member]) -> None:
        try:
            await self._write(group)
        except StoreError as error:
            _refuse(group, error)
            raise_if_cancelled()
        except BaseException:
            _refuse(group, OutcomeUnknown("the store was closed during the append"))
            raise


def _refuse(members: Sequence[Member], error: StoreError) -> None:
    for member in members:
        member.refuse(error)

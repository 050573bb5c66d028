"""One limit for many calls: what `asyncio.timeout` does, with one timer for all of them."""

from __future__ import annotations

import asyncio
from asyncio import current_task
from typing import Any

Task = asyncio.Task[Any]


class TimeLimit:
    """Calls that may take `limit_s` each, and are cancelled when they take longer.

    A timer a call is a tenth of what an append costs its client. All calls have the same limit, so
    that the one that began first is due first, and one timer serves all:

        task = limit.begin()
        try:
            answer = await call()
        except BaseException as error:
            raise limit.failed(task, error)
        limit.end(task)

    A task may have one call under way.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._began: dict[Task, float] = {}
        """When the calls under way began, in the order of that."""
        self._late: dict[Task, int] = {}
        """Calls that were cancelled, and how often their tasks had been cancelled before."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Task:
        """The task that runs; its call begins."""
        task = current_task(self._loop)
        assert task is not None
        self._began[task] = self._now()
        if self._timer is None:
            self._timer = self._loop.call_later(self._limit_s, self._cancel_the_late)
        return task

    def end(self, task: Task) -> None:
        """The call has its answer."""
        if self._began.pop(task, None) is None:
            del self._late[task]
            task.uncancel()

    def failed(self, task: Task, error: BaseException) -> BaseException:
        """The call ended with this error. What to raise: `TimeoutError` where it was late.

        As with `asyncio.timeout`, a task that somebody else has cancelled as well stays so.
        """
        if self._began.pop(task, None) is not None:
            return error
        ours = task.uncancel() <= self._late.pop(task)
        return TimeoutError() if ours and isinstance(error, asyncio.CancelledError) else error

    def close(self) -> None:
        """Forget the timer, unless it limits a call that is under way."""
        if self._timer is not None and not self._began:
            self._timer.cancel()
            self._timer = None

    def _cancel_the_late(self) -> None:
        self._timer = None
        for task, began_s in [*self._began.items()]:
            left_s = began_s + self._limit_s - self._now()
            if left_s > 0:
                self._timer = self._loop.call_later(left_s, self._cancel_the_late)
                return
            del self._began[task]
            self._late[task] = task.cancelling()
            task.cancel()

"""A coroutine that signals end, and a cancellation that wins over what its clean-up raises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from harness.domain import interruption
from harness.domain.interruption import Interrupted

T = TypeVar("T")


def awaited(
    coroutine: Coroutine[Any, Any, T],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """What it returns. Raises `Interrupted` if a signal ended it, whatever its clean-up raised."""
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            running = _Running(runner.get_loop())
            with interruption.ending(running):
                result = runner.run(running.as_main(coroutine))
    except BaseException as error:
        if interruption.exit_code() is not None and not isinstance(error, Interrupted):
            raise Interrupted from error
        raise
    if interruption.exit_code() is not None:
        raise Interrupted
    return result


def cancelled() -> bool:
    """Whether the running task was asked to end, even if another error has replaced that since."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks; the first error of one of them is raised by itself.

    Python 3.11 cancels the task that waits at the end of a `TaskGroup` for good if one of the group
    fails: that cancellation is taken back here, so that `cancelled` means what others asked for.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as errors:
        if task.cancelling() > before and interruption.exit_code() is None:
            task.uncancel()
        raise errors.exceptions[0] from None


def raise_if_cancelled() -> None:
    """Raises `CancelledError` in a task that was asked to end.

    To be called where an error becomes data: it may be the clean-up's, of a server that is gone.
    """
    if cancelled():
        raise asyncio.CancelledError


class _Running:
    """A loop and its main task."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._main: asyncio.Task[Any] | None = None

    async def as_main(self, coroutine: Coroutine[Any, Any, T]) -> T:
        self._main = asyncio.current_task()
        if interruption.exit_code() is not None:  # between the start of the loop and here
            coroutine.close()
            raise asyncio.CancelledError
        return await coroutine

    def cancel(self) -> None:
        if self._main is not None:
            self._main.cancel()
        self._loop.call_soon_threadsafe(lambda: None)  # it may be asleep

    def cancel_everything(self) -> None:
        with suppress(RuntimeError):  # it has just been closed
            self._loop.call_soon_threadsafe(self._cancel_everything)

    def _cancel_everything(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

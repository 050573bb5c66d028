"""Processes that checks share: started once a store, each opens the store anew for each piece."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.synchronize import Event
from typing import TYPE_CHECKING, Any

from harness.conformance.check import NotReached

if TYPE_CHECKING:
    from harness.conformance.bench import Reach

Meet = Callable[[], Awaitable[None]]
"""Waits until all processes are ready."""

MEET_WITHIN_S = 30.0

_LOOK_S = 0.005

_barrier: threading.Barrier | None = None
"""In a child: where it meets the others."""
_met: Event | None = None
"""In a child: set when it has met them."""


class Crew:
    """At most `size` processes, one check's work at a time."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._busy = asyncio.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._barrier: threading.Barrier | None = None
        self._met: Event | None = None

    async def work(
        self, work: Callable[..., Awaitable[Any]], reach: Reach, *args: Any, **kwargs: Any
    ) -> list[Any]:
        """What each process returned, by its number."""
        async with self._busy:
            pool = self._pool = self._pool or self._started()
            reach = _picklable(reach)
            if self._barrier is not None and self._barrier.broken:
                self._barrier.reset()
            if self._met is not None:
                self._met.clear()
            try:
                running = [
                    asyncio.wrap_future(pool.submit(_alone, work, reach, number, args, kwargs))
                    for number in range(self.size)
                ]
                return _all_of(await asyncio.gather(*running, return_exceptions=True))
            except BrokenProcessPool:
                self._pool = None
                raise NotReached("a process of the lab's own died in the race") from None

    async def met(self, work: asyncio.Task[Any]) -> None:
        """Returns when the processes have met for the first time in this work, or it has ended.

        `work` is a task of `work`, just begun, with nobody else's before it.
        """
        while not work.done():
            await asyncio.sleep(_LOOK_S)
            if self._met is not None and self._met.is_set():
                return

    async def aclose(self) -> None:
        """End the processes."""
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    def _started(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        self._barrier, self._met = context.Barrier(self.size), context.Event()
        return ProcessPoolExecutor(
            self.size, mp_context=context, initializer=_enter, initargs=(self._barrier, self._met)
        )


def _all_of(ended: list[Any]) -> list[Any]:
    """What all returned. Raises what ended the first, not what that did to the others.

    That a process of the crew came too late to meet the others is not the store's failure.
    """
    errors = [each for each in ended if isinstance(each, BaseException)]
    for error in errors:
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    if errors:
        raise NotReached(f"the lab's own processes did not meet within {MEET_WITHIN_S:g} s")
    return ended


def _picklable(reach: Reach) -> Reach:
    """Read-only views of dictionaries do not pickle. Raises `NotReached` where more does not."""
    credentials = dict(reach.endpoint.credentials)
    reach = replace(reach, endpoint=replace(reach.endpoint, credentials=credentials))
    try:
        pickle.dumps(reach)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise NotReached(
            f"other processes cannot be given this store: {error}: adapter and options have to be"
            " classes of a module"
        ) from None
    return reach


def _enter(barrier: threading.Barrier, met: Event) -> None:
    global _barrier, _met
    _barrier, _met = barrier, met


def _alone(
    work: Callable[..., Awaitable[Any]],
    reach: Reach,
    number: int,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    return asyncio.run(_opened(work, reach, number, args, kwargs))


async def _opened(
    work: Callable[..., Awaitable[Any]],
    reach: Reach,
    number: int,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    store = await reach.opened()
    try:
        return await work(store, _meet, number, *args, **kwargs)
    except BaseException:
        if _barrier is not None:
            _barrier.abort()  # nobody waits for one that won't come
        raise
    finally:
        await store.aclose()


async def _meet() -> None:
    assert _barrier is not None
    await asyncio.to_thread(_barrier.wait, MEET_WITHIN_S)
    if _met is not None and not _met.is_set():
        _met.set()

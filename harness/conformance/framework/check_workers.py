"""Worker processes that checks share: started once a store; each opens the store for each call."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_bool
from typing import Any

from harness.conformance.framework.check_result import NotReached
from harness.domain.factory import StoreFactory
from harness.domain.interruption import left_to_the_lab
from harness.domain.orphans import end_with_parent, outlive_a_terminal

Rendezvous = Callable[[], Awaitable[None]]
"""Waits until all processes have called it."""

RENDEZVOUS_TIMEOUT_S = 30.0
_POLL_S = 0.005

_barrier: threading.Barrier | None = None
"""In a worker process: where it meets the others."""
_met: c_bool | None = None
"""In a worker process: true after the first rendezvous.

Without a lock, which a process that dies in it would leave locked for ever.
"""


class CheckWorkers:
    """At most `size` processes, which work for one check at a time."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._busy = asyncio.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._barrier: threading.Barrier | None = None
        self._met: c_bool | None = None

    async def run(
        self, work: Callable[..., Awaitable[Any]], factory: StoreFactory, *args: Any, **kwargs: Any
    ) -> list[Any]:
        """What `work(store, rendezvous, number, *args, **kwargs)` returns in each process."""
        async with self._busy:
            pool = self._pool = self._pool or self._started()
            _require_picklable(factory)
            if self._barrier is not None and self._barrier.broken:
                self._barrier.reset()
            if self._met is not None:
                self._met.value = False
            try:
                running = [
                    asyncio.wrap_future(pool.submit(_run, work, factory, number, args, kwargs))
                    for number in range(self.size)
                ]
                return _returned(await asyncio.gather(*running, return_exceptions=True))
            except asyncio.CancelledError:
                self._kill()  # a process that hangs would keep the next check waiting
                raise
            except BrokenProcessPool:
                self._pool = None
                raise NotReached("a process of the lab's own died in the race") from None

    async def first_rendezvous(self, run: asyncio.Task[Any]) -> None:
        """Return after the first rendezvous of this run, or when the run has ended.

        `run` is a task of `run`, just created, that waits for no other run.
        """
        while not run.done():
            await asyncio.sleep(_POLL_S)
            if self._met is not None and self._met.value:
                return

    def _kill(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            for process in (pool._processes or {}).values():
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)

    async def aclose(self) -> None:
        """End the processes."""
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    def _started(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        outlive_a_terminal()
        try:
            self._barrier, self._met = context.Barrier(self.size), context.RawValue(c_bool)
        except OSError as error:  # no shared memory
            raise NotReached(f"the lab's own processes cannot be started: {error}") from None
        return ProcessPoolExecutor(
            self.size,
            mp_context=context,
            initializer=_initialize,
            initargs=(self._barrier, self._met),
        )


def _returned(results: list[Any]) -> list[Any]:
    """The results, unless one is an error; the error that came first, not those that it caused.

    A process that misses the rendezvous is no failure of the store.
    """
    errors = [each for each in results if isinstance(each, BaseException)]
    for error in errors:
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    if errors:
        raise NotReached(f"the lab's own processes did not meet within {RENDEZVOUS_TIMEOUT_S:g} s")
    return results


def _require_picklable(factory: StoreFactory) -> None:
    """Raises `NotReached` where the store cannot be sent to other processes."""
    try:
        pickle.dumps(factory)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise NotReached(
            f"other processes cannot be given this store: {error}: adapter and options have to be"
            " classes of a module"
        ) from None


def _initialize(barrier: threading.Barrier, met: c_bool) -> None:
    global _barrier, _met
    left_to_the_lab()
    end_with_parent()
    _barrier, _met = barrier, met


def _run(
    work: Callable[..., Awaitable[Any]],
    factory: StoreFactory,
    number: int,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    return asyncio.run(_run_on_store(work, factory, number, args, kwargs))


async def _run_on_store(
    work: Callable[..., Awaitable[Any]],
    factory: StoreFactory,
    number: int,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    async with factory.opened() as store:
        try:
            return await work(store, _rendezvous, number, *args, **kwargs)
        except BaseException:
            if _barrier is not None:
                _barrier.abort()  # the others must not wait for this process
            raise


async def _rendezvous() -> None:
    assert _barrier is not None
    await asyncio.to_thread(_barrier.wait, RENDEZVOUS_TIMEOUT_S)
    if _met is not None:
        _met.value = True

"""Worker processes end with the lab, however it ends, and so does their shared memory."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from multiprocessing import resource_tracker


def end_with_parent() -> None:
    """From now on, this worker process ends at once when the process that started it has ended.

    A worker that waits for work would wait for ever: the pipe that it waits at is kept open by
    its siblings.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        watching = threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True)
        watching.start()


def _watch(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def outlive_a_terminal() -> None:
    """Let Python's own cleaner of shared memory hear no hang-up: it has to act after the lab's end.

    It is deaf to Ctrl-C and to SIGTERM by itself. Call this before the first semaphore is made.
    """
    if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        resource_tracker.ensure_running()
    finally:
        signal.signal(signal.SIGHUP, before)

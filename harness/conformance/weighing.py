"""What this process keeps in memory, weighed before and after."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.store import RecordedEvent


@dataclass(frozen=True, slots=True)
class Weight:
    """Recorded events, and bytes that Python allocated, wherever they are held."""

    events: int
    bytes: int

    def __sub__(self, other: Weight) -> Weight:
        return Weight(self.events - other.events, self.bytes - other.bytes)


@contextmanager
def weighing() -> Iterator[Callable[[], Weight]]:
    """Inside the block: what has been added since its beginning and is still alive."""
    tracemalloc.start()
    try:
        before = _now()
        yield lambda: _now() - before
    finally:
        tracemalloc.stop()


def _now() -> Weight:
    gc.collect()
    events = sum(type(each) is RecordedEvent for each in gc.get_objects())
    return Weight(events, tracemalloc.get_traced_memory()[0])

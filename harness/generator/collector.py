"""Python's garbage collector, kept out of the measurement."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def frozen_garbage() -> AsyncIterator[None]:
    """What exists before the measurement is not walked by the collector during it."""
    gc.collect()
    gc.freeze()
    await asyncio.sleep(0)
    try:
        yield
    finally:
        gc.unfreeze()

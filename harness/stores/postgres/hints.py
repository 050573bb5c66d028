"""LISTEN as a wake-up hint for subscriptions; where it fails, polling goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from harness.stores.postgres.pool import close
from harness.stores.postgres.session import Session


@asynccontextmanager
async def hints(session: Session) -> AsyncIterator[asyncio.Event]:
    """An event that is set whenever something was appended, if the store was asked to notify."""
    hinted = asyncio.Event()
    if not session.options.notify:
        yield hinted
        return
    connection = await session.pool.connect()
    try:
        await connection.add_listener(session.endpoint.namespace, lambda *_: hinted.set())
        yield hinted
    finally:
        await close(connection)

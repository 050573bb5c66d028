"""A transaction of sqlite3 alone, on one thread for all callers, as the lab has it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from harness.domain.store import BareAppend, NewEvent
from harness.stores.sqlite.reading import QUERY
from harness.stores.sqlite.store import SqliteStore


@asynccontextmanager
async def inserted(store: SqliteStore, callers: int) -> AsyncIterator[Sequence[BareAppend]]:
    """BEGIN, INSERT, COMMIT, without the look at heads and ids that decides about an append."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="eslab-sqlite-bare") as thread:
        connection = await loop.run_in_executor(thread, store._opening)
        written = _Written(connection)

        async def append(stream: str, event: NewEvent) -> object:
            return await loop.run_in_executor(thread, written.insert, stream, event)

        try:
            yield [append] * callers
        finally:
            await loop.run_in_executor(thread, connection.close)


class _Written:
    """What the file has, all of it written here."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._position = 0
        self._versions: defaultdict[str, int] = defaultdict(int)

    def insert(self, stream: str, event: NewEvent) -> None:
        """One event after the others."""
        execute, version = self._connection.execute, self._versions[stream]
        self._position += 1
        at_us = time.time_ns() // 1000
        row = (self._position, stream, version, event.id.bytes, event.type, event.data)
        execute("BEGIN IMMEDIATE")
        execute(QUERY["insert"], (*row, event.metadata, at_us))
        execute("COMMIT")
        self._versions[stream] = version + 1

"""The append function through asyncpg alone: a prepared statement and a connection a caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from harness.domain.expected_version import code_of
from harness.domain.store import BareAppend, NewEvent, StreamState
from harness.stores.postgres.pool import close
from harness.stores.postgres.store import PostgresStore


@asynccontextmanager
async def prepared(store: PostgresStore, callers: int) -> AsyncIterator[Sequence[BareAppend]]:
    """The statement that `append` runs, at any version: what that costs is the server's."""
    connections = [await store._session.pool.connect() for _ in range(callers)]
    try:
        yield [_appending(await each.prepare(store._append_one)) for each in connections]
    finally:
        await asyncio.gather(*(close(connection) for connection in connections))


def _appending(statement: Any) -> BareAppend:
    fetch, number = statement.fetch, code_of(StreamState.ANY)

    async def append(stream: str, event: NewEvent) -> object:
        return await fetch(stream, number, event.id, event.type, event.data, event.metadata)

    async def append_json(stream: str, event: NewEvent) -> object:
        data, metadata = event.data.decode(), event.metadata.decode() or None
        return await fetch(stream, number, event.id, event.type, data, metadata)

    kinds = {each.name for each in statement.get_parameters()}
    return append_json if "jsonb" in kinds else append

"""Subscriptions: the server pushes the log, and the client goes on after a lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from harness.domain.cancellation import raise_if_cancelled
from harness.domain.errors import ReadFailed
from harness.domain.store import Position, RecordedEvent, category_of
from harness.stores.umadb.client import READING, Client
from harness.stores.umadb.namespace import Namespace
from harness.stores.umadb.tags import Tags

_RETRY_S = 0.1


async def follow(
    client: Client,
    namespace: Namespace,
    *,
    after: Position | None,
    category: str | None,
    patience_s: float,
) -> AsyncGenerator[RecordedEvent]:
    """Events after `after`, without end. Raises `ReadFailed` if the server stays away.

    The server pushes the whole log: it cannot select tags by how they begin.
    """
    clock = asyncio.get_running_loop().time
    last: int | None = None
    lost_at: float | None = None
    while True:
        try:
            with READING:
                tags = await namespace.tags()
                if tags is not None:
                    last = await _start(client, tags, after) if last is None else last
                    async with aclosing(client.subscribe(last)) as pushed:
                        async for sequenced in pushed:
                            lost_at = None
                            last = sequenced.position
                            event = tags.recorded(sequenced)
                            if event and category in (None, category_of(event.stream)):
                                yield event
        except ReadFailed:
            raise_if_cancelled()
            lost_at = lost_at or clock()
            if clock() - lost_at > patience_s:
                raise
        await asyncio.sleep(_RETRY_S)


async def _start(client: Client, tags: Tags, after: Position | None) -> int:
    if after is None:
        return tags.generation
    return await client.head() if after == Position.NOW else after[0]

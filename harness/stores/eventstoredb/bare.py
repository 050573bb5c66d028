"""Appends through the official client alone: one long-lived call, or a call of its own each."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from harness.domain.store import BareAppend, NewEvent, StreamState
from harness.stores.eventstoredb.batch_append import BYTES, opened, proposed_message, requests
from harness.stores.eventstoredb.client import library
from harness.stores.eventstoredb.store import Plain, Streamed


@asynccontextmanager
async def streamed(store: Streamed, callers: int) -> AsyncIterator[Sequence[BareAppend]]:
    """One BatchAppend call for all callers, who wait for the response with their own number."""
    client, deadline_s = store._session.client, store._session.options.deadline_s
    prefix, rpc, writing = await store._session.prefix(), opened(client), asyncio.Lock()
    make = requests(client, deadline_s)
    waiting: dict[str, asyncio.Future[Any]] = {}

    async def receive() -> None:
        async for response in rpc:
            waiting.pop(response.correlation_id.string).set_result(response)

    def appending() -> BareAppend:
        heads = _Heads()

        async def append(stream: str, event: NewEvent) -> object:
            expected, correlation = heads.expected(stream, StreamState.NO_STREAM), str(uuid4())
            request = make(f"{prefix}{stream}", [proposed_message(event)], expected, correlation)
            answer = asyncio.get_running_loop().create_future()
            waiting[correlation] = answer
            async with writing:
                await rpc.write(request)
            response = await answer
            heads.append(stream)
            return response

        return append

    receiving = asyncio.create_task(receive())
    try:
        yield [appending() for _ in range(callers)]
    finally:
        rpc.cancel()
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


@asynccontextmanager
async def plain(store: Plain, callers: int) -> AsyncIterator[Sequence[BareAppend]]:
    """The client's `append_to_stream`."""
    client, deadline_s = store._session.client, store._session.options.deadline_s
    prefix, call = await store._session.prefix(), library().once("append_to_stream")

    def appending() -> BareAppend:
        heads = _Heads()

        async def append(stream: str, event: NewEvent) -> object:
            expected = heads.expected(stream, library().stream_state.NO_STREAM)
            how = {"current_version": expected, "events": [_proposed(event)]}
            answer = await call(client, f"{prefix}{stream}", timeout=deadline_s, **how)
            heads.append(stream)
            return answer

        return append

    yield [appending() for _ in range(callers)]


class _Heads:
    """The versions of one caller's streams."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, int] = defaultdict(int)

    def expected(self, stream: str, no_stream: Any) -> Any:
        """The version that the next append expects."""
        count = self._counts[stream]
        return count - 1 if count else no_stream

    def append(self, stream: str) -> None:
        """It has one event more."""
        self._counts[stream] += 1


def _proposed(event: NewEvent) -> Any:
    return library().new_event(
        type=event.type, data=event.data, metadata=event.metadata, content_type=BYTES, id=event.id
    )

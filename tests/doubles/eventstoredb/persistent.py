"""The double's service `PersistentSubscriptions`, over all. Source: `persistent.proto`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from . import messages
from .library import persistent_pb2, persistent_pb2_grpc
from .state import State


@dataclass
class Group:
    """How far it has come, and what it is about."""

    options: Any
    position: int


class PersistentSubscriptions(persistent_pb2_grpc.PersistentSubscriptionsServicer):
    """Create, read with acknowledgements, delete."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._groups: dict[str, Group] = {}

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A group that begins after a position, or at the start."""
        await self._state.gate(context)
        options = request.options.all
        self._groups[request.options.group_name] = Group(options, options.position.commit_position)
        return persistent_pb2.CreateResp()

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Forget it."""
        await self._state.gate(context)
        self._groups.pop(request.options.group_name, None)
        return persistent_pb2.DeleteResp()

    async def Read(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """A buffer of events that wait for acknowledgement, then more as those come."""
        first = await anext(aiter(requests))
        name = first.options.group_name
        group = self._groups[name]
        slots = asyncio.Semaphore(first.options.buffer_size)
        acknowledging = asyncio.create_task(_take(requests, slots))
        # The client holds it against its own group. Source: its `persistent.py`.
        yield messages.confirmation(f"$all::{name}", persistent_pb2)
        wanted = messages.matching(group.options)
        try:
            while True:
                for event in messages.after(self._state.log.all, group.position):
                    group.position = event.position
                    if not wanted(event):
                        continue
                    await slots.acquire()
                    await self._state.gate(context)
                    yield messages.read_event(
                        self._state.log, event, resolve=False, module=persistent_pb2
                    )
                await self._state.more(group.position)
        finally:
            acknowledging.cancel()


async def _take(requests: Any, slots: asyncio.Semaphore) -> None:
    async for request in requests:
        for _ in request.ack.ids:
            slots.release()

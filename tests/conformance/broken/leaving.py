"""Stores in which something of a refused append can be read, though not in its stream."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import ClassVar

from harness.domain.errors import WrongExpectedVersion
from harness.domain.store import category_of
from harness.stores.memory.store import MemoryStore


class KeepsRefused(MemoryStore):
    """Base: remembers conflicting appends, each with the log's length at that moment."""

    refused: ClassVar = defaultdict(list)

    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except WrongExpectedVersion:
            self.refused[self.namespace] += [(len(self.log), stream, event) for event in events]
            raise

    def ghosts(self, event):
        """What was refused while this event was the log's next one."""
        for at, stream, ghost in list(self.refused[self.namespace]):
            if at == event.position[0]:
                yield replace(
                    event, id=ghost.id, stream=stream, data=ghost.data, metadata=ghost.metadata
                )


class WritesItsLogBeforeItLooks(KeepsRefused):
    async def read_all(self, *, after=None, limit=None):
        left = limit
        async for event in super().read_all(after=after, limit=limit):
            for each in (*self.ghosts(event), event):
                if left == 0:
                    return
                left = None if left is None else left - 1
                yield each


class TellsSubscribersBeforeItLooks(KeepsRefused):
    async def subscribe(self, *, after=None, category=None):
        async for event in super().subscribe(after=after, category=category):
            for ghost in self.ghosts(event):
                if category is None or category_of(ghost.stream) == category:
                    yield ghost
            yield event

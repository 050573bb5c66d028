"""Stores whose streams are sound, and whose log is another copy that is not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

from harness.stores.memory.store import MemoryStore

from .keeping import ChangesOnTheWayOut


class OverwritesInTheLogOnly(MemoryStore):
    """An update is refused where streams are kept, and goes through where the log is."""

    changed: ClassVar = defaultdict(dict)

    async def overwrite(self, stream, version, data):
        self.changed[self.namespace][stream, version] = data
        return False

    async def read_all(self, **how):
        changed = self.changed[self.namespace]
        async for event in super().read_all(**how):
            data = changed.get((event.stream, event.version), event.data)
            yield replace(event, data=data)


class DeletesFromTheLogOnly(MemoryStore):
    gone: ClassVar = defaultdict(set)

    async def delete(self, stream, version):
        self.gone[self.namespace].add((stream, version))
        return False

    async def read_all(self, **how):
        async for event in super().read_all(**how):
            if (event.stream, event.version) not in self.gone[self.namespace]:
                yield event


class RewritesItsLog(MemoryStore):
    """The log is made anew for each reader, and so are its times."""

    async def read_all(self, **how):
        async for event in super().read_all(**how):
            yield replace(event, recorded_at=datetime.now(UTC))


class LocalTimeInItsLog(ChangesOnTheWayOut):
    def given(self, event):
        local = datetime.fromtimestamp(event.recorded_at.timestamp())
        return replace(event, recorded_at=local)


class TakesALimitOfNoneForNoLimit(MemoryStore):
    async def read_all(self, *, after=None, limit=None):
        async for event in super().read_all(after=after, limit=limit or None):
            yield event

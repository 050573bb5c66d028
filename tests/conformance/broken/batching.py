"""Stores that write a batch once and its first event several times."""

from __future__ import annotations

from dataclasses import replace

from harness.stores.memory.store import MemoryStore


class Shares(MemoryStore):
    """Base of stores that give each event of an append something of the first one's."""

    def shared(self, event, first):
        raise NotImplementedError

    async def append(self, stream, events, *, expected):
        alike = [self.shared(event, events[0]) for event in events]
        return await super().append(stream, alike, expected=expected)


class SharesDataInBatches(Shares):
    def shared(self, event, first):
        return replace(event, data=first.data)


class SharesTypesInBatches(Shares):
    def shared(self, event, first):
        return replace(event, type=first.type)


class SharesMetadataInBatches(Shares):
    def shared(self, event, first):
        return replace(event, metadata=first.metadata)

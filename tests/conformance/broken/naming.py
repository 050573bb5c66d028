"""Stores that find other streams than the one that was named."""

from __future__ import annotations

import re
import unicodedata

from harness.domain.errors import StreamNotFound
from harness.stores.memory.store import MemoryStore


class ReadsByPattern(MemoryStore):
    """WHERE stream LIKE: `%` stands for anything, `_` for any one letter."""

    async def read_stream(self, stream, *, start=0, limit=None, backwards=False):
        parts = [{"%": ".*", "_": "."}.get(each, re.escape(each)) for each in stream]
        pattern = re.compile("".join(parts), re.DOTALL)
        streams = self.log.streams
        found = [each for name in streams if pattern.fullmatch(name) for each in streams[name]]
        if not found:
            raise StreamNotFound(stream)
        found.sort(key=lambda event: event.position)
        wanted = [event for event in found if event.version >= start]
        for event in wanted[:: -1 if backwards else 1][:limit]:
            yield event


class NormalizesNames(MemoryStore):
    """To composed letters, as some collations and file systems do."""

    async def append(self, stream, events, *, expected):
        return await super().append(_composed(stream), events, expected=expected)

    async def read_stream(self, stream, **how):
        async for event in super().read_stream(_composed(stream), **how):
            yield event


def _composed(name):
    return unicodedata.normalize("NFC", name)

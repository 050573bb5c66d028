"""Asking a Kafka broker whether it serves, without a client library: one Metadata request."""

from __future__ import annotations

import asyncio
import struct

_ANSWER_LIMIT_S = 2.0
_METADATA, _VERSION, _CORRELATION = 3, 1, 7
_NO_CLIENT_ID, _NO_TOPICS = -1, 0
REQUEST = struct.pack(">ihhihi", 14, _METADATA, _VERSION, _CORRELATION, _NO_CLIENT_ID, _NO_TOPICS)
"""Cheap: a broker answers it from memory."""
_RESPONSE = struct.Struct(">iii")
"""Length, correlation, number of brokers; the rest of it is not needed."""


async def living_brokers(host: str, port: int) -> int:
    """How many brokers the cluster counts as living; 0 where nobody answers as Kafka does."""
    try:
        async with asyncio.timeout(_ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(REQUEST)
                answer = await reader.readexactly(_RESPONSE.size)
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return 0
    _, correlation, brokers = _RESPONSE.unpack(answer)
    return int(brokers) if correlation == _CORRELATION else 0

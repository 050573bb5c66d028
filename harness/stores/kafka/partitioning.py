"""Which partition a stream is on: murmur2 of its name, as Kafka's own clients choose it."""

from __future__ import annotations

import struct
from functools import lru_cache

_MASK = 0xFFFFFFFF
_FACTOR = 0x5BD1E995
_SEED = 0x9747B28C
_STREAMS_KEPT = 65536


@lru_cache(maxsize=_STREAMS_KEPT)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a topic with so many partitions that holds the stream with this key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(key: bytes) -> int:
    """The hash, as an unsigned number of 32 bits."""
    whole = len(key) // 4 * 4
    value = _SEED ^ len(key)
    for (word,) in struct.iter_unpack("<I", key[:whole]):
        value = (value * _FACTOR & _MASK) ^ _scrambled(word)
    if whole < len(key):
        value = (value ^ int.from_bytes(key[whole:], "little")) * _FACTOR & _MASK
    value = (value ^ value >> 13) * _FACTOR & _MASK
    return value ^ value >> 15


def _scrambled(word: int) -> int:
    word = word * _FACTOR & _MASK
    return (word ^ word >> 24) * _FACTOR & _MASK

"""Event ids that contain a sequence number: 64 bits from the trial's seed, then the number.

An event that is read back so identifies the append that wrote it, without a table of all ids.
"""

from __future__ import annotations

import hashlib
from uuid import UUID

SEQUENCE_BITS = 48
SEQUENCE_MASK = (1 << SEQUENCE_BITS) - 1
_VERSION_8 = 0x8 << 76
_VARIANT = 0b10 << 62
_PREFIX_BITS_KEPT = ~((0xF << 76) | ((1 << 64) - 1)) & ((1 << 128) - 1)


def id_base(seed: str) -> int:
    """The 128-bit value to which a sequence number is added to give an event id (UUID v8)."""
    digest = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:16])
    return (digest & _PREFIX_BITS_KEPT) | _VERSION_8 | _VARIANT


def event_id(base: int, sequence: int) -> UUID:
    """The id of the event with that sequence number."""
    return UUID(int=base + sequence)


def sequence_of(base: int, identity: UUID) -> int:
    """The sequence number in an event id, or -1 for an id of another trial."""
    sequence = identity.int - base
    return sequence if 0 <= sequence <= SEQUENCE_MASK else -1

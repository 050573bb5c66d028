"""Expected versions: whether one holds, its code in columns and SQL, and its spelling."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from harness.domain.store import ExpectedVersion, StreamState

ANY: Final = -1
NO_STREAM: Final = -2
EXISTS: Final = -3

CODES: Mapping[StreamState, int] = MappingProxyType(
    {StreamState.ANY: ANY, StreamState.NO_STREAM: NO_STREAM, StreamState.EXISTS: EXISTS}
)
"""The code of each state; an exact version is its own code. Stored runs contain these numbers."""

_ANY = StreamState.ANY
_STATES = {code: state for state, code in CODES.items()}


def code_of(expected: ExpectedVersion) -> int:
    """The code of an expectation. Raises `ValueError` for a negative exact version."""
    if expected is _ANY:  # most appends; Python 3.11 looks a member up in 0.2 µs
        return ANY
    if isinstance(expected, StreamState):
        return CODES[expected]
    if expected < 0:
        raise ValueError(f"expected version {expected}: versions count from 0")
    return expected


def from_code(code: int) -> ExpectedVersion:
    """The expectation with that code."""
    return _STATES.get(code, code)


def spelled(expected: ExpectedVersion) -> str:
    """As people write it: `NO_STREAM`, or the version's number."""
    return expected.name if isinstance(expected, StreamState) else str(expected)


def holds(expected: ExpectedVersion, head: int | None) -> bool:
    """Whether a stream is as expected; `head` is its last version, `None` for no stream."""
    match expected:
        case StreamState.ANY:
            return True
        case StreamState.NO_STREAM:
            return head is None
        case StreamState.EXISTS:
            return head is not None
        case version:
            return head == version

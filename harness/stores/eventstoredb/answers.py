"""The client's exceptions as answers to "was it written?"."""

from __future__ import annotations

import re

from harness.errors import (
    AppendRefused,
    BatchTooLarge,
    EventIdReused,
    EventTooLarge,
    OutcomeUnknown,
    ReadFailed,
    ReadTimeout,
    StoreError,
    StoreUnavailable,
    WrongExpectedVersion,
)
from harness.store import StreamState
from harness.stores.eventstoredb.library import library

_HEAD = re.compile(r"last event is (\d+) not")
_REFUSALS = (
    "AccessDeniedError", "StreamIsDeleted", "InvalidTransactionError", "BadRequestError",
)  # fmt: skip
_NEVER_SENT = re.compile(r"failed to connect|name resolution|no addresses", re.I)


def append_error(error: BaseException, *, stream: str, expected: object, events: int) -> StoreError:
    """What an append that did not end well means for its events."""
    named = library().error
    if isinstance(error, named("WrongCurrentVersion")) and expected is StreamState.ANY:
        return EventIdReused("some of the event ids are known, and not as this append")
    if isinstance(error, named("WrongCurrentVersion")):
        head = _HEAD.search(str(error))
        return WrongExpectedVersion(stream, expected, int(head[1]) if head else None)
    if isinstance(error, named("MaximumAppendSizeExceededError")):
        return (EventTooLarge if events == 1 else BatchTooLarge)(str(error))
    if isinstance(error, tuple(map(named, _REFUSALS))):
        return AppendRefused(told(error), reason=type(error).__name__)
    if never_sent(error):
        return StoreUnavailable(f"no connection to EventStoreDB: {told(error)}")
    return OutcomeUnknown(f"EventStoreDB: {told(error)}")


def read_error(error: BaseException) -> StoreError:
    """What was raised during a read."""
    if isinstance(error, TimeoutError | library().error("DeadlineExceeded")):
        return ReadTimeout("EventStoreDB did not answer before the deadline")
    return ReadFailed(f"EventStoreDB: {told(error)}")


def never_sent(error: BaseException) -> bool:
    """Whether there was no connection that could have carried anything."""
    unavailable = library().error("ServiceUnavailable")
    return isinstance(error, unavailable) and bool(_NEVER_SENT.search(str(error)))


def told(error: BaseException) -> str:
    """The error in one line, without the trace that gRPC puts into it."""
    text = str(error)
    details = re.search(r'details = "([^"]*)"', text)
    said = details[1] if details else text.splitlines()[0] if text else ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__

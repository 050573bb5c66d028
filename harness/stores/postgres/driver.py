"""asyncpg, loaded on first use, and what its errors mean for an append and for a read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import (
    AppendRefused,
    EventIdReused,
    OutcomeUnknown,
    ReadFailed,
    ReadTimeout,
    StoreError,
)
from harness.stores.drivers import lazy

if TYPE_CHECKING:
    import asyncpg as asyncpg  # noqa: PLC0414 - handed on
else:
    asyncpg = lazy("asyncpg", extra="postgres")

_ENDED = {"57P01", "57P02", "57P03", "57P05"}
"""The server ends the session: it may have committed before it said so."""
EVENT_ID_CONSTRAINT = "events_id"


def errors() -> tuple[type[BaseException], ...]:
    """Everything that asyncpg raises, and what it lets through.

    An `InternalClientError` is how it meets a server that said goodbye to an idle connection.
    """
    return (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
        TimeoutError,
    )


def append_error(error: BaseException) -> StoreError:
    """The answer to "was it written?" in what the driver raised after the append was sent."""
    if isinstance(error, asyncpg.UniqueViolationError):
        if error.constraint_name == EVENT_ID_CONSTRAINT:
            return EventIdReused(str(error))
        return AppendRefused(str(error), reason=type(error).__name__)
    if isinstance(error, TimeoutError):
        return OutcomeUnknown("PostgreSQL did not answer before the deadline")
    if _refused(error):
        return AppendRefused(str(error), reason=type(error).__name__)
    return OutcomeUnknown(f"PostgreSQL: {type(error).__name__}: {error}")


def read_error(error: BaseException) -> StoreError:
    """What the driver raised during a read."""
    if isinstance(error, TimeoutError):
        return ReadTimeout("PostgreSQL did not answer before the deadline")
    return ReadFailed(f"PostgreSQL: {type(error).__name__}: {error}")


def _refused(error: BaseException) -> bool:
    """Whether the server rolled the statement back, or the driver could not even encode it."""
    if isinstance(error, asyncpg.PostgresConnectionError | ConnectionError):
        return False
    if isinstance(error, asyncpg.PostgresError):
        return getattr(error, "sqlstate", None) not in _ENDED
    return isinstance(error, asyncpg.DataError)

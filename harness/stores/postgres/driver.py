"""asyncpg, loaded on first use, and what its errors mean for an append and for a read."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from harness.domain.errors import (
    AppendRefused,
    EventIdReused,
    NoServer,
    NotWritten,
    OutcomeUnknown,
    StoreUnavailable,
    Unsuitable,
)
from harness.stores._shared.driver_errors import (
    Mapped,
    Meanings,
    Table,
    out_of_resources,
    refused,
)
from harness.stores._shared.drivers import lazy

if TYPE_CHECKING:
    import asyncpg as asyncpg  # noqa: PLC0414 - handed on
else:
    asyncpg = lazy("asyncpg", extra="postgres")

_NO_RESOURCES = ("53", "58")
"""Classes of SQLSTATE: insufficient resources (disk, memory, connections), and system errors."""
_NOT_AS_ASKED = "ESLAB"
"""The SQLSTATE of `confirm.sql`."""
_ENDED = {"57P01", "57P02", "57P03", "57P05"}
"""The server ends the session: it may have committed before."""
EVENT_ID_CONSTRAINT = "events_id"


def errors() -> tuple[type[BaseException], ...]:
    """Everything that asyncpg raises, and errors that pass through it.

    asyncpg raises `InternalClientError` where the server has closed an idle connection.
    """
    return (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
        TimeoutError,
    )


@cache
def preparing() -> type[asyncpg.Connection]:
    """A connection that also has the statements prepared on it, by their text."""

    class Preparing(asyncpg.Connection):  # type: ignore[misc, unused-ignore]
        __slots__ = ("statements",)

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.statements: dict[str, Any] = {}

    return Preparing


def _duplicate(error: Any) -> AppendRefused:
    if error.constraint_name == EVENT_ID_CONSTRAINT:
        return EventIdReused(str(error))
    return refused(error)


def _refused(error: BaseException) -> NotWritten | OutcomeUnknown:
    """The server rolled the statement back, unless it ended the session."""
    state = getattr(error, "sqlstate", None) or ""
    if state == _NOT_AS_ASKED:
        return _unsuitable(error)
    if state.startswith(_NO_RESOURCES):
        return out_of_resources(error)
    return _MEANINGS.unknown(error) if state in _ENDED else refused(error)


def _not_let_in(error: BaseException) -> NoServer:
    return NoServer(f"postgres: {next(iter(str(error).splitlines()), '')}")


def _unsuitable(error: BaseException) -> Unsuitable:
    return Unsuitable(
        f"PostgreSQL did not take what was asked of it: {error}; "
        "connect past any pooler, to PostgreSQL itself"
    )


def _not_connected(error: BaseException) -> StoreUnavailable:
    if getattr(error, "sqlstate", None) == _NOT_AS_ASKED:
        return _unsuitable(error)
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return StoreUnavailable(f"no connection to PostgreSQL: {reason}")


_MEANINGS = Meanings("PostgreSQL")


@cache
def _appends() -> Table:
    return {
        asyncpg.UniqueViolationError: _duplicate,
        asyncpg.PostgresConnectionError: _MEANINGS.unknown,
        asyncpg.PostgresError: _refused,
        asyncpg.InterfaceError: _MEANINGS.unknown,
        asyncpg.InternalClientError: _MEANINGS.unknown,
        TimeoutError: _MEANINGS.unknown_late,
        OSError: _MEANINGS.unknown,
    }


@cache
def _reads() -> Table:
    return {
        asyncpg.PostgresError: _MEANINGS.failed,
        asyncpg.InterfaceError: _MEANINGS.failed,
        asyncpg.InternalClientError: _MEANINGS.failed,
        TimeoutError: _MEANINGS.late,
        OSError: _MEANINGS.failed,
    }


@cache
def _connections() -> Table:
    return {
        asyncpg.InvalidAuthorizationSpecificationError: _not_let_in,
        asyncpg.InvalidCatalogNameError: _not_let_in,
        **dict.fromkeys(errors(), _not_connected),
    }


APPENDING, READING, CONNECTING = Mapped(_appends), Mapped(_reads), Mapped(_connections)
"""Blocks that call asyncpg: an append that may be sent, a read, a connection that opens."""

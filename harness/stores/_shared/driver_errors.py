"""Drivers' errors become the lab's at the edge, by one table per driver and question.

An adapter asks one of two questions when its driver raises. Of an append: was it written? Of a
read: what is missing, or did the deadline pass? Each question has a table from the classes
that the driver raises to what they mean, and `Mapped` applies it:

    APPENDING = Mapped(lambda: {asyncpg.DataError: refused, asyncpg.PostgresError: PG.unknown})

    with APPENDING:
        await connection.execute(...)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from harness.domain.errors import (
    AppendRefused,
    OutcomeUnknown,
    OutOfResources,
    ReadFailed,
    ReadTimeout,
    StoreUnavailable,
)

Meaning = Callable[[Any], Exception | None]
Table = Mapping[type[BaseException], Meaning]
"""The first class that matches an error decides, as with `except` clauses.

A meaning of `None` lets the error leave as it is.
"""


class Mapped:
    """A block whose driver errors leave it as the lab's; errors without a row leave as they are.

    It keeps no state: one object serves any number of blocks at once. The table is a function,
    called when an error occurs, because drivers are loaded on first use.
    """

    __slots__ = ("_table",)

    def __init__(self, table: Callable[[], Table]) -> None:
        self._table = table

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            return
        mapped = self.error(error)
        if mapped is not None:
            raise mapped from error

    def error(self, raised: BaseException) -> Exception | None:
        """What an error means; `None` if it leaves the block as it is."""
        for kind, meaning in self._table().items():
            if isinstance(raised, kind):
                return meaning(raised)
        return None


def bug(error: BaseException) -> None:
    """A bug of the adapter, not an error of the store: it leaves the block as it is."""
    del error


def described(error: BaseException) -> str:
    """The class name, by which results group errors, and the message if there is one."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def refused(error: BaseException) -> AppendRefused:
    """The server or the driver refused before anything was written."""
    return AppendRefused(str(error), reason=type(error).__name__)


def out_of_resources(error: BaseException) -> OutOfResources:
    """The server rolled back because it has no room, memory, connections or file handles left."""
    return OutOfResources(str(error), reason=type(error).__name__)


class Meanings:
    """The meanings that every server has, in sentences that name it."""

    def __init__(self, server: str, describe: Callable[[BaseException], str] = described) -> None:
        self._server, self._describe = server, describe

    def unknown(self, error: BaseException) -> OutcomeUnknown:
        """An append was sent, and its result never arrived."""
        return OutcomeUnknown(f"{self._server}: {self._describe(error)}")

    def unknown_late(self, error: BaseException) -> OutcomeUnknown:
        """An append was sent, and its deadline passed."""
        del error
        return OutcomeUnknown(self._late)

    def failed(self, error: BaseException) -> ReadFailed:
        """A read failed."""
        return ReadFailed(f"{self._server}: {self._describe(error)}")

    def late(self, error: BaseException) -> ReadTimeout:
        """A read's deadline passed."""
        del error
        return ReadTimeout(self._late)

    def not_connected(self, error: BaseException) -> StoreUnavailable:
        """There was no connection, so nothing was sent."""
        return StoreUnavailable(f"no connection to {self._server}: {self._describe(error)}")

    @property
    def _late(self) -> str:
        return f"{self._server} did not answer before the deadline"

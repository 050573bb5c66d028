"""The two global orders of the log: by transaction (nothing is ever skipped) and by position."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from harness.store import Position
from harness.stores.scripts import named

if TYPE_CHECKING:
    from asyncpg import Record

QUERY = named("postgres_queries")
NO_END = 2**63 - 1

Fetch = Callable[..., Awaitable["list[Record]"]]
"""`fetch(query, *arguments)`"""


class Order(Protocol):
    """How positions compare, and what may be read of the log at a moment."""

    columns: str
    """What the log's index is on."""

    def position(self, tx: int, position: int) -> Position:
        """The place of an event with these columns."""
        ...

    async def head(self, fetch: Fetch) -> int:
        """The end of what is committed now, for `page` and `settled`."""
        ...

    async def page(
        self, fetch: Fetch, after: Position | None, end: int, limit: int
    ) -> list[Record]:
        """The next events behind a position, at most `limit` and none beyond `end`."""
        ...

    async def held_back(self, fetch: Fetch, end: int) -> frozenset[Position]:
        """Events before `end` that are committed, but that `page` does not give yet."""
        ...

    async def now(self, fetch: Fetch) -> tuple[Position, frozenset[Position]]:
        """Where new events begin, and the old ones behind there."""
        ...


class ByTransaction:
    """Ordered by the writing transaction, and read below the oldest one still running."""

    columns = "tx, position"

    def position(self, tx: int, position: int) -> Position:
        """Both columns."""
        return Position((tx, position))

    async def head(self, fetch: Fetch) -> int:
        """The first transaction id that nobody has yet."""
        return _value(await fetch(QUERY["next_transaction"]))

    async def page(
        self, fetch: Fetch, after: Position | None, end: int, limit: int
    ) -> list[Record]:
        """Delayed, never lost, by any write transaction that is open in the cluster."""
        return await fetch(QUERY["log_by_transaction"], *(after or (0, 0)), end, limit)

    async def held_back(self, fetch: Fetch, end: int) -> frozenset[Position]:
        """Committed beside an older transaction that is still running."""
        rows = await fetch(QUERY["held_back"], end)
        return frozenset(Position((row["tx"], row["position"])) for row in rows)

    async def now(self, fetch: Fetch) -> tuple[Position, frozenset[Position]]:
        """Behind the oldest running transaction, whose events are new, as are the later ones."""
        rows = await fetch(QUERY["now"])
        old = (Position((row["tx"], row["position"])) for row in rows if row["tx"] is not None)
        return Position((rows[0]["oldest"] - 1, NO_END)), frozenset(old)


class ByPosition:
    """Ordered by a number. Without gaps only where appends take turns."""

    columns = "position"

    def position(self, tx: int, position: int) -> Position:
        """The number alone."""
        del tx
        return Position((position,))

    async def head(self, fetch: Fetch) -> int:
        """The newest committed position."""
        return _value(await fetch(QUERY["head_position"]))

    async def page(
        self, fetch: Fetch, after: Position | None, end: int, limit: int
    ) -> list[Record]:
        """Whatever is committed by now."""
        return await fetch(QUERY["log_by_position"], *(after or (0,)), end, limit)

    async def held_back(self, fetch: Fetch, end: int) -> frozenset[Position]:
        """None: what is committed can be read."""
        del fetch, end
        return frozenset()

    async def now(self, fetch: Fetch) -> tuple[Position, frozenset[Position]]:
        """Behind the newest committed position."""
        return Position((await self.head(fetch),)), frozenset()


def _value(rows: list[Any]) -> int:
    value: int = rows[0][0]
    return value

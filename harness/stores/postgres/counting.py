"""What PostgreSQL counts of its own work: WAL, full-page images, commits, syncs, bytes of data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness import costs
from harness.stores.postgres.driver import asyncpg, errors, read_error
from harness.stores.postgres.order import QUERY
from harness.stores.postgres.session import Session

if TYPE_CHECKING:
    from asyncpg import Record

    from harness.stores.postgres.pool import Link

LEAST_VERSION = 160_000
"""`pg_stat_io` is there from 16 on."""


class Counting:
    """Asks on one connection of the pool; its own commits are taken out of what it tells."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._own_commits = 0
        self._since: str | None = None

    async def settle(self) -> None:
        """CHECKPOINT, and count full-page images from here. An extension may have to be made."""
        try:
            async with self._session.pool.lent() as link:
                await self._allowed(link, QUERY["make_walinspect"])
                await self._allowed(link, "CHECKPOINT")
                (row,) = await self._ask(link, QUERY["end_of_wal"])
                self._since = row["lsn"]
        except errors() as error:
            raise read_error(error) from error

    async def counts(self) -> costs.Counts:
        """So far, with what the pool's idle connections have not told the server's statistics."""
        try:
            for link in await self._session.pool.all_idle():
                await self._tell(link)
            async with self._session.pool.lent() as link:
                return await self._read(link)
        except errors() as error:
            raise read_error(error) from error

    async def _tell(self, link: Link) -> None:
        """Statistics reach others up to ten seconds late, unless a connection is told to."""
        try:
            await link.connection.execute(QUERY["tell"], timeout=self._limit_s)
        finally:
            self._session.pool.give_back(link)
        self._own_commits += 1

    async def _read(self, link: Link) -> dict[str, float]:
        version = link.connection.get_server_version()
        if version.major * 10_000 < LEAST_VERSION:
            return {}
        told_commits = self._own_commits
        (row,) = await self._ask(link, QUERY["counts"])
        found = {name: float(value) for name, value in row.items() if value is not None}
        found[costs.COMMITS] -= told_commits
        images = await self._full_page_bytes(link)
        if images is None:
            return found
        log_bytes = found.pop(costs.LOG_BYTES_WITH_IMAGES) - images
        return {**found, costs.LOG_BYTES: log_bytes, costs.FULL_PAGE_BYTES: images}

    async def _full_page_bytes(self, link: Link) -> float | None:
        """Since `settle`, out of the WAL itself; `None` where this may not be read, or is gone."""
        try:
            (row,) = await self._ask(link, QUERY["full_page_bytes"], self._since)
        except (asyncpg.PostgresError, TimeoutError):
            return None
        return float(row["bytes"])

    async def _ask(self, link: Link, query: str, *arguments: Any) -> list[Record]:
        self._own_commits += 1
        statement = await link.prepared(query, self._limit_s)
        rows: list[Record] = await statement.fetch(*arguments, timeout=self._limit_s)
        return rows

    async def _allowed(self, link: Link, statement: str) -> None:
        """A statement for which the right, or the server's own files, may be missing."""
        try:
            await link.connection.execute(statement, timeout=self._limit_s)
        except (asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError):
            return

    @property
    def _limit_s(self) -> float:
        return self._session.options.deadline_s

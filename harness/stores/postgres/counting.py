"""What PostgreSQL counts of its own work: WAL, full-page images, commits, syncs, bytes of data."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from harness import costs
from harness.stores.postgres.driver import asyncpg, errors, read_error
from harness.stores.postgres.order import QUERY
from harness.stores.postgres.session import Session

if TYPE_CHECKING:
    from asyncpg import Record

    from harness.stores.postgres.pool import Link

LEAST_VERSION = 15
"""`pg_walinspect` and the telling of statistics are there from 15 on."""
SYNCS_MOVED = 18
"""The version from which `pg_stat_io` counts the log's syncs, and `pg_stat_wal` no longer."""
_LOG = logging.getLogger(__name__)


class Counting:
    """Asks on one connection of the pool; its own commits and syncs are taken out again."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._own_commits = self._own_syncs = 0
        self._since: str | None = None
        self._walinspect: str | None = None

    async def settle(self) -> None:
        """CHECKPOINT, and count full-page images from here. An extension may have to be made."""
        try:
            async with self._session.pool.lent() as link:
                await self._allowed(link, QUERY["make_walinspect"])
                await self._allowed(link, "CHECKPOINT")
                self._since = (await self._end_of_wal(link))["lsn"]
                found = await self._ask(link, QUERY["walinspect"])
                self._walinspect = found[0]["schema"] if found else None
        except errors() as error:
            raise read_error(error) from error

    async def counts(self) -> costs.Counts:
        """So far, with what the pool's idle connections have not told the server's statistics."""
        await self.tell()
        try:
            async with self._session.pool.lent() as link:
                return await self._read(link)
        except errors() as error:
            raise read_error(error) from error

    async def tell(self) -> costs.Counts:
        """Statistics reach others up to ten seconds late, unless a connection is told to."""
        try:
            links = await self._session.pool.all_idle()
            for link in links:
                await self._tell(link)
        except errors() as error:
            raise read_error(error) from error
        return {costs.COMMITS: len(links)}

    async def compact(self) -> None:
        """Write the events and their indexes anew."""
        try:
            async with self._session.pool.lent() as link:
                await link.connection.execute("VACUUM (FULL) events", timeout=self._limit_s)
        except errors() as error:
            raise read_error(error) from error

    async def _tell(self, link: Link) -> None:
        try:
            await link.connection.execute(QUERY["tell"], timeout=self._limit_s)
        finally:
            self._session.pool.give_back(link)
        self._own_commits += 1

    async def _read(self, link: Link) -> dict[str, float]:
        version = link.connection.get_server_version().major
        if version < LEAST_VERSION:
            return {}
        own_commits, own_syncs = self._own_commits, self._own_syncs
        (counts,) = await self._ask(link, QUERY["counts"])
        syncs = QUERY["syncs" if version >= SYNCS_MOVED else "syncs_before_18"]
        (synced,) = await self._ask(link, syncs)
        cells = [*counts.items(), *synced.items()]
        found = {name: float(value) for name, value in cells if value is not None}
        found[costs.COMMITS] -= own_commits
        found[costs.SYNCS] -= own_syncs
        return found | await self._log(link)

    async def _log(self, link: Link) -> dict[str, float]:
        """How far the write-ahead log has come, and what of it since `settle` are images."""
        end = await self._end_of_wal(link)
        images = 0.0 if end["lsn"] == self._since else await self._images(link, end["lsn"])
        if images is None:
            return {costs.LOG_BYTES_WITH_IMAGES: float(end["bytes"])}
        return {costs.LOG_BYTES: end["bytes"] - images, costs.FULL_PAGE_BYTES: images}

    async def _images(self, link: Link, until: str) -> float | None:
        """Out of the log itself; `None` where that may not be read, or is gone."""
        if self._walinspect is None:
            return None
        query = QUERY["full_page_bytes"].replace(":schema", self._walinspect)
        try:
            (row,) = await self._ask(link, query, self._since, until)
        except (asyncpg.PostgresError, TimeoutError) as error:
            _LOG.info("full-page images are not counted: %s", error)
            return None
        return float(row["bytes"])

    async def _end_of_wal(self, link: Link) -> Record:
        """Where it ends, all of it on disk: only there can it be read."""
        await link.connection.execute(QUERY["flush_wal"], timeout=self._limit_s)
        self._own_commits += 1
        self._own_syncs += 1
        (row,) = await self._ask(link, QUERY["end_of_wal"])
        return row

    async def _ask(self, link: Link, query: str, *arguments: Any) -> list[Record]:
        self._own_commits += 1
        statement = await link.prepared(query, self._limit_s)
        rows: list[Record] = await statement.fetch(*arguments, timeout=self._limit_s)
        return rows

    async def _allowed(self, link: Link, statement: str) -> None:
        """A statement that the server may refuse: the right may be missing, or its files."""
        try:
            await link.connection.execute(statement, timeout=self._limit_s)
        except asyncpg.PostgresError as error:
            _LOG.info("%s: %s", statement, error)

    @property
    def _limit_s(self) -> float:
        return self._session.options.deadline_s

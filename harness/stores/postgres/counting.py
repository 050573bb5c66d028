"""PostgreSQL's counters of its own work: WAL, full-page images, commits, syncs, bytes of data."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from harness.domain import costs
from harness.stores.postgres.driver import READING, asyncpg
from harness.stores.postgres.pool import Session
from harness.stores.postgres.rows import QUERY

if TYPE_CHECKING:
    from asyncpg import Connection, Record

LEAST_VERSION = 15
"""The first version with `pg_walinspect` and `pg_stat_force_next_flush`."""
SYNCS_MOVED = 18
"""The version from which `pg_stat_io` counts the log's syncs, and `pg_stat_wal` no longer."""
_LOG = logging.getLogger(__name__)


class Counting:
    """Reads the server's statistics, without the commits and syncs of the reading itself."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._own_commits = self._own_syncs = self._told = 0
        self._since: str | None = None
        self._walinspect: str | None = None

    async def settle(self) -> None:
        """CHECKPOINT, create the extension that reads the log, and count images from here."""
        with READING:
            async with self._session.pool.connection() as connection:
                await self._attempt(connection, QUERY["make_walinspect"])
                await self._attempt(connection, "CHECKPOINT")
                self._since = (await self._end_of_wal(connection))["lsn"]
                schemas = await self._ask(connection, QUERY["walinspect"])
                self._walinspect = schemas[0]["schema"] if schemas else None

    async def counts(self) -> costs.Counts:
        """The counters now, including what idle connections have not reported yet."""
        await self.report_counts()
        with READING:
            async with self._session.pool.connection() as connection:
                return await self._read(connection)

    async def report_counts(self) -> costs.Counts:
        """Flush the idle connections' statistics, which the server else sees ten seconds late."""
        with READING:
            connections = self._session.pool.take_idle()
            for connection in connections:
                await self._flush_statistics(connection)
        confirmed, self._told = (
            self._session.pool.confirmed - self._told,
            self._session.pool.confirmed,
        )
        return {costs.COMMITS: len(connections) + confirmed}

    async def compact(self) -> None:
        """Write the events and their indexes anew."""
        with READING:
            async with self._session.pool.connection() as connection:
                await connection.execute("VACUUM (FULL) events", timeout=self._limit_s)

    async def _flush_statistics(self, connection: Connection) -> None:
        try:
            await connection.execute(QUERY["flush_statistics"], timeout=self._limit_s)
        finally:
            self._session.pool.give_back(connection)
        self._own_commits += 1

    async def _read(self, connection: Connection) -> dict[str, float]:
        version = connection.get_server_version().major
        if version < LEAST_VERSION:
            return {}
        own_commits = self._own_commits + self._session.pool.confirmed
        own_syncs = self._own_syncs
        (counts,) = await self._ask(connection, QUERY["counts"])
        syncs = QUERY["syncs" if version >= SYNCS_MOVED else "syncs_before_18"]
        (synced,) = await self._ask(connection, syncs)
        cells = [*counts.items(), *synced.items()]
        counted = {name: float(value) for name, value in cells if value is not None}
        counted[costs.COMMITS] -= own_commits
        counted[costs.SYNCS] -= own_syncs
        return counted | await self._log(connection)

    async def _log(self, connection: Connection) -> dict[str, float]:
        """Bytes of the write-ahead log, and how many since `settle` are full-page images."""
        end = await self._end_of_wal(connection)
        images = 0.0 if end["lsn"] == self._since else await self._images(connection, end["lsn"])
        if images is None:
            return {costs.LOG_BYTES_WITH_IMAGES: float(end["bytes"])}
        return {costs.LOG_BYTES: end["bytes"] - images, costs.FULL_PAGE_BYTES: images}

    async def _images(self, connection: Connection, until: str) -> float | None:
        """Bytes of images in the log; `None` if the role may not read it, or it is recycled."""
        if self._walinspect is None:
            return None
        query = QUERY["full_page_bytes"].replace(":schema", self._walinspect)
        try:
            (row,) = await self._ask(connection, query, self._since, until)
        except (asyncpg.PostgresError, TimeoutError) as error:
            _LOG.info("full-page images are not counted: %s", error)
            return None
        return float(row["bytes"])

    async def _end_of_wal(self, connection: Connection) -> Record:
        """The log's end, after it is flushed to disk: only that part can be read."""
        await connection.execute(QUERY["flush_wal"], timeout=self._limit_s)
        self._own_commits += 1
        self._own_syncs += 1
        (row,) = await self._ask(connection, QUERY["end_of_wal"])
        return row

    async def _ask(self, connection: Connection, query: str, *arguments: Any) -> list[Record]:
        self._own_commits += 1
        rows: list[Record] = await connection.fetch(query, *arguments, timeout=self._limit_s)
        return rows

    async def _attempt(self, connection: Connection, statement: str) -> None:
        """Run a statement that the server may refuse: a right or the extension may be missing."""
        try:
            await connection.execute(statement, timeout=self._limit_s)
        except asyncpg.PostgresError as error:
            _LOG.info("%s: %s", statement, error)

    @property
    def _limit_s(self) -> float:
        return self._session.options.deadline_s

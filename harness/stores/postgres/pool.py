"""Connections to one namespace: opened as needed, the most recently used first, never shared.

asyncpg's own pool resets a connection after every use, which is a second round trip.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from harness.errors import NoServer, StoreError, StoreUnavailable
from harness.store import Endpoint
from harness.stores.postgres.driver import asyncpg, errors
from harness.stores.postgres.options import PostgresOptions

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

_CLOSE_WITHIN_S = 2.0


class Link:
    """One connection and its prepared statements."""

    __slots__ = ("connection", "statements")

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.statements: dict[str, PreparedStatement] = {}

    async def prepared(self, query: str, within_s: float) -> PreparedStatement:
        """The statement, prepared at its first use."""
        statement = self.statements.get(query)
        if statement is None:
            statement = await self.connection.prepare(query, timeout=within_s)
            self.statements[query] = statement
        return statement


class Pool:
    """At most `options.connections` links. Raises `StoreUnavailable` if none can be opened."""

    def __init__(self, endpoint: Endpoint, options: PostgresOptions) -> None:
        self._endpoint, self._options = endpoint, options
        self._idle: list[Link] = []
        self._out = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a prepared statement; what the driver raises after sending it is not translated."""
        link, limit_s = await self.take(), self._options.deadline_s
        try:
            statement = link.statements.get(query) or await link.prepared(query, limit_s)
            rows: list[asyncpg.Record] = await statement.fetch(*arguments, timeout=limit_s)
        except BaseException as error:
            self._give_back_after(link, error)
            raise
        self.give_back(link)
        return rows

    async def execute(self, script: str) -> None:
        """Run a script of several statements as one transaction, on disk before it returns."""
        async with self.transaction() as link:
            durably = f"SET LOCAL synchronous_commit = on; {script}"
            await link.connection.execute(durably, timeout=self._options.deadline_s)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Link]:
        """A link inside BEGIN and COMMIT; rolled back if the block or the server refuses."""
        link = await self.take()
        limit_s = self._options.deadline_s
        try:
            await link.connection.execute("BEGIN", timeout=limit_s)
            yield link
            await link.connection.execute("COMMIT", timeout=limit_s)
        except (StoreError, asyncpg.PostgresError):
            await self._roll_back(link)
            raise
        except BaseException:
            self.drop(link)
            raise
        self.give_back(link)

    async def _roll_back(self, link: Link) -> None:
        try:
            await link.connection.execute("ROLLBACK", timeout=self._options.deadline_s)
        except errors():
            self.drop(link)
        else:
            self.give_back(link)

    async def take(self) -> Link:
        """A link for the caller alone, until `give_back` or `drop`."""
        while self._out >= self._options.connections:
            await self._turn()
        self._out += 1
        while self._idle:
            link = self._idle.pop()
            if not link.connection.is_closed():
                return link
        try:
            return Link(await self.connect())
        except BaseException:
            self._one_back()
            raise

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Link]:
        """A link for the block; ended if the block fails in a way that leaves it unusable."""
        link = await self.take()
        try:
            yield link
        except BaseException as error:
            self._give_back_after(link, error)
            raise
        self.give_back(link)

    async def all_idle(self) -> list[Link]:
        """Every link that nobody uses, for the caller alone until each is given back."""
        links, self._idle = self._idle, []
        self._out += len(links)
        return links

    def give_back(self, link: Link) -> None:
        """The link may be used by the next caller."""
        self._idle.append(link)
        self._one_back()

    def drop(self, link: Link) -> None:
        """The link is in the middle of something: end it without asking the server."""
        link.connection.terminate()
        self._one_back()

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._wake_one()
            raise

    def _one_back(self) -> None:
        self._out -= 1
        self._wake_one()

    def _wake_one(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def connect(self) -> asyncpg.Connection:
        """A new connection, set up for this namespace."""
        try:
            return await asyncpg.connect(
                self._endpoint.address,
                password=self._endpoint.credentials.get("password"),
                timeout=self._options.deadline_s,
                statement_cache_size=0,
                server_settings={
                    "application_name": "eslab",
                    "search_path": self._endpoint.namespace,
                    "synchronous_commit": self._options.synchronous_commit,
                    "default_transaction_isolation": "read committed",
                    "client_min_messages": "error",
                    # Plans are kept, and the first are made while the tables are empty.
                    "enable_seqscan": "off",
                },
            )
        except (
            asyncpg.InvalidAuthorizationSpecificationError,
            asyncpg.InvalidCatalogNameError,
        ) as error:
            raise NoServer(f"postgres: {error}") from error
        except errors() as error:
            told = str(error) or type(error).__name__
            raise StoreUnavailable(f"no connection to PostgreSQL: {told}") from error

    async def clear(self) -> None:
        """Close the links that nobody uses."""
        links, self._idle = self._idle, []
        await asyncio.gather(*(close(link.connection) for link in links))

    def _give_back_after(self, link: Link, error: BaseException) -> None:
        """A statement that the server refused leaves its link usable; anything else does not."""
        if isinstance(error, asyncpg.PostgresError) and not link.connection.is_closed():
            self.give_back(link)
        else:
            self.drop(link)


async def close(connection: asyncpg.Connection) -> None:
    """Say goodbye, but do not wait long for a server that does not listen."""
    try:
        await connection.close(timeout=_CLOSE_WITHIN_S)
    except errors():
        connection.terminate()

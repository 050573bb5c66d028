"""Connections to one namespace: a pool, and calls with the driver's errors mapped."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from harness.domain.errors import StoreError
from harness.domain.store import Endpoint
from harness.stores._shared.driver_errors import Mapped
from harness.stores._shared.time_limit import TimeLimit
from harness.stores.postgres.driver import (
    APPENDING,
    CONNECTING,
    READING,
    asyncpg,
    errors,
    preparing,
)
from harness.stores.postgres.options import PostgresOptions
from harness.stores.postgres.rows import SQL

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_CLOSE_WITHIN_S = 2.0


class Pool:
    """At most `options.connections` connections, the most recently used first, none shared.

    Raises `StoreUnavailable` if none can be opened. Why the lab has its own: docs/adr/0020.
    """

    def __init__(self, endpoint: Endpoint, options: PostgresOptions) -> None:
        self._endpoint, self._options = endpoint, options
        self._idle: list[Connection] = []
        self._in_use = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._limit = TimeLimit(options.deadline_s)
        self.confirmed = 0
        """Connections whose settings were asked back so far: a commit each."""

    async def fetch(
        self, query: str, *arguments: Any, meanings: Mapped | None = None
    ) -> list[Record]:
        """Run a statement, prepared once a connection. Without meanings errors are the driver's."""
        connection = await self.take()
        task = self._limit.begin()
        try:
            statement = connection.statements.get(query) or await self._prepared(connection, query)
            rows: list[Record] = await statement(*arguments)
        except BaseException as raised:
            error = self._limit.failed(task, raised)
            self._give_back_after(connection, error)
            meant = meanings and meanings.error(error)
            if meant:
                raise meant from error
            raise error from raised.__cause__
        self._limit.end(task)
        self.give_back(connection)
        return rows

    async def _prepared(self, connection: Connection, query: str) -> Any:
        """The statement as a function of its arguments. Looking it up here saves asyncpg's way to
        its own cache, three coroutines a call."""
        connection.statements[query] = statement = (await connection.prepare(query)).fetch
        return statement

    async def execute(self, script: str) -> None:
        """Run a script of several statements as one transaction, on disk before it returns."""
        async with self.transaction() as connection:
            durably = f"SET LOCAL synchronous_commit = on; {script}"
            await connection.execute(durably, timeout=self._options.deadline_s)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside BEGIN and COMMIT; rolled back if the block or the server refuses."""
        connection = await self.take()
        limit_s = self._options.deadline_s
        try:
            await connection.execute("BEGIN", timeout=limit_s)
            yield connection
            await connection.execute("COMMIT", timeout=limit_s)
        except (StoreError, asyncpg.PostgresError):
            await self._roll_back(connection)
            raise
        except BaseException:
            self.drop(connection)
            raise
        self.give_back(connection)

    async def _roll_back(self, connection: Connection) -> None:
        try:
            await connection.execute("ROLLBACK", timeout=self._options.deadline_s)
        except errors():
            self.drop(connection)
        else:
            self.give_back(connection)

    async def take(self) -> Connection:
        """A connection for the caller alone, until `give_back` or `drop`; first come, first served.

        Whoever waits is handed the place of a caller that has done. If it only were free again, the
        next caller would take it before the one that waits is awake.
        """
        if self._in_use >= self._options.connections:
            await self._wait_for_place()
        else:
            self._in_use += 1
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        try:
            return await self.connect()
        except BaseException:
            self._release()
            raise

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for the block; closed if the block fails in a way that makes it unusable."""
        connection = await self.take()
        try:
            yield connection
        except BaseException as error:
            self._give_back_after(connection, error)
            raise
        self.give_back(connection)

    def take_idle(self) -> list[Connection]:
        """Every idle connection, for the caller alone until each is given back."""
        connections, self._idle = self._idle, []
        self._in_use += len(connections)
        return connections

    def give_back(self, connection: Connection) -> None:
        """The next caller may use the connection."""
        self._idle.append(connection)
        self._release()

    def drop(self, connection: Connection) -> None:
        """Close the connection in the middle of a call, without asking the server."""
        connection.terminate()
        self._release()

    async def _wait_for_place(self) -> None:
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._in_use -= 1

    async def connect(self) -> Connection:
        """A new connection, set up for this namespace.

        Raises `Unsuitable` where the server has other settings than those asked for.
        """
        with CONNECTING:
            connection = await asyncpg.connect(
                self._endpoint.address,
                password=self._endpoint.credentials.get("password"),
                timeout=self._options.deadline_s,
                max_cached_statement_lifetime=0,
                connection_class=preparing(),
                server_settings={"application_name": "eslab", **self._asked},
            )
            try:
                await self._confirm(connection)
            except BaseException:
                connection.terminate()
                raise
        return connection

    @property
    def _asked(self) -> dict[str, str]:
        return {
            "search_path": self._endpoint.namespace,
            "synchronous_commit": self._options.synchronous_commit,
            "default_transaction_isolation": "read committed",
            "client_min_messages": "error",
            # Plans are kept, and the first are made while the tables are empty.
            "enable_seqscan": "off",
        }

    async def _confirm(self, connection: Connection) -> None:
        """A pooler may drop the settings of a connection, and a login trigger change them."""
        await connection.execute(self.confirmation(), timeout=self._options.deadline_s)
        self.confirmed += 1

    def confirmation(self, *names: str) -> str:
        """A statement that the server refuses where these settings, or any, are not as asked."""
        pairs = ", ".join(f"('{name}', '{self._asked[name]}')" for name in names or self._asked)
        return SQL.script("confirm", {"asked": pairs})

    async def clear(self) -> None:
        """Close the idle connections."""
        self._limit.close()
        connections, self._idle = self._idle, []
        await asyncio.gather(*(close(connection) for connection in connections))

    def _give_back_after(self, connection: Connection, error: BaseException) -> None:
        """A statement that the server refused leaves its connection usable; other errors do not.

        Nor does a statement prepared for tables that have changed since.
        """
        refused = isinstance(error, asyncpg.PostgresError)
        outdated = refused and isinstance(error, asyncpg.InvalidCachedStatementError)
        if refused and not outdated and not connection.is_closed():
            self.give_back(connection)
        else:
            self.drop(connection)


async def close(connection: Connection) -> None:
    """Close in the protocol's way, or after two seconds without it."""
    try:
        await connection.close(timeout=_CLOSE_WITHIN_S)
    except errors():
        connection.terminate()


class Session:
    """A pool, and its calls with the errors mapped: those that write and those that read."""

    def __init__(self, endpoint: Endpoint, options: PostgresOptions) -> None:
        self.endpoint, self.options = endpoint, options
        self.pool = Pool(endpoint, options)
        self.round_trips = 0
        """Calls so far; preparing a statement, once a connection, is not among them."""

    def write(self, query: str, *arguments: Any) -> Awaitable[list[Record]]:
        """A statement that writes. Raises `NotWritten` or `OutcomeUnknown`."""
        self.round_trips += 1
        return self.pool.fetch(query, *arguments, meanings=APPENDING)

    def read(self, query: str, *arguments: Any) -> Awaitable[list[Record]]:
        """A statement that only reads. Raises `ReadFailed` or `StoreUnavailable`."""
        self.round_trips += 1
        return self.pool.fetch(query, *arguments, meanings=READING)

    async def run(self, script: str) -> None:
        """Run a script that makes or removes objects."""
        with APPENDING:
            await self.pool.execute(script)

    async def open(self) -> None:
        """Connect once, so that a missing server is noticed."""
        self.pool.give_back(await self.pool.take())

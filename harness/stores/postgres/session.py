"""Calls to one namespace, with the driver's errors in the lab's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.store import Endpoint
from harness.stores.postgres.driver import append_error, errors, read_error
from harness.stores.postgres.options import PostgresOptions
from harness.stores.postgres.pool import Pool

if TYPE_CHECKING:
    from asyncpg import Record


class Session:
    """A pool, and the two kinds of calls: those that write and those that only read."""

    def __init__(self, endpoint: Endpoint, options: PostgresOptions) -> None:
        self.endpoint, self.options = endpoint, options
        self.pool = Pool(endpoint, options)
        self.round_trips = 0
        """Calls so far; preparing a statement, once a connection, is not among them."""

    async def write(self, query: str, *arguments: Any) -> list[Record]:
        """A statement that writes. Raises `NotWritten` or `OutcomeUnknown`."""
        self.round_trips += 1
        try:
            return await self.pool.fetch(query, *arguments)
        except errors() as error:
            raise append_error(error) from error

    async def read(self, query: str, *arguments: Any) -> list[Record]:
        """A statement that only reads. Raises `ReadFailed` or `StoreUnavailable`."""
        self.round_trips += 1
        try:
            return await self.pool.fetch(query, *arguments)
        except errors() as error:
            raise read_error(error) from error

    async def run(self, script: str) -> None:
        """A script that makes or removes things."""
        try:
            await self.pool.execute(script)
        except errors() as error:
            raise append_error(error) from error

    async def open(self) -> None:
        """One connection, to know that somebody answers."""
        self.pool.give_back(await self.pool.take())

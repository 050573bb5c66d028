"""Somebody's adapter in a repository of its own: SQLite that counts its round trips."""

from __future__ import annotations

from harness.domain.store import StoreKind
from harness.stores.sqlite import SqliteOptions, SqliteStore

TRIPS = 1


class Mine(SqliteStore):
    """Says of each append that it took `TRIPS`."""

    trips = 0

    async def append(self, stream, events, *, expected):
        self.trips += TRIPS
        return await super().append(stream, events, expected=expected)

    def costs(self):
        return {"round_trips": self.trips}


STORE = StoreKind(
    name="mine", summary="SQLite, counted", variants={"": Mine}, options=SqliteOptions
)

"""Boundaries in a file that several processes open: sound, and guarded in the process alone."""

from __future__ import annotations

import asyncio
import pickle
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from harness.domain.boundaries import (
    TAGGED,
    BoundaryAppend,
    BoundaryEvent,
    BoundaryRead,
    matches,
)
from harness.domain.errors import BoundaryViolated
from harness.domain.store import Position, RecordedEvent
from harness.stores.sqlite import SqliteStore

_guard = asyncio.Lock()


class KeepsBoundariesInAFile(SqliteStore):
    """One transaction looks at the condition and writes; nobody else writes meanwhile."""

    file = ""

    @classmethod
    def declares(cls, options):
        return replace(super().declares(options), boundaries="native")

    @classmethod
    async def connect(cls, endpoint, options):
        store = await super().connect(endpoint, options)
        store.file = str(Path(endpoint.address) / f"{endpoint.namespace}.boundaries")
        return store

    async def setup(self):
        await super().setup()
        with self._opened() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS tagged (position INTEGER PRIMARY KEY AUTOINCREMENT,"
                " type TEXT, tags TEXT, event BLOB)"
            )

    async def query(self, items, *, after=None, limit=None):
        with self._opened() as database:
            events = list(self._found(database, items, after))[:limit]
            (head,) = database.execute("SELECT max(position) FROM tagged").fetchone()
        if limit is not None and len(events) == limit and events:
            head = events[-1].event.position[0]
        return BoundaryRead(tuple(events), None if head is None else Position((head,)))

    async def append_if(self, events, *, fail_if_match, after=None):
        return await asyncio.to_thread(self._append, events, fail_if_match, after)

    def _append(self, events, items, after):
        with self._opened() as database:
            database.execute("BEGIN IMMEDIATE")
            self._require(database, items, after)
            return self._write(database, events)

    def _opened(self):
        return sqlite3.connect(self.file, timeout=30, isolation_level=None)

    def _require(self, database, items, after):
        if items is not None:
            for _ in self._found(database, items, after):
                raise BoundaryViolated("written in the meantime")

    def _found(self, database, items, after):
        newer = "SELECT * FROM tagged WHERE position > ? ORDER BY position"
        for position, kind, tags, event in database.execute(newer, (after[0] if after else 0,)):
            if matches(items, kind, tags.split("\n")):
                place = Position((position,))
                recorded = replace(pickle.loads(event), position=place, version=position)
                yield BoundaryEvent(recorded, frozenset(filter(None, tags.split("\n"))))

    def _write(self, database, events):
        for event in events:
            recorded = RecordedEvent(
                event.id, TAGGED, 0, Position((0,)), event.type, event.data, event.metadata,
                datetime.now(UTC),
            )  # fmt: skip
            row = (event.type, "\n".join(event.tags), pickle.dumps(recorded))
            insert = "INSERT INTO tagged (type, tags, event) VALUES (?, ?, ?)"
            position = database.execute(insert, row).lastrowid
        return BoundaryAppend(Position((position,)))


class GuardsBoundariesInItsProcess(KeepsBoundariesInAFile):
    """Looks and writes in two transactions, one caller of this process at a time."""

    async def append_if(self, events, *, fail_if_match, after=None):
        async with _guard:
            return await super().append_if(events, fail_if_match=fail_if_match, after=after)

    def _append(self, events, items, after):
        with self._opened() as database:
            self._require(database, items, after)
            database.execute("BEGIN IMMEDIATE")
            return self._write(database, events)

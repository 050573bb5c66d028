"""One file a namespace: a connection that writes, one that reads, and a poll for subscribers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field

from harness.domain.costs import Counts
from harness.domain.durability import BySetting, Durability, by_settings, weakest
from harness.domain.errors import StoreUnavailable, Unsuitable
from harness.domain.store import (
    AppendResult,
    Endpoint,
    ExpectedVersion,
    Facts,
    Guarantees,
    NewEvent,
    OpenTransaction,
    Position,
    RecordedEvent,
    Snapshot,
    StoreOptions,
    category_of,
)
from harness.stores._shared.waiting import Bell, PollInterval
from harness.stores.sqlite import maintenance, reading, writing
from harness.stores.sqlite.connection import APPENDING, READING, ConnectionThread, open_file
from harness.stores.sqlite.reading import PAGE_EVENTS
from harness.stores.sqlite.writing import SqliteTransaction

FACTS = Facts(
    multi_stream_appends="yes, in one transaction of the file (not offered by this adapter)",
    transactional_projections="yes, in tables of the same file",
    erasure="rewrite the file without its triggers, then VACUUM",
    backup="online backup API or VACUUM INTO; copying the file while it is written is not safe",
    licence="public domain",
    source="https://www.sqlite.org/wal.html",
)


class SqliteOptions(StoreOptions):
    """Options of `sqlite`."""

    synchronous: Literal["full", "normal", "off"] = Field(
        "full",
        description="`full` syncs at each commit, `normal` at checkpoints only, `off` never",
    )
    busy_timeout_s: float = Field(
        5.0, gt=0, le=60, description="wait for another process's write lock, in seconds"
    )


_SAFE, _UNSYNCED = Durability.POWER_LOSS, Durability.PROCESS_CRASH
_RULES = (
    BySetting(
        "synchronous",
        {"extra": _SAFE, "full": _SAFE, "normal": _UNSYNCED, "off": _UNSYNCED},
    ),
    BySetting(
        "journal_mode",
        dict.fromkeys(("wal", "delete", "truncate", "persist"), _SAFE)
        # A crash inside a transaction leaves a file that cannot be repaired.
        | dict.fromkeys(("memory", "off"), Durability.MEMORY),
    ),
)


def durability_of(settings: Mapping[str, str]) -> Durability:
    """The weakest of the classes that each setting allows, and two of them together."""
    # A journal that is deleted at a commit may be back after a power loss, and undo the commit;
    # only `extra` syncs the folder.
    undone = settings.get("journal_mode") == "delete" and settings.get("synchronous") != "extra"
    # macOS's plain fsync leaves data in the drive's cache.
    cached = sys.platform == "darwin" and settings.get("fullfsync") == "0"
    classes = [_UNSYNCED for holds in (undone, cached) if holds]
    return weakest(by_settings(_RULES, settings), *classes)


class SqliteStore:
    """One file a namespace, in WAL mode: a writing connection and a reading one."""

    schema: ClassVar[Sequence[str]] = ("schema",)
    """Scripts that make what the file has."""

    def __init__(self, path: Path, options: SqliteOptions) -> None:
        self.path = path
        self._opening = opening = partial(
            open_file,
            path,
            synchronous=options.synchronous,
            busy_timeout_s=options.busy_timeout_s,
        )
        self._writer = ConnectionThread(opening, APPENDING, name="eslab-sqlite-write")
        self._reader = ConnectionThread(opening, READING, name="eslab-sqlite-read")
        self._appended = Bell()

    @classmethod
    def declares(cls, options: SqliteOptions) -> Guarantees:
        """Every guarantee; only durability depends on the options."""
        return Guarantees(
            occ="native",
            atomic_append=True,
            global_order="total",
            gap_free_read=True,
            idempotency="durable",
            stream_read="indexed",
            subscription="poll",
            append_only="enforced",
            durability=durability_of({"synchronous": options.synchronous, "journal_mode": "wal"}),
            writers="many",
            event_limit_bytes=1_000_000_000,
            facts=FACTS,
        )

    @staticmethod
    def durability_of(settings: Mapping[str, str]) -> Durability:
        """The class that follows from these settings, as read back or as requested."""
        return durability_of(settings)

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: SqliteOptions) -> Self:
        """Take the folder `endpoint.address`; `StoreUnavailable` if it is not there."""
        folder = Path(endpoint.address)
        if not await asyncio.to_thread(folder.is_dir):
            raise StoreUnavailable(f"SQLite: {folder} is not a folder")
        return cls(folder / f"{endpoint.namespace}.sqlite", options)

    async def setup(self) -> None:
        """Make the file, unless it is there. Raises `Unsuitable` where it cannot be as asked."""
        await asyncio.to_thread(self.path.touch)
        try:
            await self._writer.call(maintenance.make_schema, self.schema)
        except Unsuitable:
            await self.teardown()
            raise

    async def teardown(self) -> None:
        """Close both connections and delete the file, its log and its shared memory."""
        await self._reader.release()
        await self._writer.release()
        for suffix in ("", "-wal", "-shm"):
            await asyncio.to_thread(Path(f"{self.path}{suffix}").unlink, missing_ok=True)

    async def settings(self) -> Mapping[str, str]:
        """SQLite's version, and the writing connection's durability settings."""
        return await self._writer.call(maintenance.settings)

    async def settle(self) -> None:
        """Checkpoint the write-ahead log, so that a trial begins with an empty one."""
        await self._writer.call(maintenance.settle)

    async def counts(self) -> Counts:
        """The sizes of the file and of its write-ahead log."""
        return await asyncio.to_thread(maintenance.file_bytes, self.path)

    async def compact(self) -> None:
        """VACUUM."""
        await self._writer.call(maintenance.compact)

    async def aclose(self) -> None:
        """Close both connections and end their threads."""
        await self._reader.aclose()
        await self._writer.aclose()

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Write all of `events` in one transaction, or none of them."""
        result = await self._writer.call(writing.append, stream, events, expected)
        self._appended.ring()
        return result

    async def open_transaction(self, *, early: bool = False) -> OpenTransaction:
        """For checks: BEGIN IMMEDIATE, or with `early` a BEGIN that has read."""
        transaction = SqliteTransaction(
            ConnectionThread(self._opening, APPENDING, name="eslab-open")
        )
        await transaction.begin(early=early)
        return transaction

    async def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """The stream as it is at the first step."""
        versions, events = await self._reader.call(
            reading.begin_stream, stream, start, limit, backwards=backwards
        )
        while events:
            for event in events:
                yield event
            versions = versions[PAGE_EVENTS:]
            if not versions:
                return
            events = await self._reader.call(reading.stream_page, stream, versions)

    async def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """The log as it is at the first step."""
        positions, events = await self._reader.call(reading.begin_log, after, limit)
        while events:
            for event in events:
                yield event
            positions = positions[PAGE_EVENTS:]
            if not positions:
                return
            events = await self._reader.call(reading.log_page, positions)

    async def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Polled; an append through this connection wakes it at once."""
        head = await self._reader.call(reading.head_position)
        position = reading.index_of(after, head)
        interval = PollInterval()
        while True:
            appended = self._appended.listen()
            page = range(position + 1, position + 1 + PAGE_EVENTS)
            events = await self._reader.call(reading.log_page, page)
            for event in events:
                if category is None or category_of(event.stream) == category:
                    yield event
            position += len(events)
            if events:
                interval.reset()
            else:
                await interval.wait(appended)

    async def load_checkpoint(self, subscriber: str) -> Position | None:
        return await self._reader.call(reading.load_checkpoint, subscriber)

    async def save_checkpoint(self, subscriber: str, position: Position) -> None:
        await self._writer.call(writing.save_checkpoint, subscriber, position)

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        return await self._reader.call(reading.load_snapshot, stream)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        await self._writer.call(writing.save_snapshot, snapshot)

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """Try UPDATE, then INSERT OR REPLACE, without this adapter."""
        where = (data, stream, version)
        updated = await asyncio.to_thread(maintenance.tamper, self.path, "tamper_update", *where)
        return updated or await asyncio.to_thread(
            maintenance.tamper, self.path, "tamper_replace", *where
        )

    async def delete(self, stream: str, version: int) -> bool:
        """Try DELETE, without this adapter."""
        return await asyncio.to_thread(
            maintenance.tamper, self.path, "tamper_delete", stream, version
        )

"""One file a namespace: a connection that writes, one that reads, and a poll for subscribers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from harness.costs import Counts
from harness.errors import StoreUnavailable
from harness.store import (
    AppendResult,
    Durability,
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
)
from harness.stores.in_process import Bell, category_of
from harness.stores.sqlite import beside, reading, writing
from harness.stores.sqlite.held import HeldTransaction
from harness.stores.sqlite.reading import PAGE_EVENTS
from harness.stores.sqlite.thread import ConnectionThread, not_written, open_file, read_failed

POLL_MIN_S = 0.001
POLL_MAX_S = 0.05
"""An idle subscription looks for other processes' events ever less often, down to this."""

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


class SqliteStore:
    """One file a namespace, in WAL mode: a writing connection and a reading one."""

    def __init__(self, path: Path, options: SqliteOptions) -> None:
        self._path = path
        self._opening = opening = partial(
            open_file,
            path,
            synchronous=options.synchronous,
            busy_timeout_s=options.busy_timeout_s,
        )
        self._writer = ConnectionThread(opening, not_written, name="eslab-sqlite-write")
        self._reader = ConnectionThread(opening, read_failed, name="eslab-sqlite-read")
        self._appended = Bell()

    @classmethod
    def declares(cls, options: SqliteOptions) -> Guarantees:
        """Everything; only durability depends on the options."""
        return Guarantees(
            occ="native",
            atomic_append=True,
            global_order="total",
            gap_free_read=True,
            idempotency="durable",
            stream_read="indexed",
            subscription="poll",
            append_only="enforced",
            durability=cls.durability_of({"synchronous": options.synchronous}),
            writers="many",
            event_limit_bytes=1_000_000_000,
            facts=FACTS,
        )

    @staticmethod
    def durability_of(settings: Mapping[str, str]) -> Durability:
        """The class that these settings amount to, as read back or as asked for."""
        synced = settings["synchronous"] in ("full", "extra")
        return Durability.POWER_LOSS if synced else Durability.PROCESS_CRASH

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: SqliteOptions) -> Self:
        """Take the folder `endpoint.address`; `StoreUnavailable` if it is not there."""
        folder = Path(endpoint.address)
        if not await asyncio.to_thread(folder.is_dir):
            raise StoreUnavailable(f"SQLite: {folder} is not a folder")
        return cls(folder / f"{endpoint.namespace}.sqlite", options)

    async def setup(self) -> None:
        """Make the file, unless it is there."""
        await asyncio.to_thread(self._path.touch)
        await self._writer.call(beside.make_schema)

    async def teardown(self) -> None:
        """Close both connections and delete the file with what SQLite keeps beside it."""
        await self._reader.release()
        await self._writer.release()
        for suffix in ("", "-wal", "-shm"):
            await asyncio.to_thread(Path(f"{self._path}{suffix}").unlink, missing_ok=True)

    async def settings(self) -> Mapping[str, str]:
        """SQLite's version, and what the writing connection says of its durability."""
        return await self._writer.call(beside.settings)

    async def settle(self) -> None:
        """Checkpoint the write-ahead log, so that a trial begins with an empty one."""
        await self._writer.call(beside.settle)

    async def counts(self) -> Counts:
        """The sizes of the file and of its write-ahead log."""
        return await asyncio.to_thread(beside.file_bytes, self._path)

    async def compact(self) -> None:
        """VACUUM: the file written anew."""
        await self._writer.call(beside.compact)

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
        held = HeldTransaction(ConnectionThread(self._opening, not_written, name="eslab-held"))
        await held.begin(early=early)
        return held

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
        idle_s = POLL_MIN_S
        while True:
            appended = self._appended.listen()
            page = range(position + 1, position + 1 + PAGE_EVENTS)
            events = await self._reader.call(reading.log_page, page)
            for event in events:
                if category is None or category_of(event.stream) == category:
                    yield event
            position += len(events)
            if not events:
                await _wait(appended, idle_s)
            idle_s = POLL_MIN_S if events else min(2 * idle_s, POLL_MAX_S)

    async def load_checkpoint(self, subscriber: str) -> Position | None:
        """The subscriber's last saved position, if any."""
        return await self._reader.call(beside.load_checkpoint, subscriber)

    async def save_checkpoint(self, subscriber: str, position: Position) -> None:
        """Remember that everything up to `position` was handled."""
        await self._writer.call(beside.save_checkpoint, subscriber, position)

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """The newest snapshot of a stream, if any."""
        return await self._reader.call(beside.load_snapshot, stream)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep it unless a newer one is there."""
        await self._writer.call(beside.save_snapshot, snapshot)

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """Try UPDATE, then INSERT OR REPLACE, past this adapter."""
        where = (data, stream, version)
        updated = await asyncio.to_thread(beside.tamper, self._path, "tamper_update", *where)
        return updated or await asyncio.to_thread(
            beside.tamper, self._path, "tamper_replace", *where
        )

    async def delete(self, stream: str, version: int) -> bool:
        """Try DELETE, past this adapter."""
        return await asyncio.to_thread(beside.tamper, self._path, "tamper_delete", stream, version)


async def _wait(appended: asyncio.Event, at_most_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await appended.wait()

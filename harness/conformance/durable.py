"""Durable: what was acknowledged is there after a crash, once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from harness.conformance.bench import Bench, Controlled
from harness.conformance.check import Broken, Company, Declaration, NotReached, Step, check
from harness.conformance.declared import RECENT_IDS
from harness.conformance.judged import judge
from harness.conformance.racing import Attempt, attempt, unanswered
from harness.errors import NotWritten, OutcomeUnknown, StoreError, StreamNotFound
from harness.history import Kind
from harness.store import Durability, EventStore, NewEvent, RecordedEvent, StreamState

WRITERS = 8
KILLS = 2
LOAD_S = 0.5
PAUSE_S = 1.5
"""Longer than the deadline of the append that is under way."""
DEADLINE_S = 0.8
AGAIN_WITHIN_S = 20.0

CRASH_SAFE = Declaration(
    "durability",
    lambda g: g.durability in (Durability.PROCESS_CRASH, Durability.POWER_LOSS),
)


@dataclass(slots=True)
class Writer:
    """One writer's stream and what it was told of it."""

    stream: str
    attempts: list[Attempt] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, bench: Bench, store: EventStore) -> None:
        """Append one event after another until the server has gone."""
        while True:
            batch = bench.events(1)
            try:
                made = await attempt("the writer", store, self.stream, batch, StreamState.ANY)
            except asyncio.CancelledError:
                self.attempts.append(unanswered("the writer", self.stream, batch))
                return
            self.attempts.append(made)
            if not made.won:
                return
            self.heard.set()


@check(
    48,
    provokes=f"{WRITERS} writers append, the server's processes are killed right behind an "
    "acknowledgement, it starts again, and every stream is read",
    leaves="the acknowledged events that are gone, by stream",
    declaration=CRASH_SAFE,
    company=Company.LAST,
)
async def a_killed_server_keeps_what_it_acknowledged(bench: Bench) -> None:
    """Kill -9 of the server under load keeps every acknowledged append."""
    server = bench.hurtable()
    for _ in range(KILLS):
        writers = await _killed_under_load(bench, server)
        if not any(made.won for writer in writers for made in writer.attempts):
            raise NotReached("nothing was acknowledged before the kill")
        reader = await bench.another()
        for writer in writers:
            recorded = await _read(reader, writer.stream)
            judge(writer.attempts, recorded, Kind.LOST, Kind.DUPLICATED, Kind.FOREIGN)


async def _killed_under_load(bench: Bench, server: Controlled) -> Sequence[Writer]:
    writers = [Writer(bench.stream()) for _ in range(WRITERS)]
    stores = await bench.writers(2)
    writing = [
        asyncio.create_task(writer.write(bench, stores[number % len(stores)]))
        for number, writer in enumerate(writers)
    ]
    await asyncio.sleep(LOAD_S)
    writers[0].heard.clear()
    with suppress(TimeoutError):
        await asyncio.wait_for(writers[0].heard.wait(), LOAD_S)
    await server.kill()
    await asyncio.wait(writing, timeout=AGAIN_WITHIN_S)
    for task in writing:
        task.cancel()
    await asyncio.gather(*writing, return_exceptions=True)
    await server.restart()
    return writers


@check(
    49,
    provokes="holds the server up until an append's deadline has passed, then sends it again; "
    "without a server the answer is thrown away",
    leaves="how the append and its retry ended, and how often the event is there",
    declaration=RECENT_IDS,
    company=Company.LAST,
)
async def a_lost_acknowledgement_is_repaired_by_a_retry(bench: Bench) -> None:
    """An append whose acknowledgement was lost is written once by a retry."""
    stream, batch = bench.stream(), bench.events(2)
    expected = StreamState.NO_STREAM if bench.guarantees.occ != "none" else StreamState.ANY
    if bench.server is None:
        await bench.append(stream, batch, expected=expected, by="the writer, who does not listen")
        store: EventStore = bench.store
    else:
        store = await _unanswered(bench, bench.hurtable(), stream, batch, expected)
    ended = await bench.attempt(stream, batch, expected=expected, through=store)
    if isinstance(ended, StoreError):
        raise Broken("the retry was refused", bench.steps)
    found = [event.id for event in await _read(store, stream)]
    if sorted(found) != sorted(event.id for event in batch):
        read = Step("a reader", f"read {stream!r}", f"{len(found)} events instead of {len(batch)}")
        raise Broken("a retry did not leave each event once", [*bench.steps, read])


async def _unanswered(
    bench: Bench,
    server: Controlled,
    stream: str,
    batch: Sequence[NewEvent],
    expected: StreamState,
) -> EventStore:
    """Append while the server stands still; a connection of its own afterwards."""
    hasty = await bench.another(deadline_s=DEADLINE_S)
    await bench.append(bench.stream(), bench.events(1), through=hasty)
    await server.pause()
    try:
        ended = await bench.attempt(
            stream, batch, expected=expected, through=hasty, by="the writer, unanswered"
        )
        await asyncio.sleep(PAUSE_S - DEADLINE_S)
    finally:
        await server.resume()
    if not isinstance(ended, OutcomeUnknown | NotWritten):
        raise NotReached("the append was answered although the server stood still")
    await asyncio.sleep(PAUSE_S)
    return await bench.another()


async def _read(store: EventStore, stream: str) -> list[RecordedEvent]:
    try:
        return [event async for event in store.read_stream(stream)]
    except StreamNotFound:
        return []

"""How long readers of each PostgreSQL design wait for a transaction of another database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import lab
from table import Table

from harness.domain.store import Endpoint, NewEvent, StreamState
from harness.stores.postgres import STORE

HELD_S = 3.0
ROUNDS = 3
VARIANTS = ("", "row", "global-lock", "table-lock", "counter", "coalesced", "template")


def lag(table: Table) -> None:
    """From the acknowledgement of an append until a reader of the log has its event."""
    for held in (False, True):
        for name, lags_ms in asyncio.run(_lags_ms(held=held)).items():
            beside = f" beside {HELD_S:g} s of a write in another database" if held else ""
            table.add(f"{name}: a reader's lag{beside}", "", lags_ms, " ms")


async def _lags_ms(*, held: bool) -> dict[str, list[float]]:
    lags: dict[str, list[float]] = {}
    async with lab.served("postgres") as endpoint:
        for _ in range(ROUNDS):
            for variant in VARIANTS:
                name = f"postgres:{variant}".rstrip(":")
                lag_ms = await _lag_ms(endpoint, variant, held=held)
                lags.setdefault(name, []).append(lag_ms)
    return lags


async def _lag_ms(endpoint: Endpoint, variant: str, *, held: bool) -> float:
    opened = lab.opened(STORE, endpoint, variant)
    async with opened as store, _written_elsewhere(endpoint, held=held):
        event = NewEvent(uuid4(), "OrderPlaced", b"{}")
        await store.append("order-1", [event], expected=StreamState.ANY)
        acknowledged_s = time.monotonic()
        while True:
            async for each in store.read_all():
                if each.id == event.id:
                    return (time.monotonic() - acknowledged_s) * 1000
            await asyncio.sleep(0.002)


@asynccontextmanager
async def _written_elsewhere(endpoint: Endpoint, *, held: bool) -> AsyncIterator[None]:
    """Inside the block, a transaction of another database has written and is open for a while."""
    if not held:
        yield
        return
    place = {"dsn": endpoint.address, "password": endpoint.credentials.get("password")}
    own = await asyncpg.connect(**place)
    await own.execute('CREATE DATABASE "elsewhere"')
    other = await asyncpg.connect(**place, database="elsewhere")
    try:
        await other.execute("CREATE TABLE written (n int)")
        transaction = other.transaction()
        await transaction.start()
        await other.execute("INSERT INTO written VALUES (1)")
        ending = asyncio.create_task(_after(HELD_S, transaction.commit()))
        try:
            yield
        finally:
            await ending
    finally:
        await other.close()
        await own.execute('DROP DATABASE "elsewhere"')
        await own.close()


async def _after(seconds: float, ending) -> None:
    await asyncio.sleep(seconds)
    await ending

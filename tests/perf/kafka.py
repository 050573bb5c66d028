"""Kafka's designs against Kafka's own ProducerPerformance, from the same jars."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from dataclasses import replace
from uuid import uuid4

import lab
import uvloop
from table import Table

from harness.domain.store import Adapter, Endpoint, NewEvent, StreamState
from harness.scenario.model import ClosedLoop
from harness.servers.native import maven
from harness.servers.native.kafka import POM
from harness.stores.kafka import STORE

ROUNDS = 3
SECONDS = 3.0
RECORDS = 400_000
RECORD_BYTES = 256
CALLERS = 256
PEER, LAB, BARE = "ProducerPerformance", f"{CALLERS} callers", f"{CALLERS} awaited in batches, bare"
EVENTS = 1_000_000
BATCH = 1000
GROUPS = {"stock back-off": {}, "patched back-off": {"backoff": "patched"}}


def awaited(table: Table) -> None:
    """Awaited appends of 256 callers, and sends on the driver alone, against the peer."""
    ran = uvloop.run(_awaited())
    for name, goal in ((LAB, "≥ 0.7"), (BARE, "")):
        pairs = zip(ran[name], ran[PEER], strict=True)
        ratios = [one.per_s / peer.per_s for one, peer in pairs]
        table.add(f"kafka, {name} ÷ {PEER}", goal, ratios, " ×")
    for name, values in ran.items():
        table.add(f"kafka, {name}, events a second", "", [one.per_s for one in values])
        if name != PEER:
            cpu = [one.client_cpu_us for one in values]
            table.add(f"kafka, {name}, client CPU an event", "", cpu, " µs")


def grouped(table: Table) -> None:
    """The single writer: 256 callers in shared transactions against one at a time."""
    rates = uvloop.run(_grouped())
    for name in GROUPS:
        many, one = rates[name, CALLERS], rates[name, 1]
        ratios = [a / b for a, b in zip(many, one, strict=True)]
        goal = "≥ 200" if name == "stock back-off" else ""
        table.add(f"kafka:single-writer, {name}, {CALLERS} callers / 1", goal, ratios, " ×")
        table.add(f"kafka:single-writer, {name}, {CALLERS} callers, appends a second", "", many)
        table.add(f"kafka:single-writer, {name}, 1 caller, appends a second", "", one)


def rebuilding(table: Table) -> None:
    """The first append of a new owner, who reads a million events before."""
    table.add(f"heads of {EVENTS:,} events rebuilt", "≤ 3", uvloop.run(_rebuilt()), " s")


async def _awaited() -> dict[str, list[lab.Ran]]:
    ran = defaultdict(list)
    async with lab.served("kafka") as endpoint:
        for _ in range(ROUNDS):
            ran[PEER].append(lab.Ran(await producer_performance(endpoint), 0.0))
            async with lab.opened(STORE, endpoint) as store:
                ran[LAB].append(await _ran(store, CALLERS))
            async with lab.opened(STORE, endpoint) as store:
                ran[BARE].append(await lab.bare_appends(store, STORE.bare_loops[""], CALLERS))
    return ran


async def _grouped() -> dict[tuple[str, int], list[float]]:
    rates = defaultdict(list)
    async with lab.served("kafka") as endpoint:
        for _ in range(ROUNDS):
            for name, options in GROUPS.items():
                for callers in (1, CALLERS):
                    opened = lab.opened(STORE, endpoint, "single-writer", **options)
                    async with opened as store:
                        rates[name, callers].append((await _ran(store, callers)).per_s)
    return rates


async def _rebuilt() -> list[float]:
    taken_s = []
    namespace = f"eslab_{uuid4().hex[:8]}"
    async with lab.served("kafka") as endpoint:
        place = replace(endpoint, namespace=namespace)
        async with lab.opened(STORE, endpoint, "single-writer", namespace) as store:
            await asyncio.gather(*(_fill(store, part) for part in range(4)))
            for _ in range(ROUNDS):
                owner = await STORE.variants["single-writer"].connect(place, STORE.options())
                began_s = time.perf_counter()
                await owner.append("one-1", [_event()], expected=StreamState.ANY)
                taken_s.append(time.perf_counter() - began_s)
                await owner.aclose()
    return taken_s


async def _fill(store: Adapter, part: int) -> None:
    for number in range(EVENTS // BATCH // 4):
        batch = [_event() for _ in range(BATCH)]
        await store.append(f"order-{part}-{number}", batch, expected=StreamState.ANY)


def _event() -> NewEvent:
    return NewEvent(uuid4(), "OrderPlaced", b'{"order": 1}')


async def _ran(store: Adapter, callers: int) -> lab.Ran:
    load = ClosedLoop(workers=callers)
    return await lab.run(replace(lab.TRIAL, load=load, duration_s=SECONDS, warm_up_s=1.0), store)


async def producer_performance(endpoint: Endpoint) -> float:
    """As its documentation runs it, on a topic like the store's."""
    namespace = f"eslab_{uuid4().hex[:8]}"
    async with lab.opened(STORE, endpoint, namespace=namespace):
        process = await asyncio.create_subprocess_exec(
            *(maven.java(), "-cp", f"{maven.jars('kafka', POM)}/*"),
            *("org.apache.kafka.tools.ProducerPerformance", "--topic", namespace),
            *("--num-records", str(RECORDS), "--record-size", str(RECORD_BYTES)),
            *("--throughput", "-1", "--producer-props", "acks=all", "linger.ms=0"),
            f"bootstrap.servers={endpoint.address}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        told = (await process.communicate())[0].decode()
    return float(re.findall(r"([\d.]+) records/sec", told)[-1])

"""DynamoDB's two drivers side by side: a conditional put, and what it costs the client."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from uuid import uuid4

import lab
import uvloop
from table import Table

from harness.domain.store import Adapter, Endpoint
from harness.scenario.model import ClosedLoop
from harness.stores.dynamodb import STORE, items

ROUNDS = 3
SECONDS = 4.0
WARM_UP_S = 15.0
IN_FLIGHT = 32
DRIVERS = ("boto3", "http")
DESIGNS = {"dynamodb": "", "dynamodb:commit": "commit", "dynamodb:sequenced": "sequenced"}


def drivers(table: Table) -> None:
    """The http driver against boto3, one process, 32 conditional puts in flight, interleaved."""
    ran = uvloop.run(_drivers())
    pairs = list(zip(ran["http"], ran["boto3"], strict=True))
    rates = [http.per_s / boto3.per_s for http, boto3 in pairs]
    cpu = [http.client_cpu_us / boto3.client_cpu_us for http, boto3 in pairs]
    table.add("dynamodb put path, http / boto3, 32 in flight", "≥ 5", rates, " ×")
    table.add("client CPU an operation, http / boto3", "≤ 0.15", cpu, " ×")
    for driver, values in ran.items():
        label = f"dynamodb put path, {driver}"
        table.add(f"{label}, puts a second", "", [one.per_s for one in values])
        table.add(f"{label}, client CPU a put", "", [one.client_cpu_us for one in values], " µs")


def designs(table: Table) -> None:
    """The designs on the http driver with 32 callers, interleaved."""
    for name, values in uvloop.run(_designs()).items():
        table.add(f"{name}, http, 32 workers, appends a second (an emulator)", "", values)


async def _drivers() -> dict[str, list[lab.Ran]]:
    ran = defaultdict(list)
    async with served() as endpoint:
        async with opened(endpoint, "", "http") as store:
            await puts(store, WARM_UP_S)
        for turn in range(ROUNDS):
            for driver in DRIVERS[:: 1 if turn % 2 == 0 else -1]:
                async with opened(endpoint, "", driver) as store:
                    await puts(store, 0.5)
                    ran[driver].append(await puts(store, SECONDS))
    return ran


async def _designs() -> dict[str, list[float]]:
    rates = defaultdict(list)
    trial = replace(lab.TRIAL, load=ClosedLoop(workers=IN_FLIGHT), duration_s=SECONDS)
    async with served() as endpoint:
        for turn in range(ROUNDS + 1):
            for name in list(DESIGNS)[:: 1 if turn % 2 == 0 else -1]:
                async with opened(endpoint, DESIGNS[name], "http") as store:
                    ran = await lab.run(trial, store)
                # The first turn warms the JVM up.
                if turn:
                    rates[name].append(ran.per_s)
    return rates


def served() -> AbstractAsyncContextManager[Endpoint]:
    """DynamoDB Local with the whole compiler: short runs have half of it."""
    return lab.served("dynamodb", compiler="full")


def opened(endpoint: Endpoint, variant: str, driver: str) -> AbstractAsyncContextManager[Adapter]:
    """With a connection for each call in flight."""
    return lab.opened(STORE, endpoint, variant, driver=driver, connections=IN_FLIGHT)


async def puts(store: Adapter, seconds: float) -> lab.Ran:
    """Conditional puts of 256 bytes under fresh keys, each awaited by its caller."""
    numbers, prefix = itertools.count(), uuid4().hex
    began, cpu = time.perf_counter(), time.process_time()

    async def put_on() -> None:
        while time.perf_counter() - began < seconds:
            item = {**items.key(f"{prefix}{next(numbers)}", 0), "data": items.b(b"x" * 256)}
            await store._put(item, ConditionExpression="attribute_not_exists(PK)")

    await asyncio.gather(*(put_on() for _ in range(IN_FLIGHT)))
    count, spent_s = next(numbers), time.perf_counter() - began
    return lab.Ran(count / spent_s, (time.process_time() - cpu) / count * 1e6)

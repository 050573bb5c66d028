"""PostgreSQL's designs against the template, and the generator against pgbench."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace

import lab
import pgbench
import uvloop
from table import Table

from harness.domain.store import Endpoint
from harness.run.worker_allocation import (
    Cores,
    Machine,
    available,
    busy_cores,
    decided,
    kept_on,
)
from harness.scenario.model import ClosedLoop, Scenario
from harness.stores.postgres import STORE

ROUNDS = 3
SECONDS = pgbench.SECONDS
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
    cores = cores_apart()
    auto_apart = cores is not None and auto_places_apart()
    for clients, goal in ((8, "≥ 0.8"), (32, "≥ 0.75")):
        found = uvloop.run(_placed(clients, cores))
        chosen = found["apart" if auto_apart else "all cores"]
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


def cores_apart() -> Cores | None:
    """Of generator and server, as `--pin on` would place them; none where there are too few."""
    return decided("on", Machine.here(), {"postgres": "native"}, SCENARIO).cores


def auto_places_apart() -> bool:
    """Whether the lab, asked by nobody, would place them so here and now."""
    machine = Machine.here()
    machine = replace(machine, busy_cores=busy_cores(machine))
    return decided("auto", machine, {"postgres": "native"}, SCENARIO).cores is not None


def starts(table: Table) -> None:
    """From nothing to a native server that answers."""
    table.add("PostgreSQL's first start", "≤ 2 s", [uvloop.run(_start_s()) for _ in range(5)], " s")


async def _start_s() -> float:
    began = time.perf_counter()
    async with lab.served("postgres"):
        return time.perf_counter() - began


async def _designs() -> dict[str, list[float]]:
    rates = defaultdict(list)
    trial = replace(lab.TRIAL, load=ClosedLoop(workers=32), duration_s=float(SECONDS))
    async with lab.served("postgres") as endpoint:
        for turn in range(ROUNDS):
            for name in list(DESIGNS)[:: 1 if turn % 2 == 0 else -1]:
                async with lab.opened(STORE, endpoint, DESIGNS[name]) as store:
                    rates[name].append((await lab.run(trial, store)).per_s)
    return rates


async def _placed(clients: int, cores: Cores | None) -> dict[str, list[tuple[lab.Ran, lab.Ran]]]:
    """Pairs on all cores and, where there are some for each side, apart; all four take turns."""
    every = frozenset(available())
    sides = {"all cores": (every, every)}
    if cores:
        sides["apart"] = (cores.generator, cores.server)
    found: dict[str, list[tuple[lab.Ran, lab.Ran]]] = {name: [] for name in sides}
    async with lab.serving_alone("postgres") as server:
        for turn in range(ROUNDS):
            for name, (generator, servers) in list(sides.items())[:: 1 if turn % 2 == 0 else -1]:
                await server.pin(servers)
                with kept_on(generator):
                    pair = await _pair(server.endpoint, clients, ours_first=turn % 2 == 0)
                    found[name].append(pair)
    return found


async def _pair(endpoint: Endpoint, clients: int, *, ours_first: bool) -> tuple[lab.Ran, lab.Ran]:
    async def ours() -> lab.Ran:
        trial = replace(lab.TRIAL, load=ClosedLoop(workers=clients), duration_s=float(SECONDS))
        async with lab.opened(STORE, endpoint) as store:
            return await lab.run(trial, store)

    if ours_first:
        return await ours(), await pgbench.appends(endpoint, clients)
    theirs = await pgbench.appends(endpoint, clients)
    return await ours(), theirs

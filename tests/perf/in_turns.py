"""The lab as it is here and as it is in another checkout, in turns, beside its peers.

    python tests/perf/in_turns.py [--turns N] DIR [MEASURE …]

DIR is a checkout of another commit. Both sides meet the same servers. Each turn is a process of
its own that runs this folder's code on its side's `harness`: DIR needs no environment, and any
commit will do whose `harness` this code can drive. Peers (pgbench, ProducerPerformance, boto3,
asyncpg alone) take their turns between the two.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import drivers
import dynamodb
import kafka
import lab
import long_trials
import pgbench
import uvloop
from table import Table

import harness
from harness.domain.store import Endpoint, StoreKind
from harness.domain.workload import WorkloadKind
from harness.load.calibration import calibrate, queue_checks
from harness.scenario.model import ClosedLoop, Trial
from harness.servers import Server
from harness.stores.eventstoredb import STORE as EVENTSTOREDB
from harness.stores.kafka import STORE as KAFKA
from harness.stores.null import STORE as NULL
from harness.stores.postgres import STORE as POSTGRES
from harness.stores.umadb import STORE as UMADB
from harness.workloads.append import WORKLOAD as APPEND
from harness.workloads.read_stream import WORKLOAD as READ_STREAM

ROOT = Path(__file__).parents[2]
TURN = "--turn"
TURNS = 5
PER_S, CPU_US = "a second", "client CPU, µs"

Values = Mapping[str, float]
"""What one turn measured, by what it is."""
Turn = Callable[[Endpoint], Awaitable[Values]]


@dataclass(frozen=True)
class Measure:
    """The lab's turn, what all sides meet, and a peer's turn."""

    turn: Turn
    met: Callable[[], AbstractAsyncContextManager[Server | Endpoint]]
    peer: str = ""
    peer_turn: Turn | None = None
    apart: Collection[str] = ()
    """The sides that run on other cores than the server."""


def main() -> None:
    """Print the table of the measures asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkout", metavar="DIR", type=Path)
    parser.add_argument("measures", metavar="MEASURE", nargs="*", help=", ".join(MEASURES))
    parser.add_argument("--turns", type=int, default=TURNS, help="of each side")
    asked = parser.parse_args()
    if not (asked.checkout / "harness").is_dir():
        parser.error(f"{asked.checkout}: expected a checkout, with the folder harness in it")
    if unknown := sorted(set(asked.measures) - set(MEASURES)):
        parser.error(f"unknown measure: {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    table = Table()
    try:
        for name in asked.measures or MEASURES:
            uvloop.run(_compare(table, name, asked.checkout.absolute(), asked.turns))
    finally:
        table.print()


async def _compare(table: Table, name: str, checkout: Path, turns: int) -> None:
    measure = MEASURES[name]
    sides: dict[str, Turn] = {"before": partial(_turn, name, checkout)}
    if measure.peer_turn:
        sides[measure.peer] = measure.peer_turn
    sides["after"] = partial(_turn, name, ROOT)
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: {side: [] for side in sides})
    async with measure.met() as met:
        endpoint = met if isinstance(met, Endpoint) else met.endpoint
        for turn in range(turns):
            print(f"measuring: {name}, turn {turn + 1} of {turns} …", file=sys.stderr, flush=True)
            for side, measured in list(sides.items())[:: 1 if turn % 2 == 0 else -1]:
                async with _placed(met, apart=side in measure.apart):
                    for what, value in (await measured(endpoint)).items():
                        found[what][side].append(value)
    for what, values in found.items():
        _add(table, f"{name}, {what}", values, measure.peer)


@asynccontextmanager
async def _placed(met: Server | Endpoint, *, apart: bool) -> AsyncIterator[None]:
    """Raises `RuntimeError` where there are too few cores for the server and for what it meets."""
    if isinstance(met, Endpoint):
        yield
        return
    # Here, because a turn on an older harness imports this file, and cannot import these.
    from postgres import cores_apart  # noqa: PLC0415

    from harness.run.worker_allocation import available, kept_on  # noqa: PLC0415

    cores = cores_apart() if apart else None
    if apart and cores is None:
        raise RuntimeError("too few cores here to keep a server on some of its own")
    every = frozenset(available())
    await met.pin(cores.server if cores else every)
    with kept_on(cores.generator if cores else every):
        yield


def _add(table: Table, label: str, values: Mapping[str, Sequence[float]], peer: str) -> None:
    for side, measured in values.items():
        if measured:
            table.add(f"{label}, {side}", "", measured)
    for side, other in (("after", "before"), ("before", peer), ("after", peer)):
        if values.get(other) and all(values[other]):
            pairs = zip(values[side], values[other], strict=True)
            table.add(f"{label}, {side} ÷ {other}", "", [one / two for one, two in pairs], " ×")


async def _turn(name: str, checkout: Path, endpoint: Endpoint) -> Values:
    """A side's, in a process of its own. Raises `RuntimeError` if that fails."""
    where = json.dumps({"address": endpoint.address, "credentials": dict(endpoint.credentials)})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, TURN, name, where),
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{name} failed with the harness of {checkout}")
    return json.loads(told)


def _trial(kind: StoreKind, trial: Trial, workload: WorkloadKind = APPEND) -> Turn:
    async def turn(endpoint: Endpoint) -> Values:
        async with lab.opened(kind, endpoint) as store:
            return _values(await lab.run(trial, store, kind=workload))

    return turn


def _callers(count: int) -> Trial:
    return replace(lab.TRIAL, load=ClosedLoop(workers=count))


def _values(ran: lab.Ran) -> Values:
    return {PER_S: ran.per_s, CPU_US: ran.client_cpu_us}


async def _put(endpoint: Endpoint, driver: str = "http") -> Values:
    async with dynamodb.opened(endpoint, "", driver) as store:
        await dynamodb.puts(store, 0.5)
        return _values(await dynamodb.puts(store, dynamodb.SECONDS))


@asynccontextmanager
async def _warm_dynamodb() -> AsyncIterator[Endpoint]:
    async with dynamodb.served() as endpoint:
        async with dynamodb.opened(endpoint, "", "http") as store:
            await dynamodb.puts(store, dynamodb.WARM_UP_S)
        yield endpoint


@asynccontextmanager
async def _warm_kafka() -> AsyncIterator[Endpoint]:
    async with lab.served("kafka") as endpoint:
        await kafka.producer_performance(endpoint)
        yield endpoint


def _pgbench(clients: int) -> Turn:
    async def turn(endpoint: Endpoint) -> Values:
        return _values(await pgbench.appends(endpoint, clients))

    return turn


async def _producer_performance(endpoint: Endpoint) -> Values:
    return {PER_S: await kafka.producer_performance(endpoint)}


@asynccontextmanager
async def _long_trial() -> AsyncIterator[Endpoint]:
    """The folder with the files of a trial of ten million operations."""
    with tempfile.TemporaryDirectory() as folder:
        long_trials.make(long_trials.files_in(Path(folder)), long_trials.OPERATIONS)
        yield Endpoint(folder)


async def _row(part: str, at: Endpoint) -> Values:
    """In one more process, whose peak memory is the row's alone."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, long_trials.__file__, part, at.address, str(long_trials.OPERATIONS)),
        stdout=asyncio.subprocess.PIPE,
    )
    told = json.loads((await process.communicate())[0])
    return {"seconds": told["seconds"], "peak memory, MiB": told["peak_mib"]}


async def _calibrated(_: Endpoint) -> Values:
    passed = [(await calibrate(check, seconds=5.0)).passed for check in queue_checks()]
    return {f"queues within the bounds, of {len(passed)}": sum(passed)}


async def _read_bare(endpoint: Endpoint) -> Values:
    """What the lab's trial reads, after a moment of the lab's in which the streams are filled."""
    async with lab.opened(POSTGRES, endpoint) as store:
        await lab.run(replace(drivers.READING, duration_s=0.1), store, kind=READ_STREAM)
        return _values(await lab.bare(drivers.reading_whole(store), drivers.CALLERS))


def _appends(callers: int, apart: Collection[str] = ()) -> Measure:
    served = partial(lab.serving_alone, "postgres")
    trial = _trial(POSTGRES, _callers(callers))
    return Measure(trial, served, PGBENCH, _pgbench(callers), apart)


@asynccontextmanager
async def _nothing() -> AsyncIterator[Endpoint]:
    yield Endpoint()


PGBENCH, BOTO3, ASYNCPG = "pgbench", "boto3", "asyncpg"
LAB = ("before", "after")
MEASURES = {
    "null": Measure(_trial(NULL, lab.TRIAL), _nothing),
    "append-8": _appends(8),
    "append-32": _appends(32),
    "append-8-lab-apart": _appends(8, LAB),
    "append-32-lab-apart": _appends(32, LAB),
    "append-8-apart": _appends(8, (*LAB, PGBENCH)),
    "append-32-apart": _appends(32, (*LAB, PGBENCH)),
    "read": Measure(
        _trial(POSTGRES, drivers.READING, READ_STREAM),
        *(lambda: lab.served("postgres"), ASYNCPG, partial(_turn, ASYNCPG, ROOT)),
    ),
    "umadb": Measure(_trial(UMADB, _callers(32)), lambda: lab.served("umadb")),
    "eventstoredb": Measure(_trial(EVENTSTOREDB, _callers(32)), drivers.double),
    "kafka": Measure(
        _trial(KAFKA, replace(_callers(kafka.CALLERS), warm_up_s=1.0)),
        *(_warm_kafka, "ProducerPerformance", _producer_performance),
    ),
    "dynamodb": Measure(_put, _warm_dynamodb, BOTO3, partial(_turn, BOTO3, ROOT)),
    "row": Measure(partial(_row, "row"), _long_trial),
    "closed-row": Measure(partial(_row, "closed-row"), _long_trial),
    "calibration": Measure(_calibrated, _nothing),
}
"""EventStoreDB's server is a double: a profile of the client. `row` is that of a long trial with a
subscriber, from its files. pgbench is on all cores, but in the two where all is kept apart."""
PEERS: Mapping[str, Turn] = {BOTO3: partial(_put, driver=BOTO3), ASYNCPG: _read_bare}
"""Those that run as a side does, in a process of their own."""


if __name__ == "__main__":
    if sys.argv[1:2] == [TURN]:
        name, where = sys.argv[2:]
        if not Path(harness.__file__).is_relative_to(os.environ["PYTHONPATH"]):
            sys.exit(f"measures {harness.__file__}, not {os.environ['PYTHONPATH']}")
        turn = PEERS.get(name) or MEASURES[name].turn
        print(json.dumps(uvloop.run(turn(Endpoint(**json.loads(where))))))
    else:
        main()

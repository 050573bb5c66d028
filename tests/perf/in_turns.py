"""The lab as it is here and as it is in another checkout, in turns, beside its peers.

    python tests/perf/in_turns.py [--turns N] DIR [MEASURE …]

DIR is a checkout of another commit. Both sides meet the same servers. Each turn is a process of
its own that runs this folder's code on its side's `harness`: DIR needs no environment, and any
commit will do whose `harness` this code can drive. Peers (pgbench, ProducerPerformance, boto3)
take their turns between the two.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
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
    """The lab's turn, the server that all sides meet, and a peer's turn."""

    turn: Turn
    served: Callable[[], AbstractAsyncContextManager[Endpoint]]
    peer: str = ""
    peer_turn: Turn | None = None


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
    sides = {"before": checkout, "after": ROOT}
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    async with measure.served() as endpoint:
        for turn in range(turns):
            print(f"measuring: {name}, turn {turn + 1} of {turns} …", file=sys.stderr, flush=True)
            for side in list(sides)[:: 1 if turn % 2 == 0 else -1]:
                for what, value in (await _turn(name, sides[side], endpoint)).items():
                    found[what][side].append(value)
            if measure.peer_turn:
                for what, value in (await measure.peer_turn(endpoint)).items():
                    found[what][measure.peer].append(value)
    for what, values in found.items():
        _add(table, f"{name}, {what}", values, measure.peer)


def _add(table: Table, label: str, values: Mapping[str, Sequence[float]], peer: str) -> None:
    for side, measured in values.items():
        table.add(f"{label}, {side}", "", measured)
    for side, other in (("after", "before"), ("before", peer), ("after", peer)):
        if values.get(other) and all(values[other]):
            pairs = zip(values[side], values[other], strict=True)
            table.add(f"{label}, {side} ÷ {other}", "", [one / two for one, two in pairs], " ×")


async def _turn(name: str, checkout: Path, endpoint: Endpoint) -> Values:
    """In a process of its own. Raises `RuntimeError` if that fails."""
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


async def _boto3(endpoint: Endpoint) -> Values:
    return await _turn(BOTO3, ROOT, endpoint)


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


async def _row(at: Endpoint) -> Values:
    """In one more process, whose peak memory is the row's alone."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, long_trials.__file__, "row", at.address, str(long_trials.OPERATIONS)),
        stdout=asyncio.subprocess.PIPE,
    )
    told = json.loads((await process.communicate())[0])
    return {"seconds": told["seconds"], "peak memory, MiB": told["peak_mib"]}


async def _calibrated(_: Endpoint) -> Values:
    passed = [(await calibrate(check, seconds=5.0)).passed for check in queue_checks()]
    return {f"queues within the bounds, of {len(passed)}": sum(passed)}


@asynccontextmanager
async def _nothing() -> AsyncIterator[Endpoint]:
    yield Endpoint()


BOTO3 = "boto3"
MEASURES = {
    "null": Measure(_trial(NULL, lab.TRIAL), _nothing),
    "append-8": Measure(
        _trial(POSTGRES, _callers(8)), lambda: lab.served("postgres"), "pgbench", _pgbench(8)
    ),
    "append-32": Measure(
        _trial(POSTGRES, _callers(32)), lambda: lab.served("postgres"), "pgbench", _pgbench(32)
    ),
    "read": Measure(_trial(POSTGRES, drivers.READING, READ_STREAM), lambda: lab.served("postgres")),
    "umadb": Measure(_trial(UMADB, _callers(32)), lambda: lab.served("umadb")),
    "eventstoredb": Measure(_trial(EVENTSTOREDB, _callers(32)), drivers.double),
    "kafka": Measure(
        _trial(KAFKA, replace(_callers(kafka.CALLERS), warm_up_s=1.0)),
        *(_warm_kafka, "ProducerPerformance", _producer_performance),
    ),
    "dynamodb": Measure(_put, _warm_dynamodb, BOTO3, _boto3),
    "row": Measure(_row, _long_trial),
    "calibration": Measure(_calibrated, _nothing),
}
"""EventStoreDB's server is a double: a profile of the client. `row` is that of a long trial with a
subscriber, from its files."""


if __name__ == "__main__":
    if sys.argv[1:2] == [TURN]:
        name, where = sys.argv[2:]
        if not Path(harness.__file__).is_relative_to(os.environ["PYTHONPATH"]):
            sys.exit(f"measures {harness.__file__}, not {os.environ['PYTHONPATH']}")
        turn = MEASURES[name].turn if name in MEASURES else lambda at: _put(at, BOTO3)
        print(json.dumps(uvloop.run(turn(Endpoint(**json.loads(where))))))
    else:
        main()

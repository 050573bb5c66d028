"""`make perf`: the speed goals beside what this machine reaches, each pair in one run, interleaved.

Run parts alone by their names: `python tests/perf null pgbench kafka`. `long-trials` takes the
number of operations, ten million by default: `python tests/perf long-trials=36000000`. What a part
spends its time on is drawn by `python tests/perf --profile pgbench`.
"""

from __future__ import annotations

import resource
import sys

import drivers
import dynamodb
import flame
import foreign
import generator
import kafka
import long_trials
import postgres
from table import Table

PARTS = {
    "recording": generator.recording,
    "null": generator.null_store,
    "processes": generator.processes,
    "open-loop": generator.open_loop,
    "calibration": generator.calibration,
    "memory": generator.memory,
    "summary": generator.summary,
    "long-trials": long_trials.after,
    "starts": postgres.starts,
    "foreign": foreign.lag,
    "designs": postgres.designs,
    "kafka": kafka.awaited,
    "kafka-groups": kafka.grouped,
    "kafka-heads": kafka.rebuilding,
    "pgbench": postgres.against_pgbench,
    "asyncpg": drivers.appends,
    "reading": drivers.reading,
    "grpc": drivers.stores,
    "dynamodb-drivers": dynamodb.drivers,
    "dynamodb-designs": dynamodb.designs,
}


def main(wanted: list[str]) -> None:
    """Run the parts asked for, all by default, and print the table."""
    asked = [each.partition("=")[::2] for each in wanted or PARTS]
    unknown = sorted({name for name, _ in asked} - set(PARTS))
    if unknown:
        sys.exit(f"unknown part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for name, operations in asked:
        if operations and (name != "long-trials" or not operations.isdecimal()):
            sys.exit(f"{name}={operations}: only long-trials takes a number of operations")
    table = Table()
    try:
        for name, operations in asked:
            print(f"measuring: {name} …", file=sys.stderr, flush=True)
            PARTS[name](table, *([int(operations)] if operations else []))
    finally:
        table.print()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--profile"]:
        flame.main(sys.argv[2:], list(PARTS))
    elif sys.argv[1:2] == [flame.CPU]:
        began = resource.getrusage(resource.RUSAGE_SELF)
        main(sys.argv[2:])
        flame.tell_cpu(began)
    else:
        main(sys.argv[1:])

"""`make perf`: the speed goals beside what this machine reaches, each pair in one run, interleaved.

Run parts alone by their names: `python tests/perf null pgbench kafka`.
"""

from __future__ import annotations

import sys

import dynamodb
import generator
import kafka
import postgres
from table import Table

PARTS = {
    "recording": generator.recording,
    "null": generator.null_store,
    "processes": generator.processes,
    "open-loop": generator.open_loop,
    "memory": generator.memory,
    "summary": generator.summary,
    "starts": postgres.starts,
    "designs": postgres.designs,
    "kafka": kafka.awaited,
    "kafka-groups": kafka.grouped,
    "kafka-heads": kafka.rebuilding,
    "pgbench": postgres.against_pgbench,
    "dynamodb-drivers": dynamodb.drivers,
    "dynamodb-designs": dynamodb.designs,
}


def main(wanted: list[str]) -> None:
    """Run the parts asked for, all by default, and print the table."""
    unknown = sorted(set(wanted) - set(PARTS))
    if unknown:
        sys.exit(f"unknown part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    table = Table()
    try:
        for name in wanted or PARTS:
            print(f"measuring: {name} …", file=sys.stderr, flush=True)
            PARTS[name](table)
    finally:
        table.print()


if __name__ == "__main__":
    main(sys.argv[1:])

"""The double as a program with the options of a server: `program.py --node-port=N --db=FOLDER …`.

It stands in for `eventstored` where no such program can be had. A second start on a folder does
not find what the first one had.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from tests.doubles.eventstoredb import Double

KNOWN = (
    "insecure", "node-ip", "node-port", "replication-ip", "replication-port", "db", "log",
    "config", "run-projections", "start-standard-projections", "mem-db",
)  # fmt: skip
LOG_BYTES = 4096
VERSION = "EventStoreDB version 23.10.8.0 (a double)"


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM. An unknown option stops the boot."""
    if arguments == ["--version"]:
        sys.stdout.write(f"{VERSION}\n")
        return 0
    options: dict[str, str] = dict(
        each.removeprefix("--").partition("=")[::2] for each in arguments
    )
    unknown = [name for name in options if name not in KNOWN]
    if unknown:
        sys.stderr.write(f"Error while parsing options: unknown option {unknown[0]}\n")
        return 1
    folder = Path(options["db"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "writer.chk").write_bytes(LOG_BYTES.to_bytes(8, "little"))
    asyncio.run(_serve(options))
    return 0


async def _serve(options: dict[str, str]) -> None:
    double = Double(port=int(options["node-port"]))
    double.state.projections = options.get("run-projections", "None") != "None"
    double.state.options["MemDb"] = options.get("mem-db", "False")
    double.state.refuses_appends_until = asyncio.get_running_loop().time() + 0.3
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await double.start()
    await over.wait()
    await double.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

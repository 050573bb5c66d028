"""Checkpoints and snapshots where a store offers them, and tampering with what was recorded."""

from __future__ import annotations

import pytest

from harness.domain.store import CheckpointStore, Position, Snapshot, SnapshotStore, Tamper

from ..subject import Subject
from .support import append, event, ids, read, read_log

TAMPERED = b'{"tampered": true}'


async def test_a_checkpoint_is_what_was_saved_last(subject: Subject):
    store = subject.store
    if not isinstance(store, CheckpointStore):
        return
    assert await store.load_checkpoint("projection") is None
    for _ in range(3):
        await append(store, "order-1")
        position = (await read_log(store))[-1].position
        await store.save_checkpoint("projection", position)
        assert await store.load_checkpoint("projection") == position
    await store.save_checkpoint("other'; --", Position((0,)))
    assert await store.load_checkpoint("projection") == position


async def test_a_checkpoint_is_there_for_the_next_connection(subject: Subject):
    store = subject.store
    if not isinstance(store, CheckpointStore):
        return
    await append(store, "order-1")
    position = (await read_log(store))[-1].position
    await store.save_checkpoint("projection", position)
    other = await subject.connect()
    assert await other.load_checkpoint("projection") == position
    assert await read_log(other, after=await other.load_checkpoint("projection")) == []


@pytest.mark.declares(newest_snapshot=(True,))
async def test_a_newer_snapshot_replaces_an_older_one_and_never_the_other_way(subject: Subject):
    store = subject.store
    if not isinstance(store, SnapshotStore):
        return
    assert await store.load_snapshot("order-1") is None
    for version in (5, 9, 7, 0):
        await store.save_snapshot(Snapshot("order-1", version, b'{"at": %d}' % version))
    await store.save_snapshot(Snapshot("order-2", 1, b'{"at": 1}'))
    kept = await store.load_snapshot("order-1")
    assert (kept.stream, kept.version) == ("order-1", 9)
    assert kept.data.replace(b" ", b"") == b'{"at":9}'


async def test_what_is_recorded_cannot_be_changed_where_that_is_enforced(subject: Subject):
    store = subject.store
    assert subject.declared.append_only != "enforced" or isinstance(store, Tamper)
    if not isinstance(store, Tamper):
        return
    await append(store, "order-1", [event(), event(), event()])
    before = await read(store, "order-1")
    overwritten = await store.overwrite("order-1", 1, TAMPERED)
    changed = await read(store, "order-1") != before
    assert overwritten == changed
    deleted = await store.delete("order-1", 2)
    gone = before[2].id not in ids(await read_log(store))
    assert deleted == gone
    if subject.declared.append_only == "enforced":
        assert not overwritten
        assert not deleted

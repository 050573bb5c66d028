"""A process of the lab's own that is killed as it opens or writes a store: nobody waits for it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from types import SimpleNamespace

from harness.conformance.framework import own_process
from harness.domain.factory import StoreFactory
from harness.domain.store import Endpoint
from harness.stores.sqlite import SqliteOptions, SqliteStore


class DiesAsItOpens(SqliteStore):
    @classmethod
    async def connect(cls, endpoint, options):
        os._exit(3)


class DiesOnceItIsOpen(SqliteStore):
    """By its own hand: how long it takes to open is the machine's business."""

    @classmethod
    async def connect(cls, endpoint, options):
        signal.setitimer(signal.ITIMER_REAL, 0)
        store = await super().connect(endpoint, options)
        asyncio.get_running_loop().call_later(0.1, os._exit, 3)
        return store


def context(adapter: type[SqliteStore], folder: Path):
    """As much of a check's context as such a process is started with."""
    factory = StoreFactory(adapter, Endpoint(address=str(folder)), SqliteOptions())
    names = iter(f"stream-{number}" for number in range(own_process.WRITERS))
    return SimpleNamespace(factory=factory, stream=lambda: next(names))


async def test_a_process_that_dies_without_a_word_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(own_process, "STARTED_WITHIN_S", 1e6)
    dead = context(DiesAsItOpens, tmp_path)
    made = await own_process.write_until(dead, own_process.nothing_else, after_s=0.0)
    assert (made.attempts, made.exit_code) == ([], 3)


async def test_a_death_as_it_opens_is_known_from_one_after_it(tmp_path):
    assert await own_process.kill_while_it_opens(context(DiesAsItOpens, tmp_path), 60.0)
    assert await own_process.kill_while_it_opens(context(SqliteStore, tmp_path), 1e-6)
    assert not await own_process.kill_while_it_opens(context(DiesOnceItIsOpen, tmp_path), 60.0)

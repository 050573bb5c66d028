"""Checks 51 and 53 on real disks of the lab's own: who loses power, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli.conformance import conformance
from harness.conformance import (
    FAST,
    CheckResult,
    CheckVerdict,
    Conclusion,
    StoreUnderTest,
    all_checks,
    judge,
    measure,
)
from harness.conformance.framework.matrix import Column
from harness.domain.durability import Durability, PowerLosses
from harness.domain.errors import NoServer
from harness.domain.factory import StoreFactory
from harness.domain.faults import FaultKind
from harness.domain.store import Endpoint
from harness.servers import lab_disk_hindrance, probe, serving
from harness.servers.library import LibraryOnLabDisk
from harness.stores.memory.store import MemoryOptions, MemoryStore
from harness.stores.sqlite import SqliteOptions, SqliteStore

from .broken.machine import Machine, Served
from .broken.trouble import SyncsLate
from .catching import QUICK, results_of

BRIEF = replace(FAST, seconds=0.3, processes=0)
NO_DISK = lab_disk_hindrance()
with_a_disk = pytest.mark.skipif(bool(NO_DISK), reason=NO_DISK or "a disk of the lab's own")


async def on_a_disk(
    options: SqliteOptions, scratch: Path, numbers: Sequence[int]
) -> dict[int, CheckResult]:
    async with AsyncExitStack() as stack:
        disk = LibraryOnLabDisk("sqlite", scratch=scratch, clients_may_end=True)
        stack.push_async_callback(disk.stop)
        await disk.start()

        async def offer():
            return disk.endpoint, disk

        place = Endpoint(str(scratch), "eslab_trouble")
        factory = StoreFactory(SqliteStore, place, options)
        async with factory.set_up():
            under_test = StoreUnderTest("sqlite", factory, lab_disk=offer)
            checks = [all_checks()[number] for number in numbers]
            return dict(await measure(under_test, checks, BRIEF))


@with_a_disk
async def test_sqlite_that_syncs_loses_nothing_to_power_losses_and_a_full_disk(tmp_path):
    results = await on_a_disk(SqliteOptions(), tmp_path, (51, 53))
    assert {n: (e.verdict, e.why) for n, e in results.items()} == dict.fromkeys(
        (51, 53), (CheckVerdict.HOLDS, "")
    )
    measured = results[51].power_losses
    assert measured is not None
    assert measured.lost == 0
    assert measured.losses >= 5


@with_a_disk
async def test_sqlite_that_does_not_sync_is_seen_to_lose(tmp_path):
    options = SqliteOptions(synchronous="normal")
    result = (await on_a_disk(options, tmp_path, [51]))[51]
    assert result.verdict is CheckVerdict.FAILS
    assert result.power_losses is not None
    assert result.power_losses.lost > 0
    declared = SqliteStore.declares(options)
    judged = judge(all_checks()[51], result, declared)
    assert judged.conclusion is Conclusion.FAILS_NOT_PROMISED
    column = Column("sqlite", declared, {51: judged})
    assert column.durability is Durability.PROCESS_CRASH


@with_a_disk
@pytest.mark.skipif(not probe("postgres", "native").ready, reason="native postgres")
async def test_a_server_on_such_a_disk_comes_back_and_counts_as_up_again(tmp_path):
    async with serving("postgres", way="native", scratch=tmp_path, on_lab_disk=True) as server:
        assert not any(server.why_not(kind) for kind in (FaultKind.FILL_DISK, FaultKind.LOSE_POWER))
        before = server.endpoint.pid
        await server.lose_power()
        assert server.statistics().began_s is None
        await server.restart()
        assert server.endpoint.pid != before
        await server.fill_disk()
        await server.free_disk()


async def test_a_declared_power_safe_store_that_loses_is_a_defect():
    result = (await results_of(SyncsLate, numbers={51}))[51]
    promising = replace(SyncsLate.declares(MemoryOptions()), durability=Durability.POWER_LOSS)
    judged = judge(all_checks()[51], result, promising)
    assert judged.defect
    column = Column("late", promising, {51: judged})
    assert column.durability is Durability.PROCESS_CRASH
    assert replace(column, allows=Durability.MEMORY).durability is Durability.MEMORY


class LosesNoPower(Machine):
    """Its disk's power cannot be cut: nobody is cut off."""

    async def lose_power(self):
        """Nothing."""


class NeverStartsAgain(Machine):
    """Its data is corrupt."""

    async def restart(self, *, cold=False):
        raise NoServer("Corrupt database detected")


class NeverFills(Machine):
    async def fill_disk(self):
        """Nothing."""


class StaysFull(Machine):
    async def free_disk(self):
        """Nothing."""


async def measured(machine: type[Machine], number: int) -> CheckResult:
    """A check on a healthy store whose machine is a special one."""
    namespace = f"eslab_{machine.__name__.lower()}"
    server = machine(namespace)
    store = type("Served", (Served,), {"machine": server})
    factory = StoreFactory(store, Endpoint(namespace=namespace), MemoryOptions())
    async with factory.set_up():
        under_test = StoreUnderTest("served", factory, server)
        return (await measure(under_test, [all_checks()[number]], QUICK))[number]


async def test_power_that_stays_proves_nothing(monkeypatch):
    monkeypatch.setattr("harness.conformance.checks.trouble.TRIES", 1)
    result = await measured(LosesNoPower, 51)
    assert result.verdict is CheckVerdict.NOT_REACHED
    assert "0 power losses that cut a writer off, at least 5 needed" in result.why


@pytest.mark.parametrize("number", [52, 56])
async def test_a_server_that_does_not_start_again_after_a_kill_is_a_finding(number):
    result = await measured(NeverStartsAgain, number)
    assert result.verdict is CheckVerdict.FAILS
    assert result.why == "does not start again after a kill"
    assert "Corrupt database detected" in result.evidence[0].result


async def test_a_server_that_does_not_start_again_after_a_power_loss_is_a_finding():
    result = await measured(NeverStartsAgain, 51)
    assert result.verdict is CheckVerdict.FAILS
    assert result.why == "does not start again after a power loss"
    assert result.power_losses is not None
    assert "Corrupt database detected" in result.power_losses.no_start


async def test_a_disk_that_does_not_fill_up_proves_nothing(monkeypatch):
    monkeypatch.setattr("harness.conformance.framework.full_disk.BATCHES_MAX", 20)
    result = await measured(NeverFills, 53)
    assert result.verdict is CheckVerdict.NOT_REACHED
    assert "found room on a full disk" in result.why


async def test_a_store_that_takes_nothing_when_there_is_room_again_is_a_finding():
    result = await measured(StaysFull, 53)
    assert result.verdict is CheckVerdict.FAILS
    assert result.why == "takes no append when there is room again"


async def test_without_a_disk_of_the_labs_own_the_reason_is_given():
    result = (await results_of(MemoryStore, numbers={51}))[51]
    assert result.out_of_reach
    assert result.why == "no disk that the lab could hurt"


@pytest.mark.parametrize(
    ("losses", "declared", "follows"),
    [
        (PowerLosses(5, 100, 0, 0.0), Durability.POWER_LOSS, Durability.POWER_LOSS),
        (PowerLosses(5, 100, 0, 0.0), Durability.PROCESS_CRASH, Durability.POWER_LOSS),
        (PowerLosses(5, 100, 1, 0.1), Durability.POWER_LOSS, Durability.PROCESS_CRASH),
        (PowerLosses(5, 100, 1, 0.1), Durability.UNKNOWN, Durability.PROCESS_CRASH),
        (PowerLosses(5, 100, 1, 0.1), Durability.BOUNDED_LOSS, Durability.BOUNDED_LOSS),
        (PowerLosses(5, 100, 1, 1.5, "", 0.6), Durability.BOUNDED_LOSS, Durability.BOUNDED_LOSS),
        (PowerLosses(5, 100, 1, 1.7, "", 0.6), Durability.BOUNDED_LOSS, Durability.MEMORY),
        (PowerLosses(5, 100, 1, 0.1), Durability.MEMORY, Durability.MEMORY),
        (PowerLosses(1, 100, 0, 0.0, "corrupt"), Durability.POWER_LOSS, Durability.PROCESS_CRASH),
    ],
)
def test_the_class_follows_from_what_was_lost(losses, declared, follows):
    assert losses.durability(declared) is follows


def test_a_dry_run_says_what_this_machine_cannot_reach(monkeypatch, capsys):
    reason = "a disk that loses power needs root, or the right to mount"
    monkeypatch.setattr("harness.servers.lab_disk_hindrance", lambda: reason)
    conformance(stores="memory", checks="50-53", dry_run=True)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2:] == [f"{number} will not be reached: {reason}" for number in (51, 53)]
    conformance(stores="memory", checks="50,52", dry_run=True)
    assert "not be reached" not in capsys.readouterr().out

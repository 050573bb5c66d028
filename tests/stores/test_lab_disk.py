"""A session whose data lies on disks of the lab's own, and servers beside it for checks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from harness.domain.faults import FaultKind
from harness.domain.server import UnsupportedByServer
from harness.domain.workload import Catalogue
from harness.run import session as session_module
from harness.run.session import Session
from harness.scenario.names import StoreRef
from harness.servers import lab_disk_hindrance, probe
from harness.servers.native import guardian
from harness.stores import kinds
from harness.workloads import kinds as workloads

NO_DISK = lab_disk_hindrance()
DISK_FAULTS = [kind for kind in FaultKind if kind.of_the_disk]
with_a_disk = pytest.mark.skipif(bool(NO_DISK), reason=NO_DISK or "a disk of the lab's own")
needs_postgres = pytest.mark.skipif(not probe("postgres", "native").ready, reason="native postgres")


def store(technology: str) -> StoreRef:
    return StoreRef(technology, options=kinds()[technology].options())


@asynccontextmanager
async def session(out: Path, *, lab_disk: bool = False) -> AsyncIterator[Session]:
    async with AsyncExitStack() as stack:
        made = Session(
            Catalogue(kinds(), workloads()),
            out=out,
            stack=stack,
            note=lambda _: None,
            lab_disk=lab_disk,
        )
        made.choose_ways(["postgres", "sqlite", "memory"], "native")
        yield made


@with_a_disk
async def test_sqlite_lies_on_the_disk_that_its_run_asked_for_and_the_manifest_says_so(tmp_path):
    async with session(tmp_path, lab_disk=True) as run:
        endpoint, server = await run.place(store("sqlite"), "1")
        assert server is None
        disk = run.disks["sqlite"]
        assert endpoint.address == disk.endpoint.address
        assert run.described_places()["sqlite"]["lab_disk"] is True
        assert disk.why_not(FaultKind.FILL_DISK) == ""
        assert "processes of the lab" in disk.why_not(FaultKind.LOSE_POWER)
        with pytest.raises(UnsupportedByServer, match="no lose power"):
            await disk.lose_power()
        again, _ = await run.place(store("sqlite"), "2")
        assert again.address == endpoint.address
    assert not [point for point, _ in guardian.mounts() if point.startswith(str(tmp_path))]
    assert list(tmp_path.iterdir()) == []


@with_a_disk
@needs_postgres
async def test_a_server_beside_the_runs_is_another_and_a_dead_one_is_replaced(tmp_path):
    async with session(tmp_path) as run:
        _, main = await run.place(store("postgres"), "1")
        assert main is not None
        assert all("not on a disk" in main.why_not(kind) for kind in DISK_FAULTS)
        assert "lab_disk" not in run.described_places()["postgres"]
        endpoint, beside = await run.beside(store("postgres"))
        assert endpoint.address != main.endpoint.address
        assert not any(map(beside.why_not, DISK_FAULTS))
        assert (await run.beside(store("postgres")))[1] is beside
        await beside.lose_power()
        _, fresh = await run.beside(store("postgres"))
        assert fresh is not beside
        assert main.statistics().began_s is not None


async def test_what_keeps_everything_in_memory_has_no_disk(tmp_path):
    async with session(tmp_path) as run:
        with pytest.raises(UnsupportedByServer, match="in memory"):
            await run.beside(store("memory"))


async def test_where_there_can_be_no_disk_everything_runs_as_ever_and_says_why(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(session_module, "lab_disk_hindrance", lambda: "no loop devices here")
    monkeypatch.setattr(
        "harness.servers.library.lab_disk_hindrance", lambda: "no loop devices here"
    )
    async with session(tmp_path, lab_disk=True) as run:
        endpoint, _ = await run.place(store("sqlite"), "1")
        assert endpoint.address == str(run.scratch)
        assert "lab_disk" not in run.described_places()["sqlite"]
        with pytest.raises(UnsupportedByServer, match="no loop devices here"):
            await run.beside(store("sqlite"))


@needs_postgres
async def test_a_server_without_such_a_disk_starts_and_names_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.servers.native.server.lab_disk_hindrance", lambda: "no root")
    async with session(tmp_path, lab_disk=True) as run:
        _, server = await run.place(store("postgres"), "1")
        assert server is not None
        assert server.why_not(FaultKind.FILL_DISK) == "no root"
        assert server.why_not(FaultKind.KILL_SERVER) == ""
        with pytest.raises(UnsupportedByServer, match="no root"):
            await server.lose_power()

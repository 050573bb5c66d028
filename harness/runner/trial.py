"""One trial: connect, prepare, warm up, measure, verify. Whatever was learned is kept."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness import costs
from harness.catalogue import Catalogue
from harness.errors import (
    LabError,
    ReadFailed,
    Refused,
    StoreError,
    StoreUnavailable,
    UnsupportedByStore,
)
from harness.generator.conducting import Crew, Measured, conduct
from harness.generator.events import EventFactory
from harness.generator.files import TrialFiles
from harness.generator.here import working_here
from harness.generator.process import Post
from harness.generator.processes import working_apart
from harness.generator.progress import Watcher
from harness.generator.shard import ALONE
from harness.history import Verification
from harness.results import RunFolder
from harness.runner import checking
from harness.runner.opening import Opening, durability, namespace
from harness.runner.rows import Finding
from harness.runner.sampling import Look, Sampler
from harness.runner.staffing import processes
from harness.scenario.types import Trial
from harness.servers.protocol import Server
from harness.store import Adapter
from harness.workload import Subscribing, Workload


@dataclass(frozen=True, slots=True)
class TrialRun:
    """Everything one trial needs."""

    trial: Trial
    how: Opening
    catalogue: Catalogue
    folder: RunFolder
    server: Server | None
    watcher: Watcher | None

    async def run(self) -> Finding:
        """Carry the trial out. Only a cancellation and a `LabError` leave it."""
        finding = Finding(started_at=datetime.now(UTC).isoformat(timespec="milliseconds"))
        finding.guarantees = self.how.guarantees
        finding.durability = self.how.guarantees.durability
        try:
            await self._carry_out(finding)
        except UnsupportedByStore as error:
            finding.status, finding.message = "unsupported", str(error)
        except StoreError as error:
            finding.status, finding.message = "failed", f"{type(error).__name__}: {error}"
        except LabError:
            raise
        except Exception as error:
            finding.status, finding.message = "failed", self._log_bug(error)
        return finding

    @property
    def files(self) -> TrialFiles:
        """Where this trial's rows go."""
        path, name = self.folder.table_path, self.trial.id
        return TrialFiles(path("samples", name), path("appends", name), path("deliveries", name))

    async def _carry_out(self, finding: Finding) -> None:
        async with namespace(self.how) as control:
            finding.settings = dict(await control.settings())
            finding.durability = durability(self.how, finding.settings)
            finding.measured = await self._measure(finding.looks)
            if not self.trial.verify.enabled:
                return
            if not self.how.guarantees.readable:
                finding.verified = "impossible"
                return
            await self._verify(control, finding)
            finding.compacted_bytes = await _compacted_bytes(control)

    def _make_workload(self) -> Workload:
        kind = self.catalogue.workloads[self.trial.workload]
        workload: Workload = kind.make(self.trial.parameters)
        return workload

    async def _measure(self, looks: list[Look]) -> Measured:
        async with self._crew() as crew:
            with Sampler(self.server, looks, crew.cpu_s):
                return await conduct(
                    crew, self.trial, between=self._cool_down, server_counts=self._server_counts
                )

    @asynccontextmanager
    async def _crew(self) -> AsyncIterator[Crew]:
        """The trial's workers: here, or in processes of their own."""
        count = processes(self.trial, self.how.guarantees)
        if count > 1:
            async with working_apart(self._post(), count, self.files, self.watcher) as apart:
                yield apart
            return
        workload = self._make_workload()
        sinks = self.files.sinks(deliveries=isinstance(workload, Subscribing))
        async with (
            self.how.opened() as store,
            working_here(self.trial, store, workload, sinks, self.watcher) as here,
        ):
            yield here

    def _post(self) -> Post:
        return Post(
            trial=self.trial,
            how=self.how,
            kind=self.catalogue.workloads[self.trial.workload],
            files=self.files,
            shard=ALONE,
            watched=self.watcher is not None,
            errors=self._log_path,
            loop=type(asyncio.get_running_loop()),
        )

    async def _cool_down(self) -> None:
        """`cache: cold`: the server starts again with nothing of its data in memory."""
        if self.trial.streams.cache == "cold":
            if self.server is None or not self.server.controllable:
                raise Refused(
                    f"{self.trial.store.key}: cache: cold needs a server that the lab can restart"
                )
            await self.server.restart(cold=True)

    def _server_counts(self) -> costs.Counts:
        """What is seen of the server from outside."""
        if self.server is None:
            return {}
        seen = self.server.statistics()
        counts = {
            costs.SERVER_CPU_S: seen.cpu_s,
            costs.DISK_BYTES: seen.disk_bytes,
            costs.LOG_BYTES: seen.log_bytes,
        }
        return {name: count for name, count in counts.items() if count is not None}

    async def _verify(self, control: Adapter, finding: Finding) -> None:
        try:
            finding.verification = await self._read_back(control, finding)
        except (ReadFailed, StoreUnavailable) as error:
            if self.server is None or not self.server.controllable:
                finding.verified, finding.message = "failed", f"not verified: {error}"
                return
            await self.server.restart()
            finding.server_killed = True
            finding.message = "the server was restarted to verify what was written"
            finding.verification = await self._read_back(control, finding)
        found = finding.verification.counts
        finding.verified = "ok" if not sum(found.values()) else "findings"

    async def _read_back(self, control: Adapter, finding: Finding) -> Verification:
        assert finding.measured is not None
        workload = self._make_workload()
        factory = EventFactory(self.trial.events, self.trial.seed)
        return await checking.verify(
            self.trial,
            control,
            self.how.guarantees,
            self.files,
            streams=finding.measured.streams,
            subscribers=workload.subscribers if isinstance(workload, Subscribing) else 0,
            base=factory.base,
            data_of=factory.data_of,
        )

    @property
    def _log_path(self) -> Path:
        return self.folder.path / "logs" / f"{self.trial.id}.log"

    def _log_bug(self, error: Exception) -> str:
        log = self._log_path
        log.parent.mkdir(exist_ok=True)
        log.write_text("".join(traceback.format_exception(error)))
        return f"{type(error).__name__}: {error} (logs/{log.name})"


async def _compacted_bytes(control: Adapter) -> int | None:
    """What its data takes after the store's own compaction, where it has one."""
    if not (isinstance(control, costs.Compacting) and isinstance(control, costs.Counted)):
        return None
    try:
        await control.compact()
        counted = await control.counts()
    except StoreError:
        return None
    return round(counted[costs.DATA_BYTES]) if costs.DATA_BYTES in counted else None

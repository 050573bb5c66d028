"""One trial: connect, prepare, warm up, measure, verify. Whatever was learned is kept."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import UTC, datetime

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
from harness.generator.following import DELIVERY_COLUMNS
from harness.generator.journal import APPEND_COLUMNS
from harness.generator.progress import Watcher
from harness.generator.samples import SAMPLE_COLUMNS
from harness.generator.worker import Measured, Sinks, Worker
from harness.history import Verification
from harness.results import RunFolder, TableWriter
from harness.runner import checking
from harness.runner.opening import Opening, durability, namespace
from harness.runner.rows import Finding
from harness.runner.sampling import Sampler
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
    def files(self) -> checking.TrialFiles:
        """Where this trial's rows go."""
        path, name = self.folder.table_path, self.trial.id
        return checking.TrialFiles(
            path("samples", name), path("appends", name), path("deliveries", name)
        )

    async def _carry_out(self, finding: Finding) -> None:
        async with namespace(self.how) as control:
            finding.settings = dict(await control.settings())
            finding.durability = durability(self.how, finding.settings)
            workload = self._make_workload()
            with Sampler(self.server, finding.looks):
                measured, worker = await self._measure(workload)
            finding.measured = measured
            if not self.trial.verify.enabled:
                return
            if not self.how.guarantees.readable:
                finding.verified = "impossible"
                return
            await self._verify(control, worker, finding)

    def _make_workload(self) -> Workload:
        kind = self.catalogue.workloads[self.trial.workload]
        workload: Workload = kind.make(self.trial.parameters)
        return workload

    async def _measure(self, workload: Workload) -> tuple[Measured, Worker]:
        async with self.how.opened() as store:
            worker = Worker(self.trial, store, workload, self._sinks(workload))
            try:
                await worker.fill()
                await self._cool_down()
                return await worker.measure(self.watcher, self._server_counts), worker
            finally:
                worker.close()

    def _sinks(self, workload: Workload) -> Sinks:
        files = self.files
        deliveries = (
            TableWriter(files.deliveries, DELIVERY_COLUMNS)
            if isinstance(workload, Subscribing)
            else None
        )
        return Sinks(
            TableWriter(files.samples, SAMPLE_COLUMNS),
            TableWriter(files.appends, APPEND_COLUMNS),
            deliveries,
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

    async def _verify(self, control: Adapter, worker: Worker, finding: Finding) -> None:
        try:
            finding.verification = await self._read_back(control, worker, finding)
        except (ReadFailed, StoreUnavailable) as error:
            if self.server is None or not self.server.controllable:
                finding.verified, finding.message = "failed", f"not verified: {error}"
                return
            await self.server.restart()
            finding.server_killed = True
            finding.message = "the server was restarted to verify what was written"
            finding.verification = await self._read_back(control, worker, finding)
        found = finding.verification.counts
        finding.verified = "ok" if not sum(found.values()) else "findings"

    async def _read_back(self, control: Adapter, worker: Worker, finding: Finding) -> Verification:
        assert finding.measured is not None
        return await checking.verify(
            self.trial,
            control,
            self.how.guarantees,
            self.files,
            streams=finding.measured.streams,
            subscribers=worker.subscribers,
            base=worker.factory.base,
            data_of=worker.factory.data_of,
        )

    def _log_bug(self, error: Exception) -> str:
        log = self.folder.path / "logs" / f"{self.trial.id}.log"
        log.parent.mkdir(exist_ok=True)
        log.write_text("".join(traceback.format_exception(error)))
        return f"{type(error).__name__}: {error} (logs/{log.name})"

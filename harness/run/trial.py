"""One trial: connect, prepare, warm up, measure, verify. All results are kept."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from harness import verification
from harness.domain import costs
from harness.domain.cancellation import raise_if_cancelled
from harness.domain.errors import (
    LabError,
    ReadFailed,
    Refused,
    StoreError,
    StoreUnavailable,
    UnsupportedByStore,
)
from harness.domain.factory import StoreFactory
from harness.domain.outcome import Outcome
from harness.domain.server import Server
from harness.domain.store import Adapter, BoundsItsLoss, Emulated, EventStore, Guarantees
from harness.domain.workload import Audited, Catalogue, Subscribing, Workload
from harness.load.coordinator import Measured, WorkerGroup, coordinate, inline_workers
from harness.load.events import EventFactory
from harness.load.progress import Watcher
from harness.load.recording_store import READ_COLUMNS
from harness.load.trial_files import TrialFiles, blocks
from harness.load.worker import ALONE
from harness.load.worker_processes import WorkerSpec, worker_processes
from harness.results import RunFolder
from harness.results.folder import Table
from harness.run.fault_sightings import oldest_lost_s
from harness.run.faults import FaultRun, Targets, failure
from harness.run.sampling import Sampler
from harness.run.trial_result import RuleCounts, TrialFacts, loses_too_much
from harness.run.worker_allocation import processes
from harness.scenario.model import Trial, Verify


def fitted(trial: Trial, catalogue: Catalogue, guarantees: Guarantees) -> Trial:
    """The trial with what its workload does on a store with these guarantees.

    Raises `UnsupportedByStore` where it can do nothing there.
    """
    fit = catalogue.workloads[trial.workload].fitted
    if fit is None:
        return trial
    parameters, flags = fit(trial.parameters, guarantees)
    return replace(trial, parameters=parameters, fitting=tuple(flags))


BROKEN_READS_MAX = 3
READ_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class TrialRun:
    """Everything one trial needs."""

    trial: Trial
    how: StoreFactory
    catalogue: Catalogue
    folder: RunFolder
    server: Server | None
    watcher: Watcher | None
    targets: Targets | None = None
    """What its faults hit; `None` for a trial without any."""

    async def run(self) -> TrialFacts:
        """Run the trial. Raises only a cancellation or a `LabError`."""
        facts = TrialFacts(started_at=datetime.now(UTC).isoformat(timespec="milliseconds"))
        facts.guarantees = self.how.guarantees
        facts.durability = self.how.guarantees.durability
        try:
            await self._carry_out(facts)
        except UnsupportedByStore as error:
            facts.status, facts.message = "unsupported", str(error)
        except StoreError as error:
            facts.status, facts.message = "failed", f"{type(error).__name__}: {error}"
        except LabError:
            if not facts.server_is_down:
                raise
        except Exception as error:
            facts.status, facts.message = "failed", self._log_bug(error)
        finally:
            raise_if_cancelled()
        if failed := failure(facts.faults):
            facts.status, facts.message = "failed", failed
        return facts

    @property
    def files(self) -> TrialFiles:
        """Where this trial's rows go."""
        path, name = self.folder.table_path, self.trial.id
        tables: tuple[Table, ...] = ("samples", "appends", "deliveries", "reads")
        return TrialFiles(*(path(each, name) for each in tables))

    async def _carry_out(self, facts: TrialFacts) -> None:
        async with self.how.set_up() as control:
            facts.settings = dict(await control.settings())
            facts.guarantees = self.how.on_server_with(facts.settings).guarantees
            facts.durability = self.how.adapter.durability_of(facts.settings)
            if isinstance(control, BoundsItsLoss):
                facts.loss_bound_s = control.loss_bound_s(facts.settings)
            if isinstance(control, Emulated):
                facts.emulator = control.emulator_of(facts.settings)
            facts.measured = await self._measure(facts)
            if self.trial.verify is None or facts.server_is_down:
                return
            if not self.how.guarantees.readable:
                facts.verified = "impossible"
                return
            await self._verify(control, facts)
            await self._audit(control, facts)
            facts.compacted_bytes = await _compacted_bytes(control)

    def _make_workload(self) -> Workload:
        kind = self.catalogue.workloads[self.trial.workload]
        workload: Workload = kind.make(self.trial.parameters)
        return workload

    async def _measure(self, facts: TrialFacts) -> Measured:
        faults = FaultRun(self.trial.faults, self.targets or Targets(self.server))
        facts.faults = faults.occurrences
        try:
            async with self._workers() as workers:
                with Sampler(self.server, facts.looks, workers.cpu_s):
                    return await coordinate(
                        workers,
                        self.trial,
                        between=self._cool_down,
                        during=faults.during if self.trial.faults else None,
                        server_counts=self._server_counts,
                    )
        finally:
            facts.server_is_down = faults.server_is_down

    @asynccontextmanager
    async def _workers(self) -> AsyncIterator[WorkerGroup]:
        """The trial's workers: here, or in processes of their own.

        Beside faults even a single one: else a busy generator would delay them.
        """
        count = processes(self.trial, self.how.guarantees)
        if count > 1 or (self.trial.faults and self.server is not None):
            async with worker_processes(self._spec(), count, self.files, self.watcher) as apart:
                yield apart
            return
        workload = self._make_workload()
        sinks = self.files.sinks(deliveries=isinstance(workload, Subscribing))
        async with (
            self.how.opened() as store,
            inline_workers(self.trial, store, workload, sinks, self.watcher) as here,
        ):
            yield here

    def _spec(self) -> WorkerSpec:
        return WorkerSpec(
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
        """The server's costs, counted from outside."""
        if self.server is None:
            return {}
        seen = self.server.statistics()
        counts = {
            costs.SERVER_CPU_S: seen.cpu_s,
            costs.DISK_BYTES: seen.disk_bytes,
            costs.LOG_BYTES: seen.log_bytes,
            costs.began(costs.SERVER_PROCESS): seen.began_s,
            costs.began(costs.SERVER_CPU_S): seen.began_s,
        }
        return {name: count for name, count in counts.items() if count is not None}

    async def _verify(self, control: Adapter, facts: TrialFacts) -> None:
        try:
            facts.verification = await self._read_back_after_faults(control, facts)
        except (ReadFailed, StoreUnavailable) as error:
            raise_if_cancelled()
            if self.server is None or not self.server.controllable:
                facts.verified, facts.message = "failed", f"not verified: {error}"
                return
            await self.server.restart()
            facts.server_killed = True
            facts.message = "the server was restarted to verify what was written"
            facts.verification = await self._read_back(control, facts)
        facts.verified = "ok" if facts.verification.ok else "findings"
        facts.oldest_lost_s = oldest_lost_s(
            facts.verification.lost_events, self.files, facts.faults
        )
        if loses_too_much(facts) and not facts.message:
            facts.message = (
                f"lost an append that had been acknowledged for {facts.oldest_lost_s:.1f} s, where"
                f" the settings bound a loss to {facts.loss_bound_s:g} s"
            )

    async def _read_back_after_faults(
        self, control: Adapter, facts: TrialFacts
    ) -> verification.Verification:
        """The first reads may meet the connections that a fault broke."""
        for _ in range(BROKEN_READS_MAX if self.trial.faults else 0):
            try:
                return await self._read_back(control, facts)
            except (ReadFailed, StoreUnavailable):
                raise_if_cancelled()
                await asyncio.sleep(READ_AGAIN_S)
        return await self._read_back(control, facts)

    async def _audit(self, control: Adapter, facts: TrialFacts) -> None:
        """Whether the workload's own rules hold, if it has any and the log could be read back."""
        workload = self._make_workload()
        if isinstance(workload, Audited) and facts.verified != "failed":
            broken = await workload.audit(control)
            facts.rules = RuleCounts.of(broken, promised=workload.keeps_rules)

    async def _read_back(self, control: Adapter, facts: TrialFacts) -> verification.Verification:
        assert facts.measured is not None
        workload = self._make_workload()
        factory = EventFactory(self.trial.events, self.trial.seed)
        return await read_back(
            self.trial,
            control,
            self.how.guarantees,
            self.files,
            streams=facts.measured.streams,
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
        text = "".join(traceback.format_exception(error))
        log.write_text(text, encoding="utf-8", errors="backslashreplace")
        return f"{type(error).__name__}: {error} (logs/{log.name})"


async def _compacted_bytes(control: Adapter) -> int | None:
    """Size of its data after the store's own compaction, if it has one."""
    if not (isinstance(control, costs.Compacting) and isinstance(control, costs.Counted)):
        return None
    try:
        await control.compact()
        counted = await control.counts()
    except StoreError:
        raise_if_cancelled()
        return None
    return round(counted[costs.DATA_BYTES]) if costs.DATA_BYTES in counted else None


_APPEND = ("op", "stream", "first", "count", "expected", "version")


@dataclass(frozen=True, slots=True)
class _Streams:
    """Streams by number. Where processes numbered one twice, its first number stands for it."""

    names: Sequence[str]
    first: NDArray[np.int64] | None
    """By number; `None` where no stream has two."""

    @classmethod
    def of(cls, names: Sequence[str], known: int) -> _Streams:
        """The first `known` names are the scenario's, which have one number each."""
        first: dict[str, int] = {}
        numbers = [
            first.setdefault(name, known + place) for place, name in enumerate(names[known:])
        ]
        if len(first) == len(numbers):
            return cls(names, None)
        once = [
            name if first[name] == known + place else "" for place, name in enumerate(names[known:])
        ]
        return cls([*names[:known], *once], np.array([*range(known), *numbers], np.int64))

    def numbered(self, stream: NDArray[np.int64]) -> NDArray[np.int64]:
        """A column of numbers, each stream with one of them. Every number is in range."""
        return stream if self.first is None else self.first[stream]


def all_appends(files: TrialFiles, streams: _Streams) -> Iterator[verification.Appends]:
    """Every append of the trial, in blocks: those in the operations' own rows, then the others."""
    for own in blocks(files.samples, _APPEND):
        written = own["count"] > 0
        columns = {name: own[name][written] for name in _APPEND}
        columns["stream"] = streams.numbered(columns["stream"])
        acknowledged = np.full(len(columns["op"]), int(Outcome.OK))
        yield verification.Appends(**columns, outcome=acknowledged)
    for others in blocks(files.appends, (*_APPEND, "outcome")):
        others["stream"] = streams.numbered(others["stream"])
        yield verification.Appends(**others)


def all_deliveries(
    files: TrialFiles, subscribers: int, streams: _Streams
) -> Iterator[verification.Deliveries]:
    """What each subscriber received, in the order of handling, in blocks."""
    nothing = np.empty(0, np.int64)
    yield verification.Deliveries(nothing, nothing, nothing, nothing, subscribers)
    for rows in blocks(files.deliveries, ("subscriber", "event", "stream", "version")):
        stream = streams.numbered(rows["stream"])
        yield verification.Deliveries(
            rows["subscriber"], rows["event"], stream, rows["version"], subscribers
        )


def all_readings(files: TrialFiles, streams: _Streams) -> verification.Readings | None:
    """What clients' reads showed, and what was acknowledged when, in blocks; `None` without any."""
    if files.reads is None or not files.reads.exists():
        return None
    return verification.Readings(
        _head_reads(files.reads, streams), _all_acknowledgements(files, streams)
    )


def _head_reads(path: Path, streams: _Streams) -> Iterator[verification.HeadReads]:
    for rows in blocks(path, READ_COLUMNS):
        rows["stream"] = streams.numbered(rows["stream"])
        yield verification.HeadReads(**rows)


def _all_acknowledgements(
    files: TrialFiles, streams: _Streams
) -> Iterator[verification.Acknowledgements]:
    for path, at_ns in ((files.samples, "done_ns"), (files.appends, "ended_ns")):
        for rows in blocks(path, ("stream", "version", "first", "count", "outcome", at_ns)):
            good = rows["count"] > 0
            if path == files.appends:
                good &= np.isin(rows["outcome"], (Outcome.OK, Outcome.FOUND))
            kept = {name: column[good] for name, column in rows.items()}
            yield verification.Acknowledgements(
                streams.numbered(kept["stream"]),
                kept["version"],
                kept["first"] + kept["count"] - 1,
                kept[at_ns],
            )


SCANNED_STREAMS_MAX = 10
"""Single streams read back where each of these reads goes through a part of the whole log."""


def _streams_read(verify: Verify | None, guarantees: Guarantees) -> int:
    assert verify, "the trial has no verification"
    most = verify.streams_max
    return min(most, SCANNED_STREAMS_MAX) if guarantees.stream_read == "scan" else most


async def read_back(
    trial: Trial,
    store: EventStore,
    guarantees: Guarantees,
    files: TrialFiles,
    *,
    streams: Sequence[str],
    subscribers: int,
    base: int,
    data_of: Callable[[int], bytes],
) -> verification.Verification:
    """Read everything back and check it. Raises `StoreError` if the store cannot be read."""
    numbered = _Streams.of(streams, trial.streams.count)
    return await verification.verify(
        store,
        appends=all_appends(files, numbered),
        deliveries=all_deliveries(files, subscribers, numbered) if subscribers else None,
        streams=numbered.names,
        base=base,
        data_of=data_of,
        guarantees=guarantees,
        streams_max=_streams_read(trial.verify, guarantees),
        rng=Random(f"{trial.seed}/verify"),
        folder=files.samples.parent,
        readings=all_readings(files, numbered),
    )

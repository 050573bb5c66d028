"""A whole run: the trials in their order, each on disk before the next begins."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from harness.catalogue import Catalogue
from harness.conformance import FAST, numbered
from harness.environment import neighbours
from harness.errors import NoServer
from harness.generator.loops import Window
from harness.results import RunFolder, hlog
from harness.runner import (
    ceiling,
    conforming,
    histograms,
    intervals,
    manifest,
    rows,
    staffing,
    verdicts,
)
from harness.runner.observing import Observer
from harness.runner.opening import opening
from harness.runner.pool import ServerPool
from harness.runner.probing import NoRate, Prober
from harness.runner.rows import Finding, Row
from harness.runner.trial import TrialRun
from harness.scenario.types import Scenario, Trial
from harness.servers import Server, choose_way
from harness.store import Endpoint


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    scenario: Scenario
    catalogue: Catalogue
    out: Path
    way: str = "auto"
    keep_samples: bool = True
    command: str = ""
    pin: bool = False
    """Generator and servers on separate cores."""
    capacities: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Per second, by store and point: what `of_capacity` is a fraction of, where it is known."""


@dataclass(frozen=True, slots=True)
class Result:
    """Where the run is, its rows, and what the command line returns."""

    folder: Path
    rows: tuple[Row, ...]
    exit_code: int


async def run(request: Request, observer: Observer) -> Result:
    """Run every trial whose server can be had. Raises `NoServer` if there is none at all.

    When cancelled, the trial in progress is marked `aborted` and the folder is finished.
    """
    async with AsyncExitStack() as stack:
        run_ = _Run(request, observer, stack)
        stack.callback(shutil.rmtree, run_.scratch, ignore_errors=True)
        return await run_.carry_out()


class _Run:
    def __init__(self, request: Request, observer: Observer, stack: AsyncExitStack) -> None:
        self._request, self._observer = request, observer
        run_id = secrets.token_hex(4)
        self._cores = staffing.separate(request.scenario) if request.pin else None
        if self._cores:
            stack.enter_context(staffing.kept_on(self._cores.generator))
        self.scratch = request.out.absolute() / f".scratch-{run_id}"
        self._pool = ServerPool(
            run_id,
            request.catalogue,
            scratch=self.scratch,
            stack=stack,
            note=observer.note,
            cores=self._cores.server if self._cores else None,
        )
        self._missing: dict[str, str] = {}
        self._rows: list[Row] = []
        self._manifest: manifest.Manifest = {}
        self._began = neighbours.mark()
        self._defects = 0
        """Declared guarantees that its checks found broken."""

    async def carry_out(self) -> Result:
        scenario = self._request.scenario
        self._choose_ways()
        self._require_something()
        folder = RunFolder.create(self._request.out, scenario.name)
        self._manifest = manifest.opening(
            folder.name, scenario, command=self._request.command, data_folder=self._request.out
        )
        folder.write_manifest(self._manifest)
        status = "failed"
        prober = Prober(
            self._request.catalogue,
            RunFolder(self.scratch / "probes", "probes"),
            keep=lambda row: folder.add_probes([row]),
            note=self._observer.note,
            capacities=dict(self._request.capacities),
        )
        try:
            await self._measure_ceiling(scenario.trials[0])
            folder.write_manifest(self._manifest)
            for trial in scenario.trials:
                await self._one(trial, folder, prober)
            await self._measure_drift(scenario.trials[0])
            await self._conform(folder)
            status = "done"
        except (asyncio.CancelledError, KeyboardInterrupt):
            status = "aborted"
            raise
        finally:
            path = self._finish(folder, status)
        self._require_something()
        return Result(path, tuple(self._rows), self._exit_code())

    def _choose_ways(self) -> None:
        catalogue = self._request.catalogue
        technologies = {
            trial.store.technology: catalogue.stores[trial.store.technology].server
            for trial in self._request.scenario.trials
        }
        choice = choose_way([name for name in technologies.values() if name], self._request.way)
        self._pool.ways = dict(choice.ways)
        for technology, server in technologies.items():
            if server and server not in choice.ways:
                reasons = [line for line in choice.reasons if line.startswith(f"{server}:")]
                self._leave_out(technology, "; ".join(reasons) or f"{server}: no server")

    def _leave_out(self, technology: str, reason: str) -> None:
        self._missing[technology] = reason
        self._observer.note(f"left out: {reason}")

    def _require_something(self) -> None:
        wanted = {trial.store.technology for trial in self._request.scenario.trials}
        if wanted <= set(self._missing):
            raise NoServer("no server could be had: " + "; ".join(self._missing.values()))

    async def _measure_ceiling(self, trial: Trial) -> None:
        ceiling_per_s = await ceiling.ceiling_per_s(trial, self._request.catalogue, self.scratch)
        self._manifest["generator_ceiling_per_s"] = round(ceiling_per_s)

    async def _measure_drift(self, trial: Trial) -> None:
        """The same at the end: what changed is the machine, not a store."""
        before = self._manifest["generator_ceiling_per_s"]
        after = await ceiling.ceiling_per_s(trial, self._request.catalogue, self.scratch)
        self._manifest["generator_ceiling_end_per_s"] = round(after)
        self._manifest["flags"] += verdicts.drift_flags(before, after)

    async def _one(self, trial: Trial, folder: RunFolder, prober: Prober) -> None:
        if trial.store.technology in self._missing:
            return
        try:
            endpoint, server = await self._pool.reach(trial)
        except NoServer as error:
            self._leave_out(trial.store.technology, str(error))
            return
        trial = self._pool.warmed_up(trial, server)
        self._observer.began(trial)
        try:
            trial, found = await prober.settled(trial, endpoint, server)
        except NoRate as error:
            finding = Finding(status="failed", message=str(error))
            self._write(self._trial_run(trial, endpoint, server, folder), finding, endpoint, {})
            return
        trial_run = self._trial_run(trial, endpoint, server, folder)
        try:
            finding = await trial_run.run()
        except (asyncio.CancelledError, KeyboardInterrupt):
            aborted = Finding(status="aborted", message="interrupted")
            self._write(trial_run, aborted, endpoint, found)
            raise
        self._write(trial_run, finding, endpoint, found)

    def _trial_run(
        self, trial: Trial, endpoint: Endpoint, server: Server | None, folder: RunFolder
    ) -> TrialRun:
        return TrialRun(
            trial=trial,
            how=opening(trial.store, self._request.catalogue, endpoint),
            catalogue=self._request.catalogue,
            folder=folder,
            server=server,
            watcher=lambda snapshot: self._observer.ticked(trial, snapshot),
        )

    def _write(
        self, trial_run: TrialRun, finding: Finding, endpoint: Endpoint, found: rows.Row
    ) -> None:
        trial = trial_run.trial
        row = rows.identity(self._request.scenario, trial, str(self._manifest["run"])) | found
        row |= rows.verdict(finding)
        row |= {"provider": endpoint.provider, "server_version": endpoint.version}
        row["added_rtt_ms"] = trial.added_rtt_ms if trial_run.server else None
        row["loop"] = type(asyncio.get_event_loop()).__module__.split(".")[0]
        if finding.measured is not None:
            row |= rows.measurement(trial, finding.measured, trial_run.files)
        row["valid"] = verdicts.is_valid(row)
        ceiling_per_s = self._manifest["generator_ceiling_per_s"]
        row["flags"] = json.dumps(verdicts.flags(trial, row, ceiling_per_s))
        row["verified"] = verdicts.verified(row)
        trial_run.folder.add_trial(row)
        if finding.measured is not None:
            seconds = intervals.rows(trial, finding.measured.window, trial_run.files, finding.looks)
            trial_run.folder.add_intervals(list(seconds))
            self._write_histograms(trial_run, finding.measured.window)
        if not self._request.keep_samples:
            trial_run.files.remove()
        self._rows.append(row)
        self._observer.ended(trial, row)

    def _write_histograms(self, trial_run: TrialRun, window: Window) -> None:
        if hlog.available():
            found = histograms.intervals(trial_run.trial, window, trial_run.files)
            hlog.append(trial_run.folder.path / hlog.HLOG_FILE, found)
        elif not self._rows:
            self._observer.note("no latency.hlog: pip install 'eventstore-lab[hlog]'")

    def _finish(self, folder: RunFolder, status: str) -> Path:
        around, pool = neighbours.since(self._began), self._pool
        self._manifest |= manifest.closing(status, self._missing, pool.servers, pool.paths, around)
        if self._cores:
            self._manifest["pinned"] = self._cores.told() | {"technologies": pool.pinned}
        self._manifest["flags"] += [*pool.paths.flags(), *verdicts.neighbour_flags(around)]
        folder.write_manifest(self._manifest)
        return folder.finish()

    async def _conform(self, folder: RunFolder) -> None:
        """The checks of every store that has a trial which asks for them."""
        asked = {trial.store.key: trial.store for trial in self._wanting_checks()}
        if not asked:
            return
        request = conforming.Request(
            stores=tuple(asked.values()),
            checks=numbered(""),
            profile=FAST,
            seed=self._request.scenario.seed,
            catalogue=self._request.catalogue,
            out=self._request.out,
        )
        matrix = await conforming.conform_beside(
            request, self._observer.note, self._pool.servers, self.scratch, folder
        )
        self._defects = sum(len(column.defects) for column in matrix.columns)

    def _wanting_checks(self) -> Iterator[Trial]:
        for trial in self._request.scenario.trials:
            if trial.verify.conformance and trial.store.technology not in self._missing:
                yield trial

    def _exit_code(self) -> int:
        sound = all(row["valid"] or row["status"] == "unsupported" for row in self._rows)
        return 0 if sound and not self._defects else 1

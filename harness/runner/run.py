"""A whole run: the trials in their order, each on disk before the next begins."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from harness.catalogue import Catalogue
from harness.environment import neighbours
from harness.errors import NoServer, StoreError
from harness.generator.loops import Window
from harness.results import RunFolder, hlog
from harness.runner import ceiling, histograms, intervals, manifest, rows, verdicts
from harness.runner.observing import Observer
from harness.runner.opening import namespace, opening
from harness.runner.rows import Finding, Row
from harness.runner.trial import TrialRun
from harness.scenario.types import Scenario, Trial
from harness.servers import Server, choose_way, serving
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
    run_ = _Run(request, observer)
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, run_.scratch, ignore_errors=True)
        return await run_.carry_out(stack)


class _Run:
    def __init__(self, request: Request, observer: Observer) -> None:
        self._request = request
        self._observer = observer
        self._id = secrets.token_hex(4)
        self.scratch = request.out.resolve() / f".scratch-{self._id}"
        self._servers: dict[str, Server] = {}
        self._missing: dict[str, str] = {}
        self._warm: set[str] = set()
        self._ways: dict[str, str] = {}
        self._rows: list[Row] = []
        self._manifest: manifest.Manifest = {}
        self._began = neighbours.mark()

    async def carry_out(self, stack: AsyncExitStack) -> Result:
        scenario = self._request.scenario
        self._choose_ways()
        self._require_something()
        self._request.out.mkdir(parents=True, exist_ok=True)
        folder = RunFolder.create(self._request.out, scenario.name)
        self._manifest = manifest.opening(
            folder.name, scenario, command=self._request.command, data_folder=self._request.out
        )
        folder.write_manifest(self._manifest)
        status = "failed"
        try:
            await self._measure_ceiling(scenario.trials[0])
            folder.write_manifest(self._manifest)
            for trial in scenario.trials:
                await self._one(trial, folder, stack)
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
        self._ways = dict(choice.ways)
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

    async def _one(self, trial: Trial, folder: RunFolder, stack: AsyncExitStack) -> None:
        if trial.store.technology in self._missing:
            return
        try:
            endpoint, server = await self._endpoint(trial, stack)
        except NoServer as error:
            self._leave_out(trial.store.technology, str(error))
            return
        trial = self._warmed_up(trial, server)
        self._observer.began(trial)
        trial_run = TrialRun(
            trial=trial,
            how=opening(trial.store, self._request.catalogue, endpoint),
            catalogue=self._request.catalogue,
            folder=folder,
            server=server,
            watcher=lambda snapshot: self._observer.ticked(trial, snapshot),
        )
        try:
            finding = await trial_run.run()
        except (asyncio.CancelledError, KeyboardInterrupt):
            self._write(trial_run, Finding(status="aborted", message="interrupted"), endpoint)
            raise
        self._write(trial_run, finding, endpoint)

    def _warmed_up(self, trial: Trial, server: Server | None) -> Trial:
        """The first trial on a fresh server warms that up as well, before anything is measured."""
        if server is None or server.technology in self._warm:
            return trial
        self._warm.add(server.technology)
        return replace(trial, warm_up_s=max(trial.warm_up_s, server.warm_up_s))

    async def _endpoint(
        self, trial: Trial, stack: AsyncExitStack
    ) -> tuple[Endpoint, Server | None]:
        name = f"eslab_{self._id}_{trial.number}"
        technology = self._request.catalogue.stores[trial.store.technology].server
        if technology is None:
            self.scratch.mkdir(parents=True, exist_ok=True)
            return Endpoint(address=str(self.scratch), namespace=name), None
        if technology not in self._servers:
            self._servers[technology] = await self._started(technology, trial, stack)
        server = self._servers[technology]
        return replace(server.endpoint, namespace=name), server

    async def _started(self, technology: str, trial: Trial, stack: AsyncExitStack) -> Server:
        way = self._ways[technology]
        self._observer.note(f"starting {technology} ({way})")
        server = await stack.enter_async_context(
            serving(technology, way=way, scratch=self.scratch, settings=trial.server_settings)
        )
        if not server.controllable:
            await self._introduce(server, trial)
        return server

    async def _introduce(self, server: Server, trial: Trial) -> None:
        """Make and remove a namespace on somebody else's server, before anything is measured.

        Raises `NoServer` where it is of another kind, or does not let the lab in.
        """
        endpoint = replace(server.endpoint, namespace=f"eslab_{self._id}_0")
        how = opening(trial.store, self._request.catalogue, endpoint)
        try:
            async with namespace(how):
                pass
        except (StoreError, NoServer) as error:
            told = str(error).removeprefix(f"{server.technology}: ")
            asking = f"is that a {server.technology} which lets you in?"
            raise NoServer(f"{server.technology}: external: {told}; {asking}") from None

    def _write(self, trial_run: TrialRun, finding: Finding, endpoint: Endpoint) -> None:
        trial = trial_run.trial
        row = rows.identity(self._request.scenario, trial, str(self._manifest["run"]))
        row |= rows.verdict(finding)
        row |= {"provider": endpoint.provider, "server_version": endpoint.version}
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
            files = trial_run.files
            for path in (files.samples, files.appends, files.deliveries):
                path.unlink(missing_ok=True)
        self._rows.append(row)
        self._observer.ended(trial, row)

    def _write_histograms(self, trial_run: TrialRun, window: Window) -> None:
        if hlog.available():
            found = histograms.intervals(trial_run.trial, window, trial_run.files)
            hlog.append(trial_run.folder.path / hlog.HLOG_FILE, found)
        elif not self._rows:
            self._observer.note("no latency.hlog: pip install 'eventstore-lab[hlog]'")

    def _finish(self, folder: RunFolder, status: str) -> Path:
        around = neighbours.since(self._began)
        self._manifest |= manifest.closing(status, self._missing, self._servers, around)
        self._manifest["flags"] += verdicts.neighbour_flags(around)
        folder.write_manifest(self._manifest)
        return folder.finish()

    def _exit_code(self) -> int:
        return 0 if all(row["valid"] or row["status"] == "unsupported" for row in self._rows) else 1

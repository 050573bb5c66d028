"""A benchmark run: the trials in their order, each on disk before the next begins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from harness.analysis.comparison import fingerprint
from harness.conformance import FAST, numbered
from harness.domain.cancellation import cancelled, raise_if_cancelled
from harness.domain.durability import Durability
from harness.domain.errors import NoServer, UnsupportedByStore
from harness.domain.flags import dumped, stored
from harness.domain.interruption import last_step
from harness.domain.store import Endpoint
from harness.domain.workload import Catalogue
from harness.load.coordinator import coordinate, inline_workers
from harness.load.pacing import NS_A_SECOND
from harness.load.progress import Snapshot
from harness.load.trial_files import TrialFiles
from harness.results import RunFolder, hlog
from harness.run import conformance, data_places, driver_costs, environment, validity
from harness.run.fault_sightings import fault_rows, unreached_rows
from harness.run.faults import Targets
from harness.run.placing import Placing
from harness.run.rate_search import NoRate, Prober
from harness.run.session import Manifest, Session, machine_facts, now, store_factory
from harness.run.trial import TrialRun, fitted
from harness.run.trial_metrics import Row, histograms, interval_rows, trial_metrics
from harness.run.trial_result import RateSource, TrialFacts, TrialResult, trial_result
from harness.run.trial_samples import TrialSamples
from harness.run.worker_allocation import Asked, Machine, busy_cores
from harness.scenario.model import ClosedLoop, Scenario, Trial
from harness.servers import Server


class Observer(Protocol):
    """Watches a run."""

    def note(self, text: str) -> None:
        """A line about the run: a store is left out, a server starts."""
        ...

    def began(self, trial: Trial) -> None:
        """A trial begins."""
        ...

    def ticked(self, trial: Trial, snapshot: Snapshot) -> None:
        """A look at the running trial."""
        ...

    def ended(self, trial: Trial, row: Row) -> None:
        """A trial is on disk."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """The user's options."""

    scenario: Scenario
    catalogue: Catalogue
    out: Path
    way: str = "auto"
    keep_samples: bool = True
    command: str = ""
    pin: Asked = "auto"
    """Whether generator and servers have cores of their own."""
    machine: Machine = field(default_factory=Machine.here)
    """What decides that, and how many worker processes `auto` may take."""
    capacities: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Per second, by store and point: what `of_capacity` is a fraction of, where it is known."""


@dataclass(frozen=True, slots=True)
class Result:
    """The run folder, its trials, and the exit code."""

    folder: Path
    results: tuple[TrialResult, ...]
    exit_code: int
    faults: tuple[Row, ...] = ()
    """The rows of faults.parquet."""


async def run(request: Request, observer: Observer) -> Result:
    """Run every trial that has a server. Raises `NoServer` if no trial has one.

    When cancelled, the trial in progress is marked `aborted` and the folder is finished.
    """
    async with AsyncExitStack() as stack:
        return await _Benchmark(request, observer, stack).carry_out()


class _Benchmark:
    def __init__(self, request: Request, observer: Observer, stack: AsyncExitStack) -> None:
        self._request, self._observer, self._stack = request, observer, stack
        self._session = Session(
            request.catalogue,
            out=request.out,
            stack=stack,
            note=observer.note,
            lab_disk=_with_disk_faults(request.scenario),
        )
        self._results: list[TrialResult] = []
        self._faults: list[Row] = []
        self._manifest: Manifest = {}
        self._drivers: list[driver_costs.DriverCost] = []
        """What is known on this machine of drivers by themselves."""
        self._began = environment.neighbours_mark()
        self._started_s = time.monotonic()
        self._on_disk: set[str] = set()
        """Names of places to which data was written to stay there."""
        self._defects = 0
        """Declared guarantees that do not hold, of the checks in this run."""

    async def carry_out(self) -> Result:
        scenario = self._request.scenario
        session, technologies = self._session, _technologies(scenario)
        session.choose_ways(technologies, self._request.way)
        # Before the run has processes of its own.
        machine = self._request.machine
        busy = await asyncio.to_thread(busy_cores, machine) if session.ways else 0.0
        session.require_any(technologies)
        request, note = self._request, self._observer.note
        machine = replace(machine, busy_cores=busy)
        self._placing = Placing(request.pin, machine, session, scenario, note=note)
        drivers = driver_costs.recall(self._request.out)
        folder = RunFolder.create(self._request.out, scenario.name)
        self._manifest = _opening_manifest(folder.name, self._request)
        self._drivers = driver_costs.newest(drivers, fingerprint(self._manifest["environment"]))
        self._manifest |= self._placing.described(())
        self._placing.keep(self._stack)  # the manifest has the machine, not this process's part
        session.measured_at(self._request.out, self._manifest)
        folder.write_manifest(self._manifest)
        status = "aborted"
        prober = Prober(
            self._request.catalogue,
            RunFolder(session.scratch / "probes", "probes"),
            keep=lambda row: folder.add_probes([row]),
            note=self._observer.note,
            capacities=dict(self._request.capacities),
        )
        try:
            with last_step(lambda: self._finish(folder, "aborted")):
                await self._measure_ceiling(scenario.trials[0])
                folder.write_manifest(self._manifest)
                for trial in scenario.trials:
                    await self._one(trial, folder, prober)
                await self._measure_drift(scenario.trials[0])
                await self._conform(folder)
                raise_if_cancelled()
            status = "done"
        except Exception:
            status = "aborted" if cancelled() else "failed"
            raise
        finally:
            path = self._finish(folder, status)
        session.require_any(technologies)
        return Result(path, tuple(self._results), self._exit_code(), tuple(self._faults))

    async def _measure_ceiling(self, trial: Trial) -> None:
        self._manifest["generator_ceiling_per_s"] = await self._ceiling_per_s(trial)

    async def _measure_drift(self, trial: Trial) -> None:
        """The generator's rate at the end: a change comes from the machine, not from a store.

        A run of a few seconds has no time to drift, and would be measured for a third of them.
        """
        if time.monotonic() - self._started_s < DRIFT_FROM_S:
            return
        before, after = self._manifest["generator_ceiling_per_s"], await self._ceiling_per_s(trial)
        self._manifest["generator_ceiling_end_per_s"] = after
        self._manifest["flags"] += stored(validity.drift_flags(before, after))

    async def _ceiling_per_s(self, trial: Trial) -> int:
        """As long at the end of a run as at its beginning, or the two would differ by that."""
        planned_s = sum(each.duration_s or 0.0 for each in self._request.scenario.trials)
        for_s = CEILING_SHORT_S if planned_s < DRIFT_FROM_S else CEILING_S
        catalogue, scratch = self._request.catalogue, self._session.scratch
        return round(await ceiling_per_s(trial, catalogue, scratch, for_s))

    async def _one(self, trial: Trial, folder: RunFolder, prober: Prober) -> None:
        if trial.store.technology in self._session.left_out:
            return
        try:
            endpoint, server = await self._session.place_trial(trial)
            targets = await self._session.targets_of(trial, server)
        except NoServer as error:
            raise_if_cancelled()
            self._session.leave_out(trial.store.technology, str(error))
            return
        raise_if_cancelled()
        trial = self._session.with_server_warm_up(trial, server)
        self._observer.began(trial)
        with self._placing.for_trial(server):
            await self._carry_out_trial(trial, endpoint, server, folder, targets, prober)

    async def _carry_out_trial(
        self,
        trial: Trial,
        endpoint: Endpoint,
        server: Server | None,
        folder: RunFolder,
        targets: Targets,
        prober: Prober,
    ) -> None:
        how = store_factory(trial.store, self._request.catalogue, endpoint)
        try:
            trial = fitted(trial, self._request.catalogue, how.guarantees)
            trial = await self._placing.shared_out(
                trial,
                how.guarantees,
                served=server is not None,
                probe=lambda probed: prober.probed(probed, endpoint, server),
            )
            trial, rate_source = await prober.settled(trial, endpoint, server)
        except (NoRate, UnsupportedByStore) as error:
            raise_if_cancelled()
            status = "unsupported" if isinstance(error, UnsupportedByStore) else "failed"
            failed = TrialFacts(status=status, message=str(error))
            trial_run = self._trial_run(trial, endpoint, server, folder, targets)
            self._write(trial_run, failed, endpoint, None)
            return
        trial_run = self._trial_run(trial, endpoint, server, folder, targets)
        try:
            facts = await trial_run.run()
        except (asyncio.CancelledError, KeyboardInterrupt):
            aborted = TrialFacts(status="aborted", message="interrupted")
            self._write(trial_run, aborted, endpoint, rate_source)
            raise
        self._write(trial_run, facts, endpoint, rate_source)
        if facts.server_is_down:
            self._session.leave_out(trial.store.technology, facts.message)

    def _trial_run(
        self,
        trial: Trial,
        endpoint: Endpoint,
        server: Server | None,
        folder: RunFolder,
        targets: Targets,
    ) -> TrialRun:
        return TrialRun(
            trial=trial,
            how=store_factory(trial.store, self._request.catalogue, endpoint),
            catalogue=self._request.catalogue,
            folder=folder,
            server=server,
            watcher=lambda snapshot: self._observer.ticked(trial, snapshot),
            targets=targets,
        )

    def _write(
        self,
        trial_run: TrialRun,
        facts: TrialFacts,
        endpoint: Endpoint,
        rate_source: RateSource | None,
    ) -> None:
        trial, samples, metrics, driver = trial_run.trial, None, None, None
        if facts.measured is not None:
            samples = TrialSamples.read(trial.load, facts.measured.window, trial_run.files)
            metrics = trial_metrics(trial.load, facts.measured, samples, trial_run.files)
            kind = self._request.catalogue.stores[trial.store.technology]
            driver = driver_costs.driver_part(self._drivers, kind, trial, metrics)
        result = self._judged(
            trial,
            trial_result(
                self._request.scenario,
                trial,
                facts,
                metrics,
                run=str(self._manifest["run"]),
                endpoint=endpoint,
                has_server=trial_run.server is not None,
                placement=self._placing.of(trial_run.server),
                place_allows=self._placed(trial, facts),
                rate_source=rate_source,
                driver=driver,
                loop=type(asyncio.get_event_loop()).__module__.split(".")[0],
            ),
        )
        trial_run.folder.add_trial(result.as_row())
        if samples is not None:
            rows = interval_rows(trial, samples, facts.looks, facts.faults)
            trial_run.folder.add_intervals(list(rows))
            self._write_histograms(trial_run, samples)
        self._write_faults(trial_run, facts)
        if not self._request.keep_samples:
            trial_run.files.remove()
        self._results.append(result)
        self._observer.ended(trial, result.as_row())

    def _write_faults(self, trial_run: TrialRun, facts: TrialFacts) -> None:
        """What became of the trial's faults, and what its clients saw of them."""
        trial = trial_run.trial
        if not facts.faults:
            return
        if facts.measured is None:
            rows = unreached_rows(trial, facts.faults)
        else:
            lost = facts.verification.lost_events if facts.verification else None
            window = facts.measured.window
            rows = fault_rows(trial, facts.faults, window, trial_run.files, lost=lost)
        added = list(rows)
        trial_run.folder.add_faults(added)
        self._faults += added

    def _placed(self, trial: Trial, facts: TrialFacts) -> Durability:
        """The class that the place of the trial's data allows at most."""
        name = self._session.place_name(trial.store)
        if name not in self._session.places:
            return Durability.POWER_LOSS
        if facts.durability not in (None, Durability.MEMORY):
            self._on_disk.add(name)
        return self._session.places[name].allows

    def _judged(self, trial: Trial, result: TrialResult) -> TrialResult:
        row, ceiling_per_s = result.as_row(), self._manifest["generator_ceiling_per_s"]
        valid = validity.is_valid(row)
        return replace(
            result,
            valid=valid,
            message=validity.message(row),
            flags=dumped(validity.flags(trial, row | {"valid": valid}, ceiling_per_s)),
            verified=validity.verified(row),
        )

    def _write_histograms(self, trial_run: TrialRun, samples: TrialSamples) -> None:
        if hlog.available():
            path = trial_run.folder.path / hlog.HLOG_FILE
            hlog.append(path, histograms(trial_run.trial, samples))
        elif not self._results:
            self._observer.note("no latency.hlog: pip install 'eventstore-lab[hlog]'")

    def _finish(self, folder: RunFolder, status: str) -> Path:
        session, neighbours = self._session, environment.neighbours_since(self._began)
        servers = session.described_servers()
        self._manifest |= {
            "status": status,
            "neighbours": neighbours,
            "finished_at": now(),
            "left_out": dict(session.left_out),
            "servers": {
                technology: facts | {"paths": session.paths.described(technology)}
                for technology, facts in servers.items()
            },
            "places": session.described_places(),
        }
        self._manifest |= self._placing.described(self._results)
        kept = {name: place for name, place in session.places.items() if name in self._on_disk}
        flags = [*self._placing.flags, *session.flags(), *data_places.flags(kept)]
        flags += [*validity.neighbour_flags(neighbours)]
        self._manifest["flags"] += stored(flags)
        folder.write_manifest(self._manifest)
        return folder.finish()

    async def _conform(self, folder: RunFolder) -> None:
        """Run the checks of every store with a trial that requests them."""
        stores = [trial.store.alone for trial in self._wanting_checks()]
        asked = {store.key: store for store in stores}
        if not asked:
            return
        request = conformance.Request(
            stores=tuple(asked.values()),
            checks=numbered(""),
            profile=FAST,
            seed=self._request.scenario.seed,
            catalogue=self._request.catalogue,
            out=self._request.out,
        )
        # Races need clients that really run beside each other.
        with self._placing.on_every_core():
            matrix = await conformance.conform_in_session(
                request, self._observer.note, self._session, folder
            )
        self._defects = sum(len(column.defects) for column in matrix.columns)

    def _wanting_checks(self) -> Iterator[Trial]:
        for trial in self._request.scenario.trials:
            if trial.conformance and trial.store.technology not in self._session.left_out:
                yield trial

    def _exit_code(self) -> int:
        sound = all(each.valid or each.status == "unsupported" for each in self._results)
        return 0 if sound and not self._defects else 1


def _technologies(scenario: Scenario) -> list[str]:
    return list(dict.fromkeys(trial.store.technology for trial in scenario.trials))


def _with_disk_faults(scenario: Scenario) -> bool:
    """Whether any disk is to fill up or to lose power."""
    return any(fault.kind.of_the_disk for trial in scenario.trials for fault in trial.faults)


def _opening_manifest(run: str, request: Request) -> Manifest:
    """The manifest before the first trial."""
    scenario, facts = request.scenario, machine_facts(request.out)
    return {
        "run": run,
        "status": "running",
        "started_at": now(),
        "command": request.command,
        "scenario": {
            "name": scenario.name,
            "description": scenario.description,
            "file": Path(scenario.path).name,
            "hash": scenario.hash,
            "seed": scenario.seed,
            "repetitions": scenario.repetitions,
            "require": dict(scenario.require),
            "text": scenario.text,
        },
        "order": [[trial.number, trial.store.key] for trial in scenario.trials],
        **facts,
        "flags": stored(
            validity.run_flags(scenario.repetitions, facts["environment"], facts["commit"])
        ),
    }


CEILING_S = 0.5
CEILING_SHORT_S = 0.2
"""In a run that plans to measure for less than `DRIFT_FROM_S`."""
DRIFT_FROM_S = 10.0
"""Shorter runs are not measured again at their end."""
CEILING_WORKERS_MAX = 64


async def ceiling_per_s(trial: Trial, catalogue: Catalogue, scratch: Path, for_s: float) -> float:
    """Appends a second that the generator offers and records with no server.

    With the trial's clients and events, in a closed loop: no measured rate can be above it.
    """
    null, append = catalogue.stores["null"], catalogue.workloads["append"]
    store = await null.variants[""].connect(Endpoint(), null.options())
    load = trial.load
    clients = (
        load.workers
        if isinstance(load, ClosedLoop)
        else min(load.in_flight_max, CEILING_WORKERS_MAX)
    )
    parameters = append.parameters()
    offered = replace(
        trial,
        workload=append.name,
        parameters=parameters,
        load=ClosedLoop(workers=clients),
        warm_up_s=for_s / 5,
        duration_s=for_s,
        operations=None,
    )
    folder = scratch / "ceiling"
    files = TrialFiles(*(folder / f"{name}.parquet" for name in ("samples", "appends", "none")))
    sinks = files.sinks(deliveries=False)
    workload = append.make(parameters)
    try:
        async with inline_workers(offered, store, workload, sinks) as workers:
            window = (await coordinate(workers, offered)).window
    finally:
        await store.aclose()
    return window.scheduled / (window.ended_ns - window.started_ns) * NS_A_SECOND

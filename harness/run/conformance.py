"""Runs the checks on several stores and writes the guarantee matrix into a run folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from harness.conformance import (
    Check,
    CheckResult,
    Column,
    Judgement,
    Matrix,
    OnResult,
    Profile,
    StoreUnderTest,
    judge,
    measure,
)
from harness.domain.cancellation import cancelled, raise_if_cancelled
from harness.domain.durability import Durability
from harness.domain.errors import LabError, NoServer, StoreError
from harness.domain.factory import StoreFactory
from harness.domain.interruption import last_step
from harness.domain.store import Endpoint
from harness.domain.workload import Catalogue
from harness.results import RunFolder
from harness.run.session import Manifest, Session, machine_facts, now, store_factory
from harness.scenario.names import StoreRef
from harness.servers import Server

NAME = "conformance"
SETUP_LIMIT_S = 60.0
"""For setup and for teardown of a store; a driver that hangs costs its own column alone."""


@dataclass(frozen=True, slots=True)
class Request:
    """The user's options."""

    stores: Sequence[StoreRef]
    checks: Sequence[Check]
    profile: Profile
    seed: int
    catalogue: Catalogue
    out: Path
    way: str = "auto"
    command: str = ""
    server_settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What the lab's own servers are started with, by server."""


@dataclass(frozen=True, slots=True)
class Result:
    """The run folder, the matrix, and the exit code."""

    folder: Path
    matrix: Matrix
    left_out: Mapping[str, str]
    """Reasons, by technology if it has no server, by the store's key if its setup failed."""
    broken: bool = False
    """Whether a setup failed."""

    @property
    def exit_code(self) -> int:
        """1 if a declared guarantee does not hold or a setup failed; 4 if one was not reached."""
        return 1 if self.broken else self.matrix.exit_code


class MatrixObserver(Protocol):
    """Watches a run of checks."""

    def note(self, text: str) -> None:
        """A line about the run."""
        ...

    def judged(self, key: str, judgement: Judgement) -> None:
        """A check has ended: one cell of the matrix."""
        ...


async def conform(request: Request, observer: MatrixObserver) -> Result:
    """Run the checks on every store that has a server. Raises `NoServer` if no store has one.

    When interrupted, it keeps the results so far.
    """
    async with AsyncExitStack() as stack:
        session = Session(
            request.catalogue,
            out=request.out,
            stack=stack,
            note=observer.note,
        )
        technologies = list(dict.fromkeys(ref.technology for ref in request.stores))
        session.choose_ways(technologies, request.way)
        session.require_any(technologies)
        run = _Run(request, observer, session)
        folder = RunFolder.create(request.out, NAME)
        facts = machine_facts(request.out)
        status = "aborted"
        try:
            with last_step(lambda: run.write(folder, "aborted", facts)):
                for number, ref in enumerate(request.stores, start=1):
                    await run.one(number, ref)
                raise_if_cancelled()
            status = "done"
        except Exception:
            status = "aborted" if cancelled() else "failed"
            raise
        finally:
            path = run.write(folder, status, facts)
            if status != "done":
                observer.note(f"kept, as far as it came: {path}")
        if run.broken and not run.columns:
            raise LabError("nothing was checked: " + "; ".join(run.missing.values()))
        if not run.columns:
            raise NoServer("no server is available: " + "; ".join(run.missing.values()))
        return Result(path, run.matrix, run.missing, bool(run.broken))


async def conform_in_session(
    request: Request, note: Callable[[str], None], session: Session, folder: RunFolder
) -> Matrix:
    """Check a benchmark's stores on its running servers; the matrix goes into its folder."""
    run = _Run(request, _DefectNotes(note), session)
    for number, ref in enumerate(request.stores, start=1):
        note(f"checking {ref.key}: {len(request.checks)} checks, profile {request.profile.name}")
        await run.one(number, ref)
    folder.write_conformance(run.matrix.as_json())
    return run.matrix


@dataclass(frozen=True, slots=True)
class _DefectNotes:
    """Passes nothing but defects on to the observer of a benchmark."""

    note: Callable[[str], None]

    def judged(self, key: str, judgement: Judgement) -> None:
        if judgement.defect or judgement.unproven:
            check, why = judgement.check, judgement.result.why
            self.note(f"{key}: {judgement.conclusion}: {check.number} {check.name}: {why}")


class _Run:
    def __init__(self, request: Request, observer: MatrixObserver, session: Session) -> None:
        self._request, self._observer, self._session = request, observer, session
        self.broken: dict[str, str] = {}
        """Stores whose own setup failed, and how."""
        self.columns: list[Column] = []
        self._began = now()

    @property
    def matrix(self) -> Matrix:
        request = self._request
        return Matrix(request.checks, tuple(self.columns), request.profile, request.seed)

    @property
    def missing(self) -> Mapping[str, str]:
        """Reasons for missing columns."""
        return {**self._session.left_out, **self.broken}

    async def one(self, number: int, ref: StoreRef) -> None:
        """Add a column, unless the store has no server."""
        if ref.technology in self._session.left_out:
            return
        try:
            asked = self._request.server_settings
            server_name = self._request.catalogue.stores[ref.technology].server or ""
            endpoint, server = await self._session.place(
                ref, f"c{number}", asked.get(server_name, {})
            )
        except NoServer as error:
            raise_if_cancelled()
            self._session.leave_out(ref.technology, str(error))
            return
        await self._column(ref, endpoint, server)

    async def _column(self, ref: StoreRef, endpoint: Endpoint, server: Server | None) -> None:
        """Measure a store, and keep its results if it is interrupted."""
        made = await self._set_up(ref, store_factory(ref, self._request.catalogue, endpoint))
        if made is None:
            return
        how = made
        judgements: dict[int, Judgement] = {}

        def on_result(check: Check, result: CheckResult) -> None:
            judgement = judge(check, result, how.guarantees, provider=endpoint.provider)
            judgements[check.number] = judgement
            self._observer.judged(ref.key, judgement)

        try:
            await self._measured(ref, how, server, on_result)
        finally:
            numbers = [each.number for each in self._request.checks]
            ordered = {number: judgements[number] for number in numbers if number in judgements}
            place = self._session.places.get(self._session.place_name(ref))
            allows = place.allows if place else Durability.POWER_LOSS
            about = (endpoint.provider, endpoint.version, allows)
            self.columns.append(Column(ref.key, how.guarantees, ordered, *about))

    async def _set_up(self, ref: StoreRef, how: StoreFactory) -> StoreFactory | None:
        """How it is opened from now on, if setup succeeds.

        An error of the adapter costs its own column only.
        """
        try:
            async with asyncio.timeout(SETUP_LIMIT_S), how.opened() as store:
                await store.setup()
                return await how.asked(store)
        except LabError:
            raise
        except TimeoutError:
            raise_if_cancelled()
            self.broken[ref.key] = f"{ref.key}: setup not finished within {SETUP_LIMIT_S:g} s"
            self._observer.note(self.broken[ref.key])
            return None
        except Exception as error:
            raise_if_cancelled()
            (line, *_) = str(error).splitlines() or [""]
            self.broken[ref.key] = f"{ref.key}: setup failed: {type(error).__name__}: {line}"
            self._observer.note(self.broken[ref.key])
            return None

    async def _measured(
        self, ref: StoreRef, how: StoreFactory, server: Server | None, on_result: OnResult
    ) -> None:
        under_test = StoreUnderTest(ref.key, how, server, lambda: self._session.beside(ref))
        request = self._request
        try:
            await measure(
                under_test, request.checks, request.profile, seed=request.seed, on_result=on_result
            )
        finally:
            await self._torn_down(how, server)

    async def _torn_down(self, how: StoreFactory, server: Server | None) -> None:
        """Remove the namespace. A check may have restarted the server at another address."""
        if server is not None:
            moved = replace(server.endpoint, namespace=how.endpoint.namespace)
            how = replace(how, endpoint=moved)
        try:
            async with asyncio.timeout(SETUP_LIMIT_S), how.opened() as store:
                await store.teardown()
        except (StoreError, TimeoutError) as error:
            raise_if_cancelled()
            self._observer.note(f"not removed: {how.endpoint.namespace}: {error}")

    def write(self, folder: RunFolder, status: str, facts: Manifest) -> Path:
        """Write the matrix and the manifest, and give the folder its final name."""
        folder.write_conformance(self.matrix.as_json())
        folder.write_manifest({**self._manifest(folder.name, status), **facts})
        return folder.finish()

    def _manifest(self, name: str, status: str) -> Manifest:
        request = self._request
        return {
            "run": name,
            "kind": NAME,
            "status": status,
            "started_at": self._began,
            "finished_at": now(),
            "command": request.command,
            "seed": request.seed,
            "profile": request.profile.name,
            "stores": [ref.key for ref in request.stores],
            "left_out": dict(self.missing),
            "servers": self._session.described_servers(),
            "server_settings": {name: dict(v) for name, v in request.server_settings.items()},
            "places": self._session.described_places(),
        }

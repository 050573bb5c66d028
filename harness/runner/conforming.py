"""Checks on several stores: a server and a namespace for each, the matrix into a run folder."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from harness import environment
from harness.catalogue import Catalogue
from harness.conformance import Check, Finding, Judgement, Profile, Subject, judge, measure
from harness.conformance.bench import Reach
from harness.conformance.matrix import Column, Matrix
from harness.errors import LabError, NoServer, StoreError
from harness.results import RunFolder
from harness.runner.opening import Opening, opening
from harness.scenario.naming import StoreRef
from harness.servers import Server, choose_way, serving
from harness.store import Endpoint

NAME = "conformance"


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    stores: Sequence[StoreRef]
    checks: Sequence[Check]
    profile: Profile
    seed: int
    catalogue: Catalogue
    out: Path
    way: str = "auto"
    command: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """Where the run is, what was found, and what the command line returns."""

    folder: Path
    matrix: Matrix
    left_out: Mapping[str, str]
    """Why, by technology for want of a server, by the store's key where its setup failed."""
    broken: bool = False
    """Whether a setup failed."""

    @property
    def exit_code(self) -> int:
        """1 if anything declared is not so, or could not be checked for a store's own fault."""
        return 1 if self.broken else self.matrix.exit_code


class Observer(Protocol):
    """Is told what happens, while it happens."""

    def note(self, text: str) -> None:
        """A line about the run."""
        ...

    def found(self, key: str, judgement: Judgement) -> None:
        """One cell of the matrix is there."""
        ...


async def conform(request: Request, observer: Observer) -> Result:
    """Run the checks on every store whose server can be had. Raises `NoServer` if none can.

    When interrupted, what was found until then is kept.
    """
    async with AsyncExitStack() as stack:
        run = _Run(request, observer, stack)
        run.choose_ways()
        folder = RunFolder.create(request.out, NAME)
        try:
            for number, ref in enumerate(request.stores, start=1):
                await run.one(number, ref)
            status = "done"
        except (asyncio.CancelledError, KeyboardInterrupt):
            status = "aborted"
            raise
        except BaseException:
            status = "failed"
            raise
        finally:
            path = run.write(folder, status)
            if status != "done":
                observer.note(f"kept, as far as it came: {path}")
        if run.broken and not run.columns:
            raise LabError("nothing was checked: " + "; ".join(run.missing.values()))
        if not run.columns:
            raise NoServer("no server could be had: " + "; ".join(run.missing.values()))
        return Result(path, run.matrix, run.missing, bool(run.broken))


async def conform_beside(
    request: Request,
    note: Callable[[str], None],
    servers: Mapping[str, Server],
    scratch: Path,
    folder: RunFolder,
) -> Matrix:
    """The matrix of a run's own stores on its own servers, into its own folder."""
    async with AsyncExitStack() as stack:
        run = _Run(request, _Noting(note), stack, scratch=scratch)
        run.servers.update(servers)
        for number, ref in enumerate(request.stores, start=1):
            note(
                f"checking {ref.key}: {len(request.checks)} checks, profile {request.profile.name}"
            )
            await run.one(number, ref)
        folder.write_conformance(run.matrix.as_json())
        return run.matrix


@dataclass(frozen=True, slots=True)
class _Noting:
    """Tells a benchmark's observer of nothing but what is wrong."""

    note: Callable[[str], None]

    def found(self, key: str, judgement: Judgement) -> None:
        if judgement.defect:
            told = f"{judgement.check.number} {judgement.check.name}: {judgement.finding.why}"
            self.note(f"{key}: {judgement.word}: {told}")


class _Run:
    def __init__(
        self,
        request: Request,
        observer: Observer,
        stack: AsyncExitStack,
        *,
        scratch: Path | None = None,
    ) -> None:
        self._request, self._observer, self._stack = request, observer, stack
        self._id = secrets.token_hex(4)
        self._scratch = scratch or request.out.absolute() / f".scratch-{self._id}"
        self._ways: Mapping[str, str] = {}
        self.servers: dict[str, Server] = {}
        self.left_out: dict[str, str] = {}
        self.broken: dict[str, str] = {}
        """Stores whose own setup failed, and how."""
        self.columns: list[Column] = []
        self._began = _now()
        if scratch is None:
            stack.callback(shutil.rmtree, self._scratch, ignore_errors=True)

    @property
    def matrix(self) -> Matrix:
        request = self._request
        return Matrix(request.checks, tuple(self.columns), request.profile, request.seed)

    @property
    def missing(self) -> Mapping[str, str]:
        """What has no column, and why."""
        return {**self.left_out, **self.broken}

    def choose_ways(self) -> None:
        """Raises `NoServer` where there is a server for none of the stores."""
        technologies = {ref.technology: self._server_of(ref) for ref in self._request.stores}
        wanted = [server for server in technologies.values() if server]
        choice = choose_way(wanted, self._request.way)
        self._ways = choice.ways
        for technology, server in technologies.items():
            if server and server not in choice.ways:
                reasons = [line for line in choice.reasons if line.startswith(f"{server}:")]
                self._leave_out(technology, "; ".join(reasons) or f"{server}: no server")
        if set(technologies) <= set(self.left_out):
            raise NoServer("no server could be had: " + "; ".join(self.left_out.values()))

    async def one(self, number: int, ref: StoreRef) -> None:
        """One column, unless its server cannot be had."""
        if ref.technology in self.left_out:
            return
        try:
            endpoint, server = await self._place(number, ref)
        except NoServer as error:
            self._leave_out(ref.technology, str(error))
            return
        await self._column(ref, endpoint, server)

    async def _place(self, number: int, ref: StoreRef) -> tuple[Endpoint, Server | None]:
        name, technology = f"eslab_{self._id}_{number}", self._server_of(ref)
        self._scratch.mkdir(parents=True, exist_ok=True)
        if technology is None:
            return Endpoint(address=str(self._scratch), namespace=name), None
        if technology not in self.servers:
            self._observer.note(f"starting {technology} ({self._ways[technology]})")
            serve = serving(technology, way=self._ways[technology], scratch=self._scratch)
            self.servers[technology] = await self._stack.enter_async_context(serve)
        server = self.servers[technology]
        return replace(server.endpoint, namespace=name), server

    async def _column(self, ref: StoreRef, endpoint: Endpoint, server: Server | None) -> None:
        """Measure it and keep it, as far as it came."""
        how = opening(ref, self._request.catalogue, endpoint)
        if not await self._set_up(ref, how):
            return
        judgements: dict[int, Judgement] = {}

        def observe(check: Check, finding: Finding) -> None:
            judged = judge(check, finding, how.guarantees, provider=endpoint.provider)
            judgements[check.number] = judged
            self._observer.found(ref.key, judged)

        try:
            await self._measured(ref, how, server, observe)
        finally:
            found = [each.number for each in self._request.checks if each.number in judgements]
            ordered = {number: judgements[number] for number in found}
            about = (endpoint.provider, endpoint.version)
            self.columns.append(Column(ref.key, how.guarantees, ordered, *about))

    async def _set_up(self, ref: StoreRef, how: Opening) -> bool:
        """Whatever an adapter lets through here costs its own column, and no other."""
        try:
            async with how.opened() as store:
                await store.setup()
        except LabError:
            raise
        except Exception as error:
            (line, *_) = str(error).splitlines() or [""]
            self.broken[ref.key] = f"{ref.key}: setup failed: {type(error).__name__}: {line}"
            self._observer.note(self.broken[ref.key])
            return False
        return True

    async def _measured(
        self, ref: StoreRef, how: Opening, server: Server | None, observe: Any
    ) -> None:
        subject = Subject(ref.key, Reach(how.adapter, how.endpoint, how.options), server)
        request = self._request
        try:
            await measure(
                subject, request.checks, request.profile, seed=request.seed, observer=observe
            )
        finally:
            await self._torn_down(how, server)

    async def _torn_down(self, how: Opening, server: Server | None) -> None:
        """A check may have moved the server elsewhere, or taken with it what was there."""
        if server is not None:
            moved = replace(server.endpoint, namespace=how.endpoint.namespace)
            how = replace(how, endpoint=moved)
        try:
            async with how.opened() as store:
                await store.teardown()
        except StoreError as error:
            self._observer.note(f"left behind: {how.endpoint.namespace}: {error}")

    def write(self, folder: RunFolder, status: str) -> Path:
        """The matrix and the manifest, and the folder under its name."""
        folder.write_conformance(self.matrix.as_json())
        folder.write_manifest(self._manifest(folder.name, status))
        return folder.finish()

    def _manifest(self, name: str, status: str) -> dict[str, Any]:
        request = self._request
        return {
            "run": name,
            "kind": NAME,
            "status": status,
            "started_at": self._began,
            "finished_at": _now(),
            "command": request.command,
            "seed": request.seed,
            "profile": request.profile.name,
            "stores": [ref.key for ref in request.stores],
            "left_out": dict(self.missing),
            "commit": environment.commit(Path(__file__).parent),
            "environment": environment.describe(request.out),
            "servers": {
                technology: {
                    "provider": server.endpoint.provider,
                    "version": server.endpoint.version,
                    "image": server.endpoint.image,
                }
                for technology, server in self.servers.items()
            },
        }

    def _server_of(self, ref: StoreRef) -> str | None:
        return self._request.catalogue.stores[ref.technology].server

    def _leave_out(self, technology: str, reason: str) -> None:
        self.left_out[technology] = reason
        self._observer.note(f"left out: {reason}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

"""One run's servers, the paths to them, the stores left out, and their part of the manifest.

Benchmarks and conformance runs share it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, nullcontext
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.domain.errors import LabError, NoServer, StoreError, Unsuitable, UnsupportedByStore
from harness.domain.factory import StoreFactory
from harness.domain.faults import FaultKind
from harness.domain.flags import Flag, FlagCode
from harness.domain.marks import PREFIX, Mark
from harness.domain.proxies import proxy_to
from harness.domain.server import DataFolder, UsedByProcesses
from harness.domain.store import Endpoint, StoreKind
from harness.domain.temporary import remove_abandoned
from harness.domain.workload import Catalogue
from harness.run import data_places, environment, leftovers
from harness.run.data_places import DataPlace
from harness.run.faults import IN_PROCESS, Targets
from harness.run.worker_allocation import kept_on
from harness.scenario.faults import NETWORK_KINDS
from harness.scenario.model import Trial
from harness.scenario.names import StoreRef
from harness.servers import (
    TECHNOLOGIES,
    Server,
    UnsupportedByServer,
    choose_way,
    lab_disk_hindrance,
    serving,
)
from harness.servers.library import LibraryOnLabDisk
from harness.servers.native import guardian
from harness.servers.native.guard import Guard
from harness.servers.path.relaying import Relay, relayed, why_no_relay
from harness.servers.path.round_trip import ServerPath, measure

Manifest = dict[str, Any]


class Session:
    """Starts each server for the first store that needs it, and keeps it until the run ends.

    If the lab is killed, a guardian removes what is left of the run.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        out: Path,
        stack: AsyncExitStack,
        note: Callable[[str], None],
        lab_disk: bool = False,
    ) -> None:
        """`lab_disk`: the servers' data, and that of libraries, lies on disks of the lab's own."""
        self._lab_disk = lab_disk
        self._run_id = str(Mark.of_this_run())
        self.catalogue = catalogue
        self.scratch = out.absolute() / f"{leftovers.SCRATCH}{self._run_id}"
        """Removed with the stack, and by a guardian where the lab is killed."""
        self._stack, self._note = stack, note
        self.cores: frozenset[int] | None = None
        """Those that servers are kept on; set before the first of them starts."""
        self._guard: Guard | None = None
        self.ways: Mapping[str, str] = {}
        """To the servers, by technology; none of those that are left out."""
        self._warm: set[str] = set()
        self.servers: dict[str, Server] = {}
        self.disks: dict[str, LibraryOnLabDisk] = {}
        """Of in-process stores that keep files, where they lie on a disk of the lab's own."""
        self._beside: dict[str, tuple[Server, AsyncExitStack]] = {}
        """Servers on disks of the lab's own beside those of the run, for checks that hurt them."""
        self._settings: dict[str, Mapping[str, str]] = {}
        """Those that a server was started with."""
        self.pinned: list[str] = []
        """Technologies whose servers are kept on `cores`."""
        self.not_pinned: dict[str, str] = {}
        """Why the others are not, by technology."""
        self.paths = Paths(stack)
        self.places: dict[str, DataPlace] = {}
        """Where data lies, by the server, or by the in-process store that keeps files."""
        self._syncs: data_places.Syncs = {}
        self.left_out: dict[str, str] = {}
        """The reason why a store's technology is left out."""
        stack.push_async_callback(self._remove)

    def choose_ways(self, technologies: Iterable[str], asked: str) -> None:
        """Choose the way to the servers; leave out technologies without a driver or a server."""
        needed = {name: self.catalogue.stores[name] for name in technologies}
        missing = {name: kind.missing_driver() for name, kind in needed.items()}
        servers = {name: kind.server for name, kind in needed.items() if not missing[name]}
        choice = choose_way([server for server in servers.values() if server], asked)
        self.ways = dict(choice.ways)
        for technology, reason in missing.items():
            server = servers.get(technology)
            if reason:
                self.leave_out(technology, reason)
            elif server and server in choice.reasons:
                self.leave_out(technology, choice.reasons[server])

    def leave_out(self, technology: str, reason: str) -> None:
        """Leave a technology out from here on."""
        self.left_out[technology] = reason
        self._note(f"left out: {reason}")

    def require_any(self, technologies: Iterable[str]) -> None:
        """Raises `NoServer` where every technology is left out; else the run may begin."""
        if set(technologies) <= set(self.left_out):
            raise NoServer("no server is available: " + "; ".join(self.left_out.values()))
        self._be_guarded()

    async def place(
        self,
        store: StoreRef,
        name: str,
        settings: Mapping[str, str] | None = None,
    ) -> tuple[Endpoint, Server | None]:
        """A namespace for the store, not made yet, and its running server. Raises `NoServer`.

        An external server is tried before its first use.
        """
        namespace = f"{PREFIX}{self._run_id}_{name}"
        kind = self.catalogue.stores[store.technology]
        technology = kind.server
        if technology is None:
            self.scratch.mkdir(parents=True, exist_ok=True)
            folder = self.scratch
            if kind.keeps_files and self._lab_disk:
                folder = await self._disk_of(kind.name)
            if kind.keeps_files and kind.name not in self.places:
                await self._look_at_place(
                    kind.name,
                    data_places.own_folder(folder),
                    on_lab_disk=kind.name in self.disks,
                )
            return Endpoint(address=str(folder), namespace=namespace), None
        if technology not in self.servers:
            started = await self._started(technology, settings or {}, store)
            self._settings[technology] = settings or {}
            self.servers[technology] = started
            on_lab_disk = self._lab_disk and not started.why_not(FaultKind.FILL_DISK)
            folder_of_it = await started.data_folder()
            await self._look_at_place(technology, folder_of_it, on_lab_disk=on_lab_disk)
        server = self.servers[technology]
        return replace(server.endpoint, namespace=namespace), server

    async def _disk_of(self, technology: str) -> Path:
        """Where a library keeps its files: on its disk, or in the scratch where it has none."""
        if technology not in self.disks:
            disk = LibraryOnLabDisk(technology, scratch=self.scratch, clients_may_end=False)
            self._stack.push_async_callback(disk.stop)
            try:
                await disk.start()
            except NoServer as error:
                self._note(f"no disk of the lab's own: {error}")
                return self.scratch
            self.disks[technology] = disk
        return Path(self.disks[technology].endpoint.address)

    async def beside(self, store: StoreRef) -> tuple[Endpoint, Server]:
        """Another server for this store, on a disk of the lab's own.

        It is kept until it has ended, or another technology's is asked for.

        The run's own servers stay where they are: a loop device would slow every other check, and
        a server that a power loss ends for good would take their data along. Raises `NoServer` and
        `UnsupportedByServer`.
        """
        kind = self.catalogue.stores[store.technology]
        name = kind.server or kind.name
        for each, (server, stack) in list(self._beside.items()):
            if each != name or not _runs(server):
                del self._beside[each]
                await stack.aclose()
        if name not in self._beside:
            stack = await self._stack.enter_async_context(AsyncExitStack())
            self._beside[name] = await self._started_beside(kind, stack), stack
        server = self._beside[name][0]
        return server.endpoint, server

    async def _started_beside(self, kind: StoreKind, stack: AsyncExitStack) -> Server:
        if kind.server is None and not kind.keeps_files:
            raise UnsupportedByServer("keeps everything in memory, which a crash empties")
        hindrance = await asyncio.to_thread(lab_disk_hindrance)
        if hindrance:
            raise UnsupportedByServer(hindrance)
        if kind.server is None:
            self.scratch.mkdir(parents=True, exist_ok=True)
            disk = LibraryOnLabDisk(kind.name, scratch=self.scratch, clients_may_end=True)
            stack.push_async_callback(disk.stop)
            await disk.start()
            return disk
        way = self.ways[kind.server]
        if way == "external":
            raise UnsupportedByServer("a server of the user's own is never hurt")
        self._note(f"starting {kind.server} on a disk of the lab's own")
        return await stack.enter_async_context(
            serving(
                kind.server,
                way=way,
                scratch=self.scratch,
                settings=self._settings.get(kind.server, {}),
                on_lab_disk=True,
            )
        )

    async def place_trial(self, trial: Trial) -> tuple[Endpoint, Server | None]:
        """Where the trial's clients find its store, over the trial's path. Raises `NoServer`."""
        endpoint, server = await self.place(trial.store, str(trial.number), trial.server_settings)
        if server is None:
            return endpoint, None
        through_relay = with_network_faults(trial) and not no_relay(server)
        reached = await self.paths.to(server, trial.added_rtt_ms, through_relay=through_relay)
        return replace(reached, namespace=endpoint.namespace), server

    async def targets_of(self, trial: Trial, server: Server | None) -> Targets:
        """What the trial's faults hit. Raises `NoServer` if a relay cannot be started."""
        if server is None:
            return Targets(self.disks.get(trial.store.technology), no_relay=IN_PROCESS)
        if not with_network_faults(trial):
            return Targets(server)
        if reason := no_relay(server):
            return Targets(server, no_relay=reason)
        return Targets(server, await self.paths.relay_to(server))

    def with_server_warm_up(self, trial: Trial, server: Server | None) -> Trial:
        """The first trial on a fresh server also warms the server up, before the measurement."""
        if server is None or server.technology in self._warm:
            return trial
        self._warm.add(server.technology)
        return replace(trial, warm_up_s=max(trial.warm_up_s, server.warm_up_s))

    def described_servers(self) -> dict[str, Manifest]:
        """For the manifest, by technology."""
        return {
            technology: {
                "provider": server.endpoint.provider,
                "version": server.endpoint.version,
                "image": server.endpoint.image,
                **_proxy(server.endpoint),
            }
            for technology, server in self.servers.items()
        }

    def described_places(self) -> dict[str, Manifest]:
        """For the manifest, by server or in-process store: where its data lies."""
        return {name: place.described() for name, place in self.places.items()}

    def place_name(self, store: StoreRef) -> str:
        """Under which name `places` has a store's data, if it has."""
        return self.catalogue.stores[store.technology].server or store.technology

    def measured_at(self, out: Path, facts: Manifest) -> None:
        """Take over what the machine's facts say of the disk of the results."""
        self._syncs |= data_places.syncs_of(out, facts["environment"])

    async def _look_at_place(
        self, name: str, data: DataFolder | None, *, on_lab_disk: bool
    ) -> None:
        place = await asyncio.to_thread(data_places.place_of, data, self._syncs)
        self.places[name] = replace(place, on_lab_disk=on_lab_disk)

    def flags(self) -> list[Flag]:
        """Flags of the run that follow from its servers and the paths to them."""
        proxies = {name: _proxy(server.endpoint) for name, server in self.servers.items()}
        named = [f"{name} ({by['proxy']})" for name, by in sorted(proxies.items()) if by]
        behind = [Flag(FlagCode.PROXY, {"servers": ", ".join(named)})] if named else []
        free = {"cause": "servers", "servers": ", ".join(sorted(self.not_pinned))}
        roaming = [Flag(FlagCode.NOT_APART, free)] if self.not_pinned else []
        return [*behind, *roaming, *self.paths.flags()]

    async def _started(
        self, technology: str, settings: Mapping[str, str], introduced: StoreRef
    ) -> Server:
        way = self.ways[technology]
        self._note(f"starting {technology} ({way})")
        with kept_on(self.cores) if self.cores else nullcontext():
            server = await self._stack.enter_async_context(
                serving(
                    technology,
                    way=way,
                    scratch=self.scratch,
                    settings=settings,
                    on_lab_disk=self._lab_disk,
                )
            )
        if not server.controllable:
            namespace = f"{PREFIX}{self._run_id}_0"
            await introduce(server, introduced, self.catalogue, namespace)
        if server.endpoint.provider != "native":
            await self._clean(server, technology)
        if self.cores:
            await self._pin(server, self.cores)
        return server

    async def _pin(self, server: Server, cores: frozenset[int]) -> None:
        try:
            await server.pin(cores)
        except (UnsupportedByServer, NoServer, OSError) as error:
            self._note(f"not pinned: {error}")
            self.not_pinned[server.technology] = str(error)
            return
        self.pinned.append(server.technology)

    def _be_guarded(self) -> None:
        """Before the run makes anything: from here on a guardian waits for the lab's end."""
        if self._guard is None:
            remove_abandoned(self.scratch.parent, leftovers.SCRATCH, release=guardian.unmount)
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            self._guard = Guard([self.scratch], environment=environment)
            out = str(self.scratch.parent)
            command = [sys.executable, "-P", "-m", "harness", "clean", "--yes", "--out", out]
            self._guard.tidy_with(command)

    async def _remove(self) -> None:
        if self._guard is not None:
            self._guard.tidy_with(())
            await self._guard.finish()
        shutil.rmtree(self.scratch, ignore_errors=True)

    async def _clean(self, server: Server, technology: str) -> None:
        """Remove what killed runs of this machine left on a server that outlives runs."""
        kind = self.catalogue.stores[technology]
        if kind.missing_driver():
            return
        try:
            for each in await leftovers.on_server(kind, server.endpoint):
                if not each.state():
                    await each.remove()
        except (LabError, StoreError) as error:
            self._note(f"leftovers of killed runs are not known: {error}")


async def introduce(server: Server, store: StoreRef, catalogue: Catalogue, namespace: str) -> None:
    """Make and remove a namespace on the user's own server, before anything is measured.

    Raises `NoServer` where it is of another kind, refuses the lab's credentials, has other
    settings than those asked for, or where others would be hurt.
    """
    technology = server.technology
    endpoint = replace(server.endpoint, namespace=namespace)
    try:
        async with store_factory(store, catalogue, endpoint).set_up():
            pass
    except UnsupportedByStore:
        return  # the server is there, and other designs may run on it
    except Unsuitable as error:
        raise NoServer(f"{technology}: external: {error}") from None
    except (StoreError, NoServer) as error:
        reason = str(error).removeprefix(f"{technology}: ")
        question = f"is it {technology}, and are the credentials right?"
        raise NoServer(f"{technology}: external: {reason}; {question}") from None


class Paths:
    """How a run reaches its servers: measured once per server, delayed if a scenario says so."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._relays: dict[str, Relay] = {}
        self._measured: dict[tuple[str, float, bool], ServerPath] = {}
        """By technology, added delay, and whether a relay carries every byte."""

    async def to(
        self, server: Server, added_rtt_ms: float, *, through_relay: bool = False
    ) -> Endpoint:
        """Where clients find the server; a delay needs a relay, and so do faults of the network.

        Raises `NoServer` if no relay can be started.
        """
        technology = server.technology
        line = TECHNOLOGIES[technology].line
        if (technology, 0.0, False) not in self._measured:
            self._measured[technology, 0.0, False] = await measure(server, line)
        if not added_rtt_ms and not through_relay:
            return server.endpoint
        if reason := why_no_relay(line, server.endpoint):
            raise NoServer(f"{technology}: path.rtt_ms: {reason}")
        relay = await self.relay_to(server)
        await relay.lengthen(added_rtt_ms)
        place = technology, added_rtt_ms, True
        if place not in self._measured:
            longer = await measure(server, line, relay.endpoint)
            kind = f"{longer.kind}, through a relay"
            self._measured[place] = replace(longer, kind=kind, added_rtt_ms=added_rtt_ms)
        return replace(server.endpoint, address=relay.endpoint.address)

    async def relay_to(self, server: Server) -> Relay:
        """The run's one relay to the server, which leads to its present address.

        Raises `NoServer` where there can be none.
        """
        technology = server.technology
        if technology not in self._relays:
            made = relayed(technology, TECHNOLOGIES[technology].line, server.endpoint)
            self._relays[technology] = await self._stack.enter_async_context(made)
        relay = self._relays[technology]
        await relay.target(server.endpoint)
        return relay

    def described(self, technology: str) -> list[Manifest]:
        """For the manifest: the paths to a technology's server."""
        return [asdict(each) for (name, *_), each in self._measured.items() if name == technology]

    def flags(self) -> list[Flag]:
        """Flags of the run that follow from its paths."""
        proxied = sorted(
            {t for (t, *_), each in self._measured.items() if each.kind == "docker-proxy"}
        )
        return [Flag(FlagCode.DOCKER_PROXY, {"servers": ", ".join(proxied)})] if proxied else []


def _runs(server: Server) -> bool:
    """Whether it still has a process; a library has none to lose."""
    return isinstance(server, UsedByProcesses) or server.statistics().began_s is not None


def with_network_faults(trial: Trial) -> bool:
    """Whether its clients reach the server through a relay from the start."""
    return any(fault.kind in NETWORK_KINDS for fault in trial.faults)


def no_relay(server: Server) -> str:
    """Why clients of the server cannot use a relay; empty where they can."""
    line = TECHNOLOGIES[server.technology].line
    return why_no_relay(line, server.endpoint)


def _proxy(endpoint: Endpoint) -> Manifest:
    """The proxy to a server, without its password; nothing where there is none."""
    proxy = proxy_to(endpoint.address)
    return {"proxy": str(proxy)} if proxy else {}


def store_factory(store: StoreRef, catalogue: Catalogue, endpoint: Endpoint) -> StoreFactory:
    """How to open a variant at an endpoint."""
    kind = catalogue.stores[store.technology]
    return StoreFactory(kind.variants[store.variant], endpoint, store.options)


def machine_facts(data_folder: Path) -> Manifest:
    """The lab's commit and the machine, for the manifest."""
    return {
        "commit": environment.commit(Path(__file__).parent),
        "environment": environment.describe(data_folder),
    }


def now() -> str:
    """The time for a manifest: UTC, in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")

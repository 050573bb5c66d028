"""`eslab calibrate --drivers`: the lab's append and a bare loop on the same driver, in turns.

Both sides run in this process, with the same callers and the same events, each turn in a namespace
of its own on the same server.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from harness.analysis.comparison import fingerprint
from harness.domain.cancellation import raise_if_cancelled
from harness.domain.costs import GENERATOR_CPU_S, GENERATOR_KERNEL_S, Usage
from harness.domain.errors import BadInput, NoServer, StoreError
from harness.domain.factory import StoreFactory
from harness.domain.store import BareAppend, BareLoop, NewEvent
from harness.domain.workload import Catalogue
from harness.load.coordinator import coordinate, inline_workers
from harness.load.events import EventFactory
from harness.load.pacing import NS_A_SECOND
from harness.load.trial_files import TrialFiles
from harness.load.worker import cpu_counts, frozen_garbage
from harness.run.driver_costs import ClientCosts, DriverCost, Offered, remember
from harness.run.session import Session, machine_facts, now, store_factory
from harness.run.trial import fitted
from harness.scenario.model import ClosedLoop, EventShape, Streams, Trial
from harness.scenario.names import StoreRef, store_named

ROUNDS = 3
STREAMS = 1000
_WARM_UP_S = 0.5
_EVENTS_MAX = 400_000
"""Made before a bare loop's turn; where they are all written, the turn ends."""
_SPARE = 3
"""How many times the events of the lab's turn a bare loop is offered."""
_US = 1e6


@dataclass(frozen=True, slots=True)
class Request:
    """The user's options."""

    stores: Sequence[StoreRef]
    catalogue: Catalogue
    offered: Offered
    seconds: float
    """Of each turn."""
    out: Path
    way: str = "auto"


def stores_with_a_bare_loop(catalogue: Catalogue) -> list[StoreRef]:
    """The default design of each technology that has one."""
    kinds = [kind for kind in catalogue.stores.values() if "" in kind.bare_loops]
    return [store_named(kind.name, catalogue) for kind in kinds]


async def calibrate_drivers(
    request: Request, note: Callable[[str], None]
) -> tuple[list[DriverCost], Path]:
    """Every store that can be started, in order, kept in the file that runs read.

    Raises `BadInput` for a design without a bare loop, `NoServer` where no store can be started.
    """
    for ref in request.stores:
        _bare_loop(ref, request.catalogue)
    async with AsyncExitStack() as stack:
        session = Session(request.catalogue, out=request.out, stack=stack, note=note)
        technologies = [ref.technology for ref in request.stores]
        session.choose_ways(technologies, request.way)
        session.require_any(technologies)
        machine = fingerprint(machine_facts(request.out)["environment"])
        costs = [cost async for cost in _measured(request, session, note)]
        session.require_any(technologies)
        return costs, remember(request.out, machine, costs)


def _bare_loop(ref: StoreRef, catalogue: Catalogue) -> BareLoop:
    loops = catalogue.stores[ref.technology].bare_loops
    if ref.variant not in loops:
        named = (f"{ref.technology}:{name}".rstrip(":") for name in loops)
        others = f"; there is one for {', '.join(named)}" if loops else ""
        raise BadInput(f"--stores: no bare loop for {ref.key}{others}")
    return loops[ref.variant]


async def _measured(
    request: Request, session: Session, note: Callable[[str], None]
) -> AsyncIterator[DriverCost]:
    for number, ref in enumerate(request.stores):
        if ref.technology in session.left_out:
            continue
        try:
            endpoint, server = await session.place(ref, f"driver{number}")
        except NoServer as error:
            session.leave_out(ref.technology, str(error))
            continue
        note(f"{ref.key}: {ROUNDS} turns of {request.seconds:g} s for the lab and as many bare")
        how = store_factory(ref, request.catalogue, endpoint)
        warm_up_s = server.warm_up_s if server else 0.0
        try:
            yield await _Turns(request, ref, how, session.scratch).measured(warm_up_s)
        except StoreError as error:
            raise_if_cancelled()
            session.leave_out(ref.technology, f"{ref.key}: {error}")


@dataclass(frozen=True, slots=True)
class _Turns:
    request: Request
    ref: StoreRef
    how: StoreFactory
    scratch: Path

    async def measured(self, warm_up_s: float) -> DriverCost:
        """The lab's turns and the bare loop's, in changing order."""
        trial = fitted(self._trial(), self.request.catalogue, self.how.guarantees)
        numbers = itertools.count()
        first = await self._of_the_lab(replace(trial, warm_up_s=max(warm_up_s, _WARM_UP_S)), 0)
        events = min(_EVENTS_MAX, int(_SPARE * first.per_s * (self.request.seconds + _WARM_UP_S)))
        lab: list[ClientCosts] = []
        bare: list[ClientCosts] = []
        for turn in range(ROUNDS):
            for side in ("lab", "bare") if turn % 2 == 0 else ("bare", "lab"):
                number = next(numbers) + 1
                if side == "lab":
                    lab.append(await self._of_the_lab(trial, number))
                else:
                    bare.append(await self._bare(trial, number, events))
        expected = str(trial.parameters.model_dump()["expected"])
        return _compared(self.ref.key, replace(self.request.offered, expected=expected), lab, bare)

    async def _of_the_lab(self, trial: Trial, number: int) -> ClientCosts:
        """A trial with full recording, into files that are thrown away."""
        trial = replace(trial, number=number, seed=f"drivers/{number}")
        folder = self.scratch / f"driver-{self.ref.technology}-{number}"
        files = TrialFiles(*(folder / name for name in ("samples", "appends", "none")))
        workload = self.request.catalogue.workloads[trial.workload].make(trial.parameters)
        async with self._place(number).set_up() as store:
            sinks = files.sinks(deliveries=False)
            async with inline_workers(trial, store, workload, sinks) as workers:
                measured = await coordinate(workers, trial)
        files.remove()
        window = measured.window
        wall_s = (window.ended_ns - window.started_ns) / NS_A_SECOND
        return _costs(window.scheduled, wall_s, measured.usage)

    async def _bare(self, trial: Trial, number: int, events: int) -> ClientCosts:
        loop = _bare_loop(self.ref, self.request.catalogue)
        made = EventFactory(trial.events, f"drivers/{number}").new_events(events)
        callers = self.request.offered.callers
        async with self._place(number).set_up() as store, loop(store, callers) as appends:
            source = iter(made)
            await _offer(appends, source, _WARM_UP_S)
            async with frozen_garbage():
                before, began_s = cpu_counts(), time.perf_counter()
                count = await _offer(appends, source, self.request.seconds)
                wall_s, after = time.perf_counter() - began_s, cpu_counts()
        return _costs(count, wall_s, Usage(before, after))

    def _place(self, number: int) -> StoreFactory:
        return self.how.in_namespace(f"{self.how.endpoint.namespace}_{number}")

    def _trial(self) -> Trial:
        offered, kind = self.request.offered, self.request.catalogue.workloads["append"]
        return Trial(
            number=1,
            scenario="drivers",
            store=self.ref,
            workload=kind.name,
            parameters=kind.parameters.model_validate({"expected": offered.expected}),
            load=ClosedLoop(workers=offered.callers),
            processes=1,
            events=EventShape(size_bytes=offered.size_bytes),
            streams=Streams(count=STREAMS),
            verify=None,
            conformance=False,
            server_settings={},
            added_rtt_ms=0.0,
            point={},
            warm_up_s=_WARM_UP_S,
            duration_s=self.request.seconds,
            operations=None,
            drain_s=5.0,
            repetition=1,
            seed="drivers",
        )


async def _offer(appends: Sequence[BareAppend], events: Iterator[NewEvent], seconds: float) -> int:
    """Every caller appends for so long, or until no event is left; how many were appended."""
    until_s, clock = time.perf_counter() + seconds, time.perf_counter

    async def call(number: int, append: BareAppend) -> int:
        count, own = 0, range(number, STREAMS, len(appends))
        for stream in itertools.cycle([f"order-{each}" for each in own]):
            event = next(events, None)
            if event is None or clock() >= until_s:
                return count
            await append(stream, event)
            count += 1
        return count

    return sum(await asyncio.gather(*(call(*each) for each in enumerate(appends))))


def _costs(count: int, wall_s: float, usage: Usage) -> ClientCosts:
    cpu_s, kernel_s = (usage.used(name) or 0.0 for name in (GENERATOR_CPU_S, GENERATOR_KERNEL_S))
    each_us = _US / max(count, 1)
    return ClientCosts(count / wall_s, max(0.0, cpu_s - kernel_s) * each_us, kernel_s * each_us)


def _compared(
    key: str, offered: Offered, lab: Sequence[ClientCosts], bare: Sequence[ClientCosts]
) -> DriverCost:
    pairs = list(zip(lab, bare, strict=True))
    shares = [own.cpu_us / all_.cpu_us for all_, own in pairs]
    return DriverCost(
        key=key,
        measured_at=now(),
        offered=offered,
        lab=_median(lab),
        bare=_median(bare),
        user_share=statistics.median(own.user_us / all_.user_us for all_, own in pairs),
        share=statistics.median(shares),
        share_least=min(shares),
        share_most=max(shares),
        turns=len(pairs),
    )


def _median(sides: Sequence[ClientCosts]) -> ClientCosts:
    return ClientCosts(
        *(
            statistics.median(getattr(each, name) for each in sides)
            for name in ("per_s", "user_us", "kernel_us")
        )
    )

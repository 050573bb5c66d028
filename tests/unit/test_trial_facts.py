"""What a trial notes of the server that it ran on, from the settings as read back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.domain.durability import Durability
from harness.domain.factory import StoreFactory
from harness.domain.faults import Fault, FaultKind
from harness.domain.placement import Placement
from harness.domain.store import Endpoint
from harness.domain.workload import Catalogue
from harness.results import RunFolder
from harness.run.faults import IN_PROCESS, Occurrence, Targets
from harness.run.trial import TrialRun
from harness.run.trial_result import TrialFacts, trial_result, violation_counts
from harness.scenario.model import ClosedLoop, EventShape, Streams, Trial, Verify
from harness.scenario.names import StoreRef
from harness.stores import kinds
from harness.stores.memory.store import GUARANTEES, MemoryOptions, MemoryStore
from harness.verification.violations import Kind, Verification
from harness.workloads import kinds as workloads

from .remembering import Remembering
from .scenarios import SMALL, loaded


class Changed(MemoryStore):
    """A store whose settings say what its server is."""

    @staticmethod
    def durability_of(settings):
        return Durability.UNKNOWN if settings["storage"] == "unknown" else Durability.MEMORY

    @staticmethod
    def emulator_of(settings):
        return "an emulator" if settings["server"] == "local" else ""

    async def settings(self):
        return {"server": "local", "storage": "unknown"}


def trial():
    append = workloads()["append"]
    return Trial(
        number=1, scenario="made", store=StoreRef("memory"),
        workload="append", parameters=append.parameters(), load=ClosedLoop(workers=1),
        events=EventShape(types={"Placed": 1}), streams=Streams(count=1),
        verify=Verify(streams_max=1), conformance=False, server_settings={}, point={},
        processes=1, added_rtt_ms=0.0, warm_up_s=0.0,
        duration_s=None, operations=5, drain_s=5.0, repetition=1, seed="1/1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("adapter", "durability", "emulator"),
    [
        (MemoryStore, Durability.MEMORY, ""),
        (Changed, Durability.UNKNOWN, "an emulator"),
    ],
)
async def test_class_and_emulator_follow_the_settings(adapter, durability, emulator, tmp_path):
    facts = await TrialRun(
        trial=trial(),
        how=StoreFactory(adapter, Endpoint(namespace=str(tmp_path)), MemoryOptions()),
        catalogue=Catalogue(kinds(), workloads()),
        folder=RunFolder.create(tmp_path, "made"),
        server=None,
        watcher=None,
    ).run()
    assert facts.status == "done", facts.message
    assert (facts.durability, facts.emulator) == (durability, emulator)


async def faulted(tmp_path, *fails: str) -> TrialFacts:
    """A trial of 0.3 s in which the server is killed, or is not."""
    kill = Fault(FaultKind.KILL_SERVER, 0.05, 0.05)
    return await TrialRun(
        trial=replace(trial(), duration_s=0.3, operations=None, faults=(kill,)),
        how=StoreFactory(MemoryStore, Endpoint(namespace=str(tmp_path)), MemoryOptions()),
        catalogue=Catalogue(kinds(), workloads()),
        folder=RunFolder.create(tmp_path, "made"),
        server=None,
        watcher=None,
        targets=Targets(Remembering(*fails)),
    ).run()


async def test_a_fault_that_was_carried_out_leaves_the_trial_as_good_as_any(tmp_path):
    facts = await faulted(tmp_path)
    assert (facts.status, facts.message) == ("done", "")
    assert facts.faults[0].carried_out
    assert facts.verification is not None


async def test_a_fault_that_failed_makes_the_trial_invalid_with_the_reason(tmp_path):
    facts = await faulted(tmp_path, "kill")
    assert facts.status == "failed"
    assert facts.message == "kill server at 0.05 s for 0.05 s: it is gone"
    assert facts.measured is not None


async def test_a_server_that_does_not_start_again_is_not_asked_for_what_it_kept(tmp_path):
    facts = await faulted(tmp_path, "restart")
    assert facts.server_is_down
    assert facts.verification is None
    assert "the server did not start again: it is gone" in facts.message


async def test_a_fault_that_is_not_reached_leaves_the_trial_valid(tmp_path):
    facts = await TrialRun(
        trial=replace(trial(), faults=(Fault(FaultKind.LOSE_POWER, 0.0, 0.05),)),
        how=StoreFactory(MemoryStore, Endpoint(namespace=str(tmp_path)), MemoryOptions()),
        catalogue=Catalogue(kinds(), workloads()),
        folder=RunFolder.create(tmp_path, "made"),
        server=None,
        watcher=None,
    ).run()
    assert facts.status == "done"
    assert facts.faults[0].why_not == IN_PROCESS


LOST = Verification(
    violations=(),
    counts={Kind.LOST: 1},
    unknown_written=0,
    unknown_lost=0,
    streams_read=1,
    streams_total=1,
    events_read=1,
)


@pytest.mark.parametrize(
    ("durability", "broken"),
    [
        (Durability.UNKNOWN, 0),
        (Durability.MEMORY, 0),
        (Durability.BOUNDED_LOSS, 0),
        (Durability.PROCESS_CRASH, 1),
        (Durability.POWER_LOSS, 1),
    ],
)
def test_a_server_that_died_breaks_only_a_class_that_is_known_to_survive(durability, broken):
    facts = TrialFacts(
        guarantees=GUARANTEES, durability=durability, verification=LOST, server_killed=True
    )
    counts = violation_counts(facts)
    assert (counts.violations, counts.declared_violations) == (1, broken)


def happened(kind: FaultKind) -> list[Occurrence]:
    return [Occurrence(Fault(kind, 5, 1), began_ns=5, ended_ns=6, back_ns=7)]


@pytest.mark.parametrize(
    ("kind", "durability", "broken"),
    [
        (FaultKind.KILL_SERVER, Durability.BOUNDED_LOSS, 0),
        (FaultKind.KILL_SERVER, Durability.PROCESS_CRASH, 1),
        (FaultKind.KILL_SERVER, Durability.POWER_LOSS, 1),
        (FaultKind.LOSE_POWER, Durability.PROCESS_CRASH, 0),
        (FaultKind.LOSE_POWER, Durability.POWER_LOSS, 1),
        (FaultKind.PAUSE_SERVER, Durability.MEMORY, 1),
        (FaultKind.CUT_NETWORK, Durability.MEMORY, 1),
        (FaultKind.FILL_DISK, Durability.BOUNDED_LOSS, 0),
        (FaultKind.FILL_DISK, Durability.PROCESS_CRASH, 1),
    ],
)
def test_a_loss_is_a_broken_promise_by_its_class_and_by_what_happened(kind, durability, broken):
    facts = TrialFacts(
        guarantees=GUARANTEES, durability=durability, verification=LOST, faults=happened(kind)
    )
    counts = violation_counts(facts)
    assert (counts.declared_violations, counts.excused_violations) == (broken, 1 - broken)
    assert counts.lost == 1


@pytest.mark.parametrize(
    ("oldest_s", "bound_s", "broken"), [(1.5, 0.6, 0), (1.7, 0.6, 1), (1.7, None, 0), (0.0, 0.6, 0)]
)
def test_a_loss_older_than_its_bound_breaks_the_class_of_bounded_loss(oldest_s, bound_s, broken):
    facts = TrialFacts(
        guarantees=GUARANTEES, durability=Durability.BOUNDED_LOSS, verification=LOST,
        faults=happened(FaultKind.KILL_SERVER), oldest_lost_s=oldest_s, loss_bound_s=bound_s,
    )  # fmt: skip
    assert violation_counts(facts).declared_violations == broken
    facts.durability = Durability.MEMORY
    assert violation_counts(facts).declared_violations == 0


def test_a_fault_that_did_not_happen_excuses_nothing():
    never = [Occurrence(Fault(FaultKind.LOSE_POWER, 5, 1), why_not="no disk of the lab's own")]
    facts = TrialFacts(
        guarantees=GUARANTEES, durability=Durability.MEMORY, verification=LOST, faults=never
    )
    assert violation_counts(facts).declared_violations == 1


def test_what_follows_from_a_loss_is_excused_with_it_and_alone_it_is_not():
    follows = {Kind.SKIPPED: 3, Kind.DELIVERED_OUT_OF_ORDER: 2}
    for lost, broken in ((1, 0), (0, 5)):
        counts = follows | ({Kind.LOST: lost} if lost else {})
        facts = TrialFacts(
            guarantees=GUARANTEES,
            durability=Durability.MEMORY,
            verification=replace(LOST, counts=counts),
            faults=happened(FaultKind.KILL_SERVER),
        )
        assert violation_counts(facts).declared_violations == broken


def test_order_is_never_excused():
    inverted = replace(LOST, counts={Kind.LOST: 1, Kind.INVERTED: 1})
    facts = TrialFacts(
        guarantees=GUARANTEES,
        durability=Durability.MEMORY,
        verification=inverted,
        faults=happened(FaultKind.KILL_SERVER),
    )
    assert violation_counts(facts).declared_violations == 1


def test_what_a_driver_says_in_several_lines_is_one_line(tmp_path):
    scenario = loaded(tmp_path, SMALL)
    facts = TrialFacts(status="failed", message="DiskFullError: no room\nDETAIL:  on\tdevice.")
    result = trial_result(
        scenario, scenario.trials[0], facts, None, run="made", endpoint=Endpoint("", "made"),
        has_server=False, placement=Placement("0-1", "", served=False),
        place_allows=Durability.POWER_LOSS, rate_source=None, loop="asyncio",
    )  # fmt: skip
    assert result.message == "DiskFullError: no room DETAIL: on device."

"""The workload `boundary`: what each design keeps, and what it counts."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from random import Random
from uuid import uuid4

import pytest

from harness.domain.boundaries import BoundaryAppend, TaggedEvent
from harness.domain.errors import BoundaryViolated, UnsupportedByStore, WrongExpectedVersion
from harness.domain.store import NewEvent, StreamState
from harness.stores.memory.log import Log
from harness.stores.memory.store import GUARANTEES, BoundaryMemory, MemoryStore, logs
from harness.workloads import boundary
from harness.workloads.boundary import BoundaryParameters, Enrolment, fitted

PROTECTED = ("boundary", "one-stream", "saga")
KEPT = dict.fromkeys(boundary.RULES.values(), 0)


class Cycle:
    def __init__(self, *courses):
        self.courses, self.read = courses or ("course-0",), 0

    def choose_stream(self, rng):
        return rng.choice(self.courses)

    def new_events(self, count):
        return [NewEvent(uuid4(), "OrderPlaced", b"{}", b"{}") for _ in range(count)]

    def count_events(self, count):
        self.read += count


class AllAtOnce(BoundaryMemory):
    """No append goes through before `clients` of them were decided on."""

    def __init__(self, namespace, clients):
        super().__init__(namespace)
        self.waiting = clients
        self.decided = asyncio.Event()

    async def _gather(self):
        self.waiting -= 1
        if self.waiting <= 0:
            self.decided.set()
        await self.decided.wait()

    async def append(self, stream, events, *, expected):
        await self._gather()
        return await super().append(stream, events, expected=expected)

    async def append_if(self, events, *, fail_if_match, after=None):
        await self._gather()
        return await super().append_if(events, fail_if_match=fail_if_match, after=after)


class OneMoreTry(BoundaryMemory):
    """A store that finds a conflict of its own in each append, and tries again."""

    async def append_if(self, events, *, fail_if_match, after=None):
        done = await super().append_if(events, fail_if_match=fail_if_match, after=after)
        return BoundaryAppend(done.position, tries=2)


class Touchy(BoundaryMemory):
    """Refuses the first append; `meanwhile` is what came in between."""

    def __init__(self, namespace, meanwhile=()):
        super().__init__(namespace)
        self.meanwhile, self.refused = meanwhile, False

    async def append_if(self, events, *, fail_if_match, after=None):
        if not self.refused:
            self.refused = True
            for event in self.meanwhile:
                await super().append_if([event], fail_if_match=None)
            raise BoundaryViolated("something may have been written")
        return await super().append_if(events, fail_if_match=fail_if_match, after=after)


@pytest.fixture
def opened():
    made = []

    def one(kind=BoundaryMemory, *more):
        store = kind(f"boundary-{uuid4()}", *more)
        logs[store.namespace] = Log()
        made.append(store)
        return store

    yield one
    for store in made:
        del logs[store.namespace]


def workload(protection="boundary", **limits):
    return Enrolment(BoundaryParameters(protection=protection, **limits))


def event(kind, **about):
    tags = tuple(f"{name}:{value}" for name, value in about.items())
    return TaggedEvent(uuid4(), kind, b"{}", json.dumps(about).encode(), tags)


async def offer(made, store, cycle, *, clients, operations):
    """How many operations each client lost to conflicts."""

    async def client(number):
        rng, lost = Random(number), 0
        for _ in range(operations):
            try:
                await made.run(store, cycle, rng)
            except (WrongExpectedVersion, BoundaryViolated):
                lost += 1
        return lost

    return await asyncio.gather(*map(client, range(clients)))


@pytest.mark.parametrize("protection", PROTECTED)
async def test_a_protected_rule_holds_whatever_many_clients_do_at_once(opened, protection):
    store, cycle = opened(), Cycle("course-0", "course-1")
    made = workload(protection, capacity=3, courses_max=2, students=20, register_share=0.2)
    await offer(made, store, cycle, clients=12, operations=25)
    assert await made.audit(store) == KEPT
    written = [each.type async for each in store.read_all()]
    assert len(written) > 20
    assert made.counts()["decisions"] >= 12 * 25
    assert made.counts()["events_read"] == cycle.read


@pytest.mark.parametrize("protection", [*PROTECTED, "none"])
@pytest.mark.parametrize("rule", ["course", "student", "name"])
async def test_decisions_on_one_state_break_a_rule_only_where_nothing_protects_it(
    opened, monkeypatch, protection, rule
):
    monkeypatch.setattr(boundary, "_NAMES_AHEAD", 1)
    limits = {
        "course": {"capacity": 1, "courses_max": 9, "register_share": 0},
        "student": {"capacity": 9, "courses_max": 1, "students": 1, "register_share": 0},
        "name": {"register_share": 1},
    }
    made = workload(protection, **limits[rule])
    store = opened(AllAtOnce, 4)
    await offer(made, store, Cycle(), clients=4, operations=1)
    broken = 1 if protection == "none" else 0
    assert await made.audit(store) == KEPT | {boundary.RULES[rule]: broken}


async def test_a_choice_is_withdrawn_where_the_course_turns_out_full(opened):
    made = workload("saga", capacity=1, register_share=0)
    store = opened(AllAtOnce, 4)
    assert await offer(made, store, Cycle(), clients=4, operations=1) == [0, 0, 0, 0]
    assert made.counts()["compensations"] == 3
    types = [each.type async for each in store.read_all()]
    assert types.count(boundary.CHOSEN) - types.count(boundary.WITHDRAWN) == 1
    assert types.count(boundary.ACCEPTED) == 1


async def test_a_choice_is_withdrawn_where_the_course_was_lost_to_conflicts(opened):
    class Contended(MemoryStore):
        async def append(self, stream, events, *, expected):
            if stream == "course-0":
                raise WrongExpectedVersion(stream, expected, None)
            return await super().append(stream, events, expected=expected)

    made, store = workload("saga", attempts_max=3, register_share=0), opened(Contended)
    assert await offer(made, store, Cycle(), clients=1, operations=1) == [1]
    assert made.counts()["compensations"] == 1
    assert [each.type async for each in store.read_all()] == [boundary.CHOSEN, boundary.WITHDRAWN]


async def test_the_last_conflict_is_the_outcome_of_an_operation(opened):
    made, store = workload(attempts_max=1, register_share=0), opened(Touchy)
    assert await offer(made, store, Cycle(), clients=1, operations=1) == [1]
    assert made.counts()["decisions"] == 1


async def test_a_conflict_is_false_if_nothing_new_matters(opened):
    made, store = workload(register_share=0), opened(Touchy)
    await offer(made, store, Cycle(), clients=1, operations=1)
    assert made.counts()["false_conflicts"] == 1


async def test_a_conflict_is_none_of_those_if_the_boundary_has_a_new_event(opened):
    booked = event(boundary.BOOKED, course="course-0", student="student-x")
    made, store = workload(register_share=0), opened(Touchy, [booked])
    await offer(made, store, Cycle(), clients=1, operations=1)
    assert made.counts()["false_conflicts"] == 0


async def test_no_conflict_that_the_store_found_to_be_none_is_lost_between_clients(opened):
    made, store = workload(register_share=0), opened(OneMoreTry)
    cycle = Cycle(*(f"course-{number}" for number in range(50)))
    await offer(made, store, cycle, clients=8, operations=5)
    written = [each async for each in store.read_all()]
    assert made.counts()["false_conflicts"] >= len(written) > 8


async def test_in_one_stream_other_courses_are_in_the_way(opened):
    made = workload("one-stream", register_share=0)
    store = opened(AllAtOnce, 4)
    cycle = Cycle(*(f"course-{number}" for number in range(1000)))
    await offer(made, store, cycle, clients=4, operations=1)
    assert made.counts()["false_conflicts"] == 3 + 2 + 1


async def test_a_full_course_gets_a_new_term_and_a_busy_student_a_successor(opened):
    made = workload(capacity=2, courses_max=3, students=1, register_share=0)
    store = opened()
    await offer(made, store, Cycle(), clients=1, operations=8)
    about = [json.loads(each.metadata) async for each in store.read_all()]
    assert [(each["course"], each["student"]) for each in about] == [
        ("course-0", "student-0"),
        ("course-0", "student-0"),
        ("course-0.1", "student-0"),
        ("course-0.1", "student-0.1"),
        ("course-0.2", "student-0.1"),
    ]


async def test_what_a_decision_reads_stays_small(opened):
    made, store, cycle = workload(register_share=0), opened(), Cycle()
    await offer(made, store, cycle, clients=1, operations=300)
    most = made.counts()["decisions"] * (20 + 5)
    assert made.counts()["events_read"] <= most


async def test_events_keep_the_generators_data(opened):
    store = opened()
    await offer(workload(), store, Cycle(), clients=1, operations=5)
    assert {each.data async for each in store.read_all()} == {b"{}"}


@pytest.mark.parametrize(
    ("log", "broken"),
    [
        ([("CourseBooked", "course-0", number) for number in range(2)], {}),
        ([("CourseBooked", "course-0", number) for number in range(3)], {"course": 1}),
        ([("StudentAccepted", "course-0", number) for number in range(3)], {"course": 1}),
        ([("CourseBooked", f"course-{number}", 1) for number in range(3)], {"student": 1}),
        ([("CourseChosen", f"course-{number}", 1) for number in range(3)], {"student": 1}),
        ([("OrderPlaced", "course-0", number) for number in range(9)], {}),
    ],
)
async def test_an_audit_counts_courses_and_students_over_their_limits(opened, log, broken):
    store = opened()
    for kind, course, student in log:
        told = event(kind, course=course, student=f"student-{student}")
        await store.append("any-1", [told], expected=StreamState.ANY)
    audited = await workload(capacity=2, courses_max=2).audit(store)
    assert audited == KEPT | {boundary.RULES[rule]: count for rule, count in broken.items()}


@pytest.mark.parametrize(("order", "broken"), [("CCWC", 0), ("CCCW", 1)])
async def test_an_audit_sees_what_was_broken_for_a_while(opened, order, broken):
    store, types = opened(), {"C": boundary.CHOSEN, "W": boundary.WITHDRAWN}
    for letter in order:
        told = event(types[letter], course="course-0", student="student-0")
        await store.append("student-0", [told], expected=StreamState.ANY)
    audited = await workload(courses_max=2).audit(store)
    assert audited["students over their courses"] == broken


async def test_an_audit_counts_a_name_once_however_often_it_was_taken(opened):
    store = opened()
    for name in ("a", "b", "b", "b", "c"):
        await store.append_if([event(boundary.TAKEN, name=name)], fail_if_match=None)
    assert await workload().audit(store) == KEPT | {"names taken twice": 1}


@pytest.mark.parametrize(
    ("protection", "lacks", "reason"),
    [
        ("boundary", {"boundaries": "none"}, "conditional on a query"),
        ("one-stream", {"occ": "none"}, "no expected versions"),
        ("saga", {"occ": "none"}, "no expected versions"),
        ("none", {"keeps_metadata": False}, "what an event is about"),
    ],
)
def test_a_store_that_lacks_what_a_design_needs_is_unsupported(protection, lacks, reason):
    parameters = BoundaryParameters(protection=protection)
    able = replace(GUARANTEES, boundaries="native")
    assert fitted(parameters, able) == (parameters, ())
    with pytest.raises(UnsupportedByStore, match=reason):
        fitted(parameters, replace(able, **lacks))


async def test_a_store_without_boundaries_says_so(opened):
    store = opened(MemoryStore)
    with pytest.raises(UnsupportedByStore):
        await workload().run(store, Cycle(), Random(1))


def test_clients_that_see_the_same_end_make_one_successor():
    terms = boundary.Successors()
    for _ in range(3):
        terms.after("course-0", "course-0")
    assert terms.now("course-0") == "course-0.1"

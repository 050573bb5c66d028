"""Boundary: students book courses; rules that span two streams, protected in four designs.

A course takes at most `capacity` students, a student books at most `courses_max` courses, and a
name is taken once. A course that is full gets a new term, and a student who has all courses is
succeeded by another, so that what a decision reads stays small however long a trial is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from random import Random
from typing import Any, Literal, Protocol

from pydantic import Field

from harness.domain.boundaries import Boundaries, BoundaryItem, TaggedEvent
from harness.domain.errors import (
    BoundaryViolated,
    StreamNotFound,
    UnsupportedByStore,
    WrongExpectedVersion,
)
from harness.domain.flags import Flag
from harness.domain.store import (
    EventStore,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    Position,
    RecordedEvent,
    StreamState,
)
from harness.domain.workload import Cycle, WorkloadKind, WorkloadParameters

BOOKED = "CourseBooked"
"""Of a course and a student at once."""
CHOSEN, ACCEPTED, WITHDRAWN = "CourseChosen", "StudentAccepted", "ChoiceWithdrawn"
"""The same in two streams: the student's, the course's, and the student's if that was full."""
TAKEN = "NameTaken"

EVERYTHING = "enrolment-1"
"""The one stream of the design that has only one."""
RULES: Mapping[str, str] = {
    "course": "courses over capacity",
    "student": "students over their courses",
    "name": "names taken twice",
}
"""What a broken rule is called, by what it is about."""
_NAMES_AHEAD = 16
"""Names are drawn this far beyond the number of those that are known to be taken."""


class BoundaryParameters(WorkloadParameters):
    """Parameters of `boundary`."""

    protection: Literal["boundary", "one-stream", "saga", "none"] = Field(
        "boundary",
        description="`boundary`: an append conditional on a query over tags. `one-stream`: all in"
        " one stream, with its exact version. `saga`: the student's stream, then the course's, each"
        " with its exact version, and a compensation. `none`: both, without an expected version",
    )
    capacity: int = Field(20, ge=1, le=10_000, description="students that a course takes")
    courses_max: int = Field(5, ge=1, le=10_000, description="courses that a student books")
    students: int = Field(1000, ge=1, le=10_000_000, description="students, drawn uniformly")
    register_share: float = Field(
        0.1, ge=0, le=1, description="operations that register a name instead of booking"
    )
    attempts_max: int = Field(
        10, ge=1, le=1000, description="attempts before the conflict is the operation's outcome"
    )


class Refusal(Enum):
    """What a rule answers. The operation ends well: it was decided, and nothing is written."""

    COURSE_FULL = "the course takes no more students"
    STUDENT_BUSY = "the student has all courses"
    NAME_TAKEN = "the name is taken"


About = Mapping[str, str]
"""What an event is about: a course's present term and a student, or a name."""


def _tags(about: About) -> tuple[str, ...]:
    return tuple(f"{kind}:{name}" for kind, name in about.items())


@dataclass(slots=True)
class Tally:
    """Counts of this process, by the names of their columns."""

    decisions: int = 0
    events_read: int = 0
    false_conflicts: int = 0
    compensations: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """What a client read before a decision."""

    basis: object
    """Equal in two reads if nothing came in between that matters to this decision."""
    events: int
    refusal: Refusal | None
    condition: Any
    """What the append is conditional on."""


Read = Callable[[], Awaitable[Found]]
Write = Callable[[Any], Awaitable[int]]
"""Appends on the condition that was found; returns the transactions that it took."""
_NOT_REFUSED = object()


@dataclass(frozen=True, slots=True)
class Deciding:
    """The rules, the counts, and the loop that all designs share."""

    limits: BoundaryParameters
    tally: Tally = field(default_factory=Tally)

    async def settle(self, cycle: Cycle, read: Read, write: Write) -> Refusal | None:
        """Read, decide and write; after a conflict read again. The last conflict is raised.

        A conflict is false if the next read shows nothing new that matters; so is each that the
        store itself found to be none.
        """
        tally, refused_on = self.tally, _NOT_REFUSED
        for attempts_left in reversed(range(self.limits.attempts_max)):
            found = await read()
            tally.decisions += 1
            tally.events_read += found.events
            cycle.count_events(found.events)
            tally.false_conflicts += found.basis == refused_on
            if found.refusal is not None:
                return found.refusal
            try:
                tries = await write(found.condition)
            except (WrongExpectedVersion, BoundaryViolated):
                if not attempts_left:
                    raise
                refused_on = found.basis
            else:
                tally.false_conflicts += tries - 1
                return None
        raise AssertionError("the last attempt returns or raises")

    def booking(self, seats: int, courses: int) -> Refusal | None:
        """What the rules say of one more booking."""
        return self.of_course(seats) or self.of_student(courses)

    def of_course(self, seats: int) -> Refusal | None:
        """What the course's own rule says of one more student."""
        return Refusal.COURSE_FULL if seats >= self.limits.capacity else None

    def of_student(self, courses: int) -> Refusal | None:
        """What the student's own rule says of one more course."""
        return Refusal.STUDENT_BUSY if courses >= self.limits.courses_max else None

    @staticmethod
    def registering(taken: int) -> Refusal | None:
        """What the rule says of a name that was taken so often."""
        return Refusal.NAME_TAKEN if taken else None


class Design(Protocol):
    """How the rules are protected."""

    async def book(self, store: EventStore, cycle: Cycle, about: About) -> Refusal | None:
        """Book a course for a student, unless a rule refuses. Raises `StoreError`."""
        ...

    async def register(self, store: EventStore, cycle: Cycle, about: About) -> Refusal | None:
        """Take a name, unless it is taken. Raises `StoreError`."""
        ...


Rule = Callable[..., Refusal | None]
"""Decides on how often each tag was found, in their order."""


class Conditional:
    """One query over the tags, and an append that is conditional on it."""

    def __init__(self, deciding: Deciding) -> None:
        self._deciding = deciding

    async def book(self, store: EventStore, cycle: Cycle, about: About) -> Refusal | None:
        return await self._settle(store, cycle, BOOKED, about, self._deciding.booking)

    async def register(self, store: EventStore, cycle: Cycle, about: About) -> Refusal | None:
        return await self._settle(store, cycle, TAKEN, about, self._deciding.registering)

    async def _settle(
        self, store: EventStore, cycle: Cycle, kind: str, about: About, rule: Rule
    ) -> Refusal | None:
        if not isinstance(store, Boundaries):
            raise UnsupportedByStore("appends that are conditional on a query")
        within, tags = store, _tags(about)
        items = [BoundaryItem((kind,), (tag,)) for tag in tags]
        events = [
            TaggedEvent(event.id, event.type, event.data, event.metadata, tags)
            for event in _typed(cycle, kind, about)
        ]

        async def read() -> Found:
            found = await within.query(items)
            counts = [sum(tag in each.tags for each in found.events) for tag in tags]
            return Found(counts, len(found.events), rule(*counts), found.head)

        async def write(head: Position | None) -> int:
            return (await within.append_if(events, fail_if_match=items, after=head)).tries

        return await self._deciding.settle(cycle, read, write)


class OneStream:
    """Everything in one stream. The process keeps its state and reads on from where it knows it."""

    def __init__(self, deciding: Deciding) -> None:
        self._deciding = deciding
        self._version = -1
        self._ledger = Ledger()

    async def book(self, store: EventStore, cycle: Cycle, about: About) -> Refusal | None:
        return await self._settle(store, cycle, BOOKED, about, self._deciding.booking)

    async def register(self, store: EventStore, cycle: Cycle, about: About) -> Refusal | None:
        return await self._settle(store, cycle, TAKEN, about, self._deciding.registering)

    async def _settle(
        self, store: EventStore, cycle: Cycle, kind: str, about: About, rule: Rule
    ) -> Refusal | None:
        events = _typed(cycle, kind, about)

        async def read() -> Found:
            count = await self._read_on(store)
            counts = [self._ledger[tag] for tag in _tags(about)]
            expected = StreamState.NO_STREAM if self._version < 0 else self._version
            return Found(counts, count, rule(*counts), expected)

        return await self._deciding.settle(cycle, read, _writing(store, EVERYTHING, events))

    async def _read_on(self, store: EventStore) -> int:
        """Fold what is new. Clients of one process share the state: each event is folded once."""
        count = 0
        try:
            async for event in store.read_stream(EVERYTHING, start=self._version + 1):
                count += 1
                if event.version == self._version + 1:
                    self._ledger.fold(event)
                    self._version = event.version
        except StreamNotFound:
            pass
        return count


class Saga:
    """The student's stream, then the course's; if that is full, the choice is withdrawn."""

    def __init__(self, deciding: Deciding) -> None:
        self._deciding = deciding

    async def book(self, store: EventStore, cycle: Cycle, about: About) -> Refusal | None:
        of_student, of_course = self._deciding.of_student, self._deciding.of_course
        refusal = await self._step(
            store, cycle, about["student"], CHOSEN, about,
            lambda types: of_student(types[CHOSEN] - types[WITHDRAWN]),
        )  # fmt: skip
        if refusal is not None:
            return refusal
        try:
            refusal = await self._step(
                store, cycle, about["course"], ACCEPTED, about,
                lambda types: of_course(types[ACCEPTED]),
            )  # fmt: skip
        except WrongExpectedVersion:
            await self._withdraw(store, cycle, about)
            raise
        if refusal is not None:
            await self._withdraw(store, cycle, about)
        return refusal

    async def register(self, store: EventStore, cycle: Cycle, about: About) -> Refusal | None:
        """A name is a stream that must not exist: nothing is read, the append alone decides."""
        self._deciding.tally.decisions += 1
        events = _typed(cycle, TAKEN, about)
        try:
            await store.append(about["name"], events, expected=StreamState.NO_STREAM)
        except WrongExpectedVersion:
            return Refusal.NAME_TAKEN
        return None

    async def _step(
        self,
        store: EventStore,
        cycle: Cycle,
        stream: str,
        kind: str,
        about: About,
        rule: Callable[[Counter[str]], Refusal | None],
    ) -> Refusal | None:
        async def read() -> Found:
            version, types = await _types_of(store, stream)
            return Found(version, types.total(), rule(types), version)

        write = _writing(store, stream, _typed(cycle, kind, about))
        return await self._deciding.settle(cycle, read, write)

    async def _withdraw(self, store: EventStore, cycle: Cycle, about: About) -> None:
        """The compensation. It breaks no rule whatever came in between, so it expects nothing."""
        events = _typed(cycle, WITHDRAWN, about)
        await store.append(about["student"], events, expected=StreamState.ANY)
        self._deciding.tally.compensations += 1


class Unprotected:
    """Both streams are read, and both are appended to whatever came in between."""

    def __init__(self, deciding: Deciding) -> None:
        self._deciding = deciding

    async def book(self, store: EventStore, cycle: Cycle, about: About) -> Refusal | None:
        kinds = {about["course"]: ACCEPTED, about["student"]: CHOSEN}
        return await self._settle(store, cycle, kinds, about, self._deciding.booking)

    async def register(self, store: EventStore, cycle: Cycle, about: About) -> Refusal | None:
        kinds = {about["name"]: TAKEN}
        return await self._settle(store, cycle, kinds, about, self._deciding.registering)

    async def _settle(
        self, store: EventStore, cycle: Cycle, kinds: Mapping[str, str], about: About, rule: Rule
    ) -> Refusal | None:
        async def read() -> Found:
            found = [(await _types_of(store, stream))[1] for stream in kinds]
            counts = [types[kind] for types, kind in zip(found, kinds.values(), strict=True)]
            return Found(None, sum(types.total() for types in found), rule(*counts), None)

        async def write(_: None) -> int:
            for stream, kind in kinds.items():
                events = _typed(cycle, kind, about)
                await store.append(stream, events, expected=StreamState.ANY)
            return 1

        return await self._deciding.settle(cycle, read, write)


def _writing(store: EventStore, stream: str, events: Sequence[NewEvent]) -> Write:
    async def write(expected: ExpectedVersion) -> int:
        await store.append(stream, events, expected=expected)
        return 1

    return write


async def _types_of(store: EventStore, stream: str) -> tuple[ExpectedVersion, Counter[str]]:
    """The version that a decision on this stream is based on, and its events by their types."""
    version: ExpectedVersion = StreamState.NO_STREAM
    types: Counter[str] = Counter()
    try:
        async for event in store.read_stream(stream):
            version = event.version
            types[event.type] += 1
    except StreamNotFound:
        pass
    return version, types


def _typed(cycle: Cycle, kind: str, about: About) -> Sequence[NewEvent]:
    """A fresh event of this type, and what it is about; its data is the generator's own."""
    metadata = json.dumps(about).encode()
    return [replace(event, type=kind, metadata=metadata) for event in cycle.new_events(1)]


_COUNTED: Mapping[str, Mapping[str, int]] = {
    BOOKED: {"course": 1, "student": 1},
    ACCEPTED: {"course": 1},
    CHOSEN: {"student": 1},
    WITHDRAWN: {"student": -1},
    TAKEN: {"name": 1},
}


class Ledger(Counter[str]):
    """How many places, courses or takers each tag has, folded from a log."""

    def fold(self, event: RecordedEvent) -> Sequence[tuple[str, str]]:
        """Count an event; the kinds and tags that it changed. Other types count for nothing."""
        counted = _COUNTED.get(event.type, {})
        about: About = json.loads(event.metadata) if counted else {}
        for kind, by in counted.items():
            self[f"{kind}:{about[kind]}"] += by
        return [(kind, f"{kind}:{about[kind]}") for kind in counted]


class Successors:
    """Courses with their terms, or students with their successors, as far as this process knows."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def now(self, first: str) -> str:
        """`course-7`, or `course-7.1` after one, and so on."""
        number = self._numbers.get(first, 0)
        return f"{first}.{number}" if number else first

    def after(self, first: str, found: str) -> None:
        """`found` is at its end; another client may have seen so before."""
        if found == self.now(first):
            self._numbers[first] = self._numbers.get(first, 0) + 1


_DESIGNS: Mapping[str, Callable[[Deciding], Design]] = {
    "boundary": Conditional,
    "one-stream": OneStream,
    "saga": Saga,
    "none": Unprotected,
}


class Enrolment:
    """Students book courses, and register under names."""

    def __init__(self, parameters: BoundaryParameters) -> None:
        self._limits = parameters
        self._deciding = Deciding(parameters)
        self._design = _DESIGNS[parameters.protection](self._deciding)
        self._terms, self._students = Successors(), Successors()
        self._taken: set[int] = set()
        self.keeps_rules = parameters.protection != "none"

    async def prepare(self, store: EventStore) -> None:
        pass

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        """One booking or one registration. A rule's refusal ends it well."""
        registers = rng.random() < self._limits.register_share
        await (self._register if registers else self._book)(store, cycle, rng)

    async def _book(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        course = cycle.choose_stream(rng)
        student = f"student-{int(rng.random() * self._limits.students)}"
        about = {"course": self._terms.now(course), "student": self._students.now(student)}
        refusal = await self._design.book(store, cycle, about)
        if refusal is Refusal.COURSE_FULL:
            self._terms.after(course, about["course"])
        elif refusal is Refusal.STUDENT_BUSY:
            self._students.after(student, about["student"])

    async def _register(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        """Under a name that is probably free, but that another client may take just now."""
        number = len(self._taken) + int(rng.random() * _NAMES_AHEAD)
        await self._design.register(store, cycle, {"name": f"name-{number}"})
        self._taken.add(number)

    def counts(self) -> Mapping[str, int]:
        """How often clients decided, what they read for it, and what became of it."""
        return asdict(self._deciding.tally)

    async def audit(self, store: EventStore) -> Mapping[str, int]:
        """Courses and students that were over their limit at any time, and names taken twice."""
        limits = {"course": self._limits.capacity, "student": self._limits.courses_max, "name": 1}
        broken: dict[str, set[str]] = {kind: set() for kind in limits}
        ledger = Ledger()
        async for event in store.read_all():
            for kind, tag in ledger.fold(event):
                if ledger[tag] > limits[kind]:
                    broken[kind].add(tag)
        return {words: len(broken[kind]) for kind, words in RULES.items()}


def fitted(
    parameters: BoundaryParameters, guarantees: Guarantees
) -> tuple[BoundaryParameters, Sequence[Flag]]:
    """As asked. Raises `UnsupportedByStore` where the store lacks what the design is built on."""
    protection = parameters.protection
    if protection == "boundary" and guarantees.boundaries == "none":
        raise UnsupportedByStore(
            "protection boundary: the store has no appends that are conditional on a query"
        )
    if protection in ("one-stream", "saga") and guarantees.occ == "none":
        raise UnsupportedByStore(f"protection {protection}: the store has no expected versions")
    if not (guarantees.readable and guarantees.keeps_metadata):
        raise UnsupportedByStore("boundary: the store does not give back what an event is about")
    return parameters, ()


WORKLOAD = WorkloadKind(
    name="boundary",
    summary="students book courses: rules that span two streams, protected in four designs",
    parameters=BoundaryParameters,
    make=Enrolment,
    fitted=fitted,
)

"""What the clients of a trial saw of each of its faults: the rows of faults.parquet.

A fault's stretch goes from its begin to the begin of the next one, or to the end of the window.
What was not measured is `None`, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from harness.analysis.percentiles import values_at
from harness.domain.outcome import Outcome
from harness.load.loops import Window
from harness.load.pacing import NS_A_SECOND
from harness.load.trial_files import Columns, TrialFiles, blocks, read_columns
from harness.run.faults import DESTRUCTIVE, MAY_CRASH, Occurrence
from harness.scenario.model import ClosedLoop, Trial
from harness.verification.evidence import Standing, standing_of

Ints = NDArray[np.int64]
Row = dict[str, Any]

BEFORE_NS = 5 * NS_A_SECOND
"""The rate before a fault is that of this time before it at most, and of a second at least."""
RESTORED_SHARE = 0.9
RESTORED_NS = NS_A_SECOND
"""For so long the rate must have come back."""
BEYOND_MIN = 10
"""A fault is short: its 99th percentile may have fewer values beyond than a trial's."""
_P99 = 99.0
_ANSWERED = (Outcome.OK, Outcome.CONFLICT)
_COUNTED = (
    Outcome.CONFLICT, Outcome.REFUSED, Outcome.TIMEOUT, Outcome.UNKNOWN, Outcome.DROPPED,
    Outcome.UNFINISHED,
)  # fmt: skip
EVIDENCE_MAX = 3
NEVER = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, slots=True, eq=False)
class Delivered:
    """Deliveries to subscribers, in the order of handling."""

    subscriber: Ints
    event: Ints
    handled_ns: Ints

    @classmethod
    def read(cls, files: TrialFiles) -> Self | None:
        """Those of the trial; `None` where nobody subscribed."""
        if not files.deliveries.exists():
            return None
        return cls(**read_columns(files.deliveries, ("subscriber", "event", "handled_ns")))


@dataclass(frozen=True, slots=True)
class Stretch:
    """When a fault was under way, and how far what was seen counts as its."""

    began_ns: int
    ended_ns: int
    until_ns: int
    """The begin of the next fault, or the end of the window."""
    before_ns: int
    """From here to the begin is the time to compare with."""
    over_ns: int
    """The end of the window."""


def stretches(occurrences: Sequence[Occurrence], window: Window) -> Mapping[int, Stretch]:
    """By the place among the occurrences, of those that began."""
    begun = sorted(
        (each.began_ns, number)
        for number, each in enumerate(occurrences)
        if each.began_ns is not None
    )
    found: dict[int, Stretch] = {}
    clear_ns = window.started_ns
    for (began_ns, number), (next_ns, _) in pairwise([*begun, (window.ended_ns, -1)]):
        each = occurrences[number]
        ended_ns = each.ended_ns or began_ns
        before_ns = max(clear_ns, began_ns - BEFORE_NS)
        found[number] = Stretch(
            began_ns,
            ended_ns,
            max(next_ns, began_ns),
            min(before_ns, began_ns),
            window.ended_ns,
        )
        clear_ns = max(clear_ns, each.back_ns or ended_ns)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Operations:
    """Measured operations of a trial, in any order; times are ns on the monotonic clock."""

    outcome: Ints
    intended_ns: Ints
    done_ns: Ints

    @classmethod
    def read(cls, files: TrialFiles, stretch: Stretch) -> Self:
        """Those that tell of one stretch, in one pass by blocks: memory grows with it alone."""
        parts = [cls(*(np.empty(0, np.int64),) * 3)]
        for block in blocks(files.samples, ("op", "outcome", "intended_ns", "done_ns")):
            measured = block["op"] >= 0
            names = (each.name for each in fields(cls))
            parts.append(cls(*(block[name][measured] for name in names)).near(stretch))
        return cls(
            *(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls))
        )

    def near(self, stretch: Stretch) -> Self:
        """Those under way between the time to compare with and the end, and the success after it.

        What had ended before, and what was not yet due, changes no count of what waits.
        """
        # What is left over when the load is cut short ends before it is due.
        first_ns = np.minimum(self.intended_ns, self.done_ns)
        last_ns = np.maximum(self.intended_ns, self.done_ns)
        kept = (first_ns <= stretch.until_ns) & (last_ns >= stretch.before_ns)
        later = np.flatnonzero((self.outcome == Outcome.OK) & (self.done_ns >= stretch.until_ns))
        if len(later):
            kept[later[self.done_ns[later].argmin()]] = True
        return type(self)(*(getattr(self, each.name)[kept] for each in fields(self)))


def fault_rows(
    trial: Trial,
    occurrences: Sequence[Occurrence],
    window: Window,
    files: TrialFiles,
    *,
    lost: Sequence[int] | None,
) -> Iterator[Row]:
    """A row a planned fault. `lost` are the lost events; `None` where nothing was verified."""
    delivered = Delivered.read(files)
    is_open = not isinstance(trial.load, ClosedLoop)
    places = stretches(occurrences, window)
    losses = None
    if lost is not None:
        losses = Losses.of(lost, Acknowledged.of(lost, files), occurrences, window)
    for number, each in enumerate(occurrences):
        yield {
            "trial_id": trial.id,
            "key": trial.store.key,
            "number": number + 1,
            **_plan(each, window),
            **(_seen_in(files, places[number], is_open=is_open) if number in places else {}),
            "connections": each.connections,
            **(_delivery(delivered, places[number]) if number in places and delivered else {}),
            **(losses.of_fault(number) if number in places and losses else {}),
        }


def unreached_rows(trial: Trial, occurrences: Sequence[Occurrence]) -> Iterator[Row]:
    """The rows of a trial that measured nothing."""
    nothing = Window(0, 0, 0)
    for number, each in enumerate(occurrences):
        about = {"trial_id": trial.id, "key": trial.store.key, "number": number + 1}
        outcome = {"why_not": each.why_not or "the trial measured nothing", "carried_out": False}
        yield about | _plan(each, nothing) | outcome


def _plan(each: Occurrence, window: Window) -> Row:
    def since_s(at_ns: int | None) -> float | None:
        return None if at_ns is None else (at_ns - window.started_ns) / NS_A_SECOND

    return {
        "fault": str(each.fault.kind),
        "at_s": each.fault.at_s,
        "for_s": each.fault.for_s if each.fault.kind.lasts else None,
        "rtt_ms": each.fault.rtt_ms or None,
        "carried_out": each.carried_out,
        "why_not": each.why_not,
        "began_s": since_s(each.began_ns),
        "ended_s": since_s(each.ended_ns),
        "back_s": since_s(each.back_ns),
    }


def _seen_in(files: TrialFiles, stretch: Stretch, *, is_open: bool) -> Row:
    return seen(Operations.read(files, stretch), stretch, is_open=is_open)


def seen(operations: Operations, stretch: Stretch, *, is_open: bool) -> Row:
    """What clients saw in one stretch: outcomes, silence, the way back, times, backlog."""
    done_ns = operations.done_ns
    inside = _between(done_ns, stretch.began_ns, stretch.until_ns)
    ended = np.bincount(operations.outcome[inside], minlength=len(Outcome))
    acknowledged_ns = np.sort(done_ns[operations.outcome == Outcome.OK])
    row: Row = {outcome.name.lower(): int(ended[outcome]) for outcome in _COUNTED}
    offered = int(_between(operations.intended_ns, stretch.before_ns, stretch.began_ns).sum())
    row |= _service(acknowledged_ns, stretch, offered)
    if is_open:
        row |= _response(operations, stretch) | _backlog(operations, stretch)
    return row


def _between(times_ns: Ints, from_ns: int, to_ns: int) -> NDArray[np.bool_]:
    return np.asarray((times_ns >= from_ns) & (times_ns < to_ns))


def _service(acknowledged_ns: Ints, stretch: Stretch, offered: int) -> Row:
    """The longest silence, the first acknowledgement after the end, and when the rate was back.

    Where nothing was acknowledged after the end, the silence goes on beyond the next fault, to the
    first acknowledgement or the end of the window. Else a later silence is the next fault's.
    """
    first, last = np.searchsorted(acknowledged_ns, (stretch.began_ns, stretch.until_ns))
    inside = acknowledged_ns[first:last]
    following = stretch.until_ns
    if not len(inside) or inside[-1] < stretch.ended_ns:
        following = acknowledged_ns[last] if last < len(acknowledged_ns) else stretch.over_ns
    silence_ns = np.diff(inside, prepend=stretch.began_ns, append=following).max()
    after = acknowledged_ns[np.searchsorted(acknowledged_ns, stretch.ended_ns) :]
    return {
        "silent_s": float(silence_ns) / NS_A_SECOND,
        "first_ok_s": _since_s(int(after[0]), stretch) if len(after) else None,
        "restored_s": _restored_s(acknowledged_ns, stretch, offered),
    }


def _restored_s(acknowledged_ns: Ints, stretch: Stretch, offered: int) -> float | None:
    """Until the first acknowledgement after which a second has 90 % of the rate before.

    That rate is no higher than the offered one: a backlog of the fault before may have drained.
    """
    before_ns = stretch.began_ns - stretch.before_ns
    if before_ns < NS_A_SECOND:
        return None
    first, last = np.searchsorted(acknowledged_ns, (stretch.before_ns, stretch.began_ns))
    wanted = min(int(last - first), offered) / before_ns * RESTORED_NS * RESTORED_SHARE
    if not wanted:
        return None
    start = np.searchsorted(acknowledged_ns, stretch.ended_ns)
    stop = np.searchsorted(acknowledged_ns, stretch.until_ns - RESTORED_NS, "right")
    begins = acknowledged_ns[start:stop]
    in_a_second = np.searchsorted(acknowledged_ns, begins + RESTORED_NS) - np.arange(
        start, start + len(begins)
    )
    enough = np.flatnonzero(in_a_second >= wanted)
    return _since_s(int(begins[enough[0]]), stretch) if len(enough) else None


def _since_s(at_ns: int, stretch: Stretch) -> float:
    return (at_ns - stretch.ended_ns) / NS_A_SECOND


def _response(operations: Operations, stretch: Stretch) -> Row:
    """Times of what was due in the fault, and after it until the stretch ends."""
    row: Row = {}
    parts = {
        "during": (stretch.began_ns, stretch.ended_ns),
        "after": (stretch.ended_ns, stretch.until_ns),
    }
    for name, (from_ns, to_ns) in parts.items():
        due = _between(operations.intended_ns, from_ns, to_ns)
        answered = due & np.isin(operations.outcome, _ANSWERED)
        count, failed = int(due.sum()), int(due.sum() - answered.sum())
        times_ns = operations.done_ns[answered] - operations.intended_ns[answered]
        row |= {
            f"due_{name}": count,
            f"failed_{name}": failed,
            f"response_p99_{name}_ns": _p99_ns(times_ns, count),
        }
    return row


def _p99_ns(times_ns: Ints, count: int) -> float | None:
    """Of all that were due; `None` with too few, or where it lies among those that failed."""
    if count * (100 - _P99) / 100 < BEYOND_MIN or (count - len(times_ns)) * 100 >= count:
        return None
    share = min(_P99 * count / len(times_ns), 100.0)
    return values_at(times_ns, [share])[0]


def _backlog(operations: Operations, stretch: Stretch) -> Row:
    """Operations due and not ended: the most of them, and when they were as few as before."""
    due_ns, done_ns = np.sort(operations.intended_ns), np.sort(operations.done_ns)

    def backlog(at_ns: Ints) -> Ints:
        return np.asarray(
            np.searchsorted(due_ns, at_ns, "right") - np.searchsorted(done_ns, at_ns, "right")
        )

    def moments(times_ns: Ints, from_ns: int, to_ns: int) -> Ints:
        first, last = np.searchsorted(times_ns, (from_ns, to_ns))
        return times_ns[first:last]

    inside = moments(due_ns, stretch.began_ns, stretch.until_ns)
    if not len(inside):
        return {"backlog_max": 0}
    waiting = backlog(inside)
    row: Row = {"backlog_max": int(waiting.max()), "drained_s": None}
    before = moments(due_ns, stretch.before_ns, stretch.began_ns)
    if len(before):
        usual = max(1, int(np.median(backlog(before))))
        since_ns = max(stretch.ended_ns, int(inside[waiting.argmax()]))
        looks = np.append(moments(done_ns, since_ns, stretch.until_ns), since_ns)
        few = np.sort(looks)[backlog(np.sort(looks)) <= usual]
        row["drained_s"] = _since_s(int(few[0]), stretch) if len(few) else None
    return row


def _delivery(delivered: Delivered, stretch: Stretch) -> Row:
    """The longest time in which a subscriber received nothing, and what it received again."""
    inside = _between(delivered.handled_ns, stretch.began_ns, stretch.until_ns)
    gap_ns = 0
    for subscriber in np.unique(delivered.subscriber):
        mine = np.sort(delivered.handled_ns[inside & (delivered.subscriber == subscriber)])
        edges = np.diff(mine, prepend=stretch.began_ns, append=stretch.until_ns)
        gap_ns = max(gap_ns, int(edges.max()))
    own = delivered.event >= 0
    pairs = np.column_stack((delivered.subscriber, delivered.event))[own]
    _, first = np.unique(pairs, axis=0, return_index=True)
    again = np.ones(len(pairs), np.bool_)
    again[first] = False
    return {
        "delivery_gap_s": gap_ns / NS_A_SECOND,
        "delivered_again": int((again & inside[own]).sum()),
    }


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Lost events by the fault that is to blame, and which clients had their acknowledgements."""

    by_fault: Mapping[int, int]
    evidence: Mapping[int, str]

    @classmethod
    def of(
        cls,
        lost: Sequence[int],
        acknowledged: Acknowledged,
        occurrences: Sequence[Occurrence],
        window: Window,
    ) -> Losses:
        """Each lost event belongs to the first fault that ended after its acknowledgement.

        A crash or a loss of power is to blame where there was one, else any other fault.
        """
        blamed = [n for n, each in enumerate(occurrences) if each.began_ns is not None]
        crashes = [n for n in blamed if occurrences[n].fault.kind in DESTRUCTIVE]
        numbers: dict[int, int] = {}
        evidence: dict[int, list[str]] = {}
        for event in sorted(lost):
            row = acknowledged.row_of(event)
            at_ns = window.started_ns if row is None else int(acknowledged.at_ns[row])
            number = _first_after(at_ns, crashes or blamed, occurrences)
            if number is None:
                continue
            numbers[number] = numbers.get(number, 0) + 1
            sentences = evidence.setdefault(number, [])
            if row is not None and len(sentences) < EVIDENCE_MAX:
                sentences.append(acknowledged.sentence(row, occurrences[number], window))
        return cls(numbers, {number: "; ".join(each) for number, each in evidence.items()})

    def of_fault(self, number: int) -> Row:
        """Its cells."""
        return {"lost": self.by_fault.get(number, 0), "evidence": self.evidence.get(number, "")}


def _first_after(
    at_ns: int, numbers: Sequence[int], occurrences: Sequence[Occurrence]
) -> int | None:
    """The first of the faults that was not over then; else the last one."""
    for number in numbers:
        ended_ns = occurrences[number].ended_ns
        if ended_ns is None or ended_ns >= at_ns:
            return number
    return numbers[-1] if numbers else None


@dataclass(frozen=True, slots=True, eq=False)
class Acknowledged:
    """When some events were first acknowledged, in their order, and by which operation to whom."""

    event: Ints
    op: Ints
    """Below 0 in prefilling and warm-up."""
    worker: Ints
    """-1 where the client is not known."""
    at_ns: Ints
    """`NEVER` where no acknowledgement is known."""

    @classmethod
    def of(cls, events: Sequence[int], files: TrialFiles) -> Self:
        """Look for them among the operations' own rows and those of further appends, by blocks."""
        event = np.unique(np.array(events, np.int64))
        nobody = np.full(len(event), -1)
        found = cls(event, nobody, nobody.copy(), np.full(len(event), NEVER))
        if len(event):
            for block in blocks(files.samples, ("op", "worker", "first", "count", "done_ns")):
                found._take(block, block["done_ns"], block["count"] > 0)
            for block in blocks(files.appends, ("op", "first", "count", "outcome", "ended_ns")):
                good = standing_of(block["outcome"]) == Standing.ACKNOWLEDGED
                found._take(block, block["ended_ns"], good & (block["count"] > 0))
        return found

    def _take(self, block: Columns, at_ns: Ints, good: NDArray[np.bool_]) -> None:
        rows = np.flatnonzero(good)
        if not len(rows):
            return
        rows = rows[np.argsort(block["first"][rows], kind="stable")]
        first, end = block["first"][rows], (block["first"] + block["count"])[rows]
        row = np.searchsorted(first, self.event, "right") - 1
        earlier = (row >= 0) & (self.event < end[row]) & (at_ns[rows][row] < self.at_ns)
        taken = rows[row[earlier]]
        self.at_ns[earlier], self.op[earlier] = at_ns[taken], block["op"][taken]
        self.worker[earlier] = block["worker"][taken] if "worker" in block else -1

    def row_of(self, event: int) -> int | None:
        """The place of an event; `None` for one of the prefilling or the warm-up."""
        row = int(np.searchsorted(self.event, event))
        known = row < len(self.event) and self.event[row] == event
        return row if known and self.at_ns[row] < NEVER and self.op[row] >= 0 else None

    def sentence(self, row: int, blamed: Occurrence, window: Window) -> str:
        """Which client got the acknowledgement, when, before which fault, and what was read."""
        at_s = (self.at_ns[row] - window.started_ns) / NS_A_SECOND
        who = f"client {self.worker[row]}, " if self.worker[row] >= 0 else ""
        return (
            f"{who}operation {self.op[row]}: acknowledged at {at_s:.3f} s, not in the log after"
            f" {blamed.fault}"
        )


def oldest_lost_s(
    lost: Sequence[int], files: TrialFiles, occurrences: Sequence[Occurrence]
) -> float:
    """How long the oldest lost event had been acknowledged when it was lost; 0 without one.

    What took it is the first crash, or full disk, that was not over then: no event is made older
    than it was.
    """
    crashes = sorted(
        (each.began_ns, each.back_ns or each.ended_ns or NEVER)
        for each in occurrences
        if each.began_ns is not None and each.fault.kind in MAY_CRASH
    )
    if not lost or not crashes:
        return 0.0
    began, over = np.array(crashes, np.int64).T
    known = Acknowledged.of(lost, files).at_ns
    known = known[known < NEVER]
    crash = np.searchsorted(np.maximum.accumulate(over), known)
    there = crash < len(crashes)
    ages_ns = began[crash[there]] - known[there]
    return max(0, int(ages_ns.max(initial=0))) / NS_A_SECOND


def under_way(occurrences: Sequence[Occurrence], from_ns: int, to_ns: int) -> str:
    """The faults under way between two times, in words."""
    kinds = [
        str(each.fault.kind)
        for each in occurrences
        if each.began_ns is not None
        and each.began_ns < to_ns
        and (each.back_ns or each.ended_ns or to_ns) > from_ns
    ]
    return ", ".join(dict.fromkeys(kinds))

"""One client: takes operations from a source, performs them, records each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Protocol

from harness.errors import StoreError, UnsupportedByStore
from harness.generator.choice import Chooser
from harness.generator.events import EventFactory
from harness.generator.journal import NOTHING, AppendLog, Journal, expected_code
from harness.generator.samples import SampleRows
from harness.outcome import Outcome, outcome_of
from harness.store import EventStore, StreamState
from harness.workload import Workload

Clock = Callable[[], int]
Offered = tuple[int, int, int]
"""Number of the operation, its intended start and its dispatch, in ns on the trial's clock."""

_ANY = StreamState.ANY
_NOTHING = NOTHING
_OK = Outcome.OK
_REFUSED = Outcome.REFUSED


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the clients of one worker process share."""

    store: EventStore
    workload: Workload
    factory: EventFactory
    choose: Chooser
    appends: AppendLog
    clock: Clock
    seed: str


class OperationCycle:
    """The `Cycle` of one client."""

    def __init__(self, around: Surroundings) -> None:
        self.choose_stream = around.choose
        self.new_events = around.factory.new_events
        self.events_read = 0

    def count_events(self, count: int) -> None:
        """Add to the events that this operation read."""
        self.events_read += count

    async def think(self, seconds: float) -> None:
        """Sleep, if there is anything to think about."""
        if seconds > 0:
            await asyncio.sleep(seconds)


class Source(Protocol):
    """Where a client gets its operations: at once in a closed loop, at set times in an open one."""

    queues: bool
    """Whether an operation may wait for a client; if not, it is sent when it is dispatched."""

    async def more(self) -> bool:
        """Wait until there is an operation to take; `False` when the load is over."""
        ...

    def take(self) -> Iterator[Offered]:
        """Operations that may be sent now, one by one, as long as there are any."""
        ...

    async def refused(self) -> None:
        """What to do after a refusal, before the next operation."""
        ...


class Client:
    """Runs the workload's operations for one worker slot and records each of them."""

    def __init__(self, number: int, around: Surroundings, samples: SampleRows) -> None:
        self.number = number
        self.acknowledged = 0
        """Events in the operations' last acknowledged appends, warm-up included."""
        self._journal = Journal(around.store, around.appends, around.clock)
        self._cycle = OperationCycle(around)
        self._rng = Random(f"{around.seed}/{number}")
        self._run = around.workload.run
        self._clock = around.clock
        self._add = samples.add_operation
        self._base = around.appends.base
        self._numbers = around.appends.numbers

    async def serve(self, source: Source) -> None:
        """Perform what the source offers until the load is over.

        Raises `UnsupportedByStore`, and what is not a `StoreError`: a bug. Both end the trial.
        One loop without a call an operation: at 300,000 a second each of them would show.
        """
        journal, cycle, rng = self._journal, self._cycle, self._rng
        run, clock, add = self._run, self._clock, self._add
        number, numbers, base = self.number, self._numbers, self._base
        queues = source.queues
        while await source.more():
            for op, intended_ns, dispatched_ns in source.take():
                journal.op = op
                journal.attempts = journal.written_before = cycle.events_read = 0
                journal.version = _NOTHING
                outcome = _OK
                sent_ns = clock() if queues else dispatched_ns
                try:
                    await run(journal, cycle, rng)
                except UnsupportedByStore:
                    raise
                except StoreError as error:
                    outcome = outcome_of(error)
                except asyncio.CancelledError:
                    self._record_unwritten(
                        op, intended_ns, dispatched_ns, sent_ns, Outcome.UNFINISHED
                    )
                    raise
                if journal.version == _NOTHING:
                    self._record_unwritten(op, intended_ns, dispatched_ns, sent_ns, outcome)
                else:
                    events = journal.events
                    count = len(events)
                    self.acknowledged += count
                    expected = journal.expected
                    add(
                        op,
                        number,
                        intended_ns,
                        dispatched_ns,
                        sent_ns,
                        clock(),
                        outcome,
                        journal.attempts,
                        count + journal.written_before + cycle.events_read,
                        numbers[journal.stream],
                        events[0].id.int - base,
                        count,
                        -1 if expected is _ANY else expected_code(expected),
                        journal.version,
                    )
                if outcome is _REFUSED:
                    await source.refused()

    def skip(self, offered: Offered, outcome: Outcome) -> None:
        """Record an operation that was never sent: dropped, or left over at the end."""
        self._journal.attempts = self._journal.written_before = self._cycle.events_read = 0
        self._record_unwritten(*offered, self._clock(), outcome)

    def _record_unwritten(
        self, op: int, intended_ns: int, dispatched_ns: int, sent_ns: int, outcome: Outcome
    ) -> None:
        self._add(
            op,
            self.number,
            intended_ns,
            dispatched_ns,
            sent_ns,
            self._clock(),
            outcome,
            self._journal.attempts,
            self._cycle.events_read,
        )

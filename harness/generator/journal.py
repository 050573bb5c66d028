"""The store as a workload sees it: an ordinary `EventStore` whose appends are written down."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from harness.errors import StoreError
from harness.generator.recording import Rows
from harness.outcome import Outcome, outcome_of, reason_of
from harness.store import AppendResult, EventStore, ExpectedVersion, NewEvent, StreamState

APPEND_COLUMNS = ("op", "stream", "first", "count", "expected", "version", "outcome", "ended_ns")
NOTHING = -2
"""The version of a journal whose operation has acknowledged no append so far."""
PREFILL_OP = -1
WARM_UP_OP = -2

EXPECTED_CODES = {StreamState.ANY: -1, StreamState.NO_STREAM: -2, StreamState.EXISTS: -3}


class StreamNumbers(dict[str, int]):
    """Streams numbered in the order in which they were met."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(zip(names, range(len(names)), strict=True))

    def __missing__(self, name: str) -> int:
        number = self[name] = len(self)
        return number


class AppendLog:
    """What the clients of a trial share to write appends down: stream numbers and counters.

    An operation's last acknowledged append is stored in the operation's own row. `rows`
    takes all others: attempts that failed, and earlier appends of the same operation.
    """

    def __init__(self, rows: Rows, *, base: int, streams: Sequence[str]) -> None:
        self.rows = rows
        self.base = base
        self.refusals: Counter[str] = Counter()
        self.numbers = StreamNumbers(streams)


class Journal:
    """One client's view of the store: reads pass through, appends are remembered.

    After an operation `version` is that of its last acknowledged append, with `stream`,
    `events` and `expected` beside it: `UNTOLD` where the store does not tell it, `NOTHING`
    where nothing was acknowledged.
    """

    __slots__ = (
        "_append",
        "_clock",
        "_log",
        "attempts",
        "events",
        "expected",
        "op",
        "read_all",
        "read_stream",
        "stream",
        "subscribe",
        "version",
        "written_before",
    )

    def __init__(self, store: EventStore, log: AppendLog, clock: Callable[[], int]) -> None:
        self._append = store.append
        self._log = log
        self._clock = clock
        self.read_stream = store.read_stream
        self.read_all = store.read_all
        self.subscribe = store.subscribe
        self.stream = ""
        self.events: Sequence[NewEvent] = ()
        self.expected: ExpectedVersion = StreamState.ANY
        self.op = PREFILL_OP
        self.attempts = 0
        self.written_before = 0
        self.version = NOTHING

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Append through to the store and remember how it ended."""
        self.attempts += 1
        try:
            result = await self._append(stream, events, expected=expected)
        except StoreError as error:
            self._failed(stream, events, expected, error)
            raise
        except asyncio.CancelledError:
            self._write_down(stream, events, expected, -1, Outcome.UNKNOWN)
            raise
        if self.version != NOTHING:
            self._set_aside()
        self.stream = stream
        self.events = events
        self.expected = expected
        self.version = result.version
        return result

    def _failed(
        self,
        stream: str,
        events: Sequence[NewEvent],
        expected: ExpectedVersion,
        error: StoreError,
    ) -> None:
        outcome = outcome_of(error)
        self._write_down(stream, events, expected, -1, outcome)
        if outcome is Outcome.REFUSED:
            self._log.refusals[reason_of(error)] += 1

    def _set_aside(self) -> None:
        """The operation appends again: its earlier append goes to the rows of its own."""
        self.written_before += len(self.events)
        self._write_down(self.stream, self.events, self.expected, self.version, Outcome.OK)

    def _write_down(
        self,
        stream: str,
        events: Sequence[NewEvent],
        expected: ExpectedVersion,
        version: int,
        outcome: Outcome,
    ) -> None:
        self._log.rows.add(
            self.op,
            self._log.numbers[stream],
            events[0].id.int - self._log.base if events else -1,
            len(events),
            expected_code(expected),
            version,
            outcome,
            self._clock(),
        )


def expected_code(expected: ExpectedVersion) -> int:
    """Exact versions as they are, states as negative numbers."""
    return expected if isinstance(expected, int) else EXPECTED_CODES[expected]

"""The store as a workload sees it: an ordinary `EventStore` whose appends are recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from harness.domain.boundaries import (
    TAGGED,
    Boundaries,
    BoundaryAppend,
    BoundaryItem,
    BoundaryRead,
    TaggedEvent,
)
from harness.domain.errors import StoreError, UnsupportedByStore
from harness.domain.expected_version import code_of
from harness.domain.outcome import Outcome, outcome_of, reason_of
from harness.domain.store import (
    UNTOLD,
    AppendResult,
    EventStore,
    ExpectedVersion,
    NewEvent,
    Position,
    RecordedEvent,
    StreamState,
)
from harness.load.column_buffer import ColumnBuffer

APPEND_COLUMNS = ("op", "stream", "first", "count", "expected", "version", "outcome", "ended_ns")
READ_COLUMNS = ("op", "stream", "began_ns", "version")
NOTHING = -2
"""The version of a recorder whose operation has acknowledged no append so far."""
PREFILL_OP = -1
WARM_UP_OP = -2


class StreamNumbers(dict[str, int]):
    """Streams numbered in the order in which they were met.

    All processes number the scenario's streams alike. Of the numbers beyond those, each takes the
    ones that are its own: as every operation, they are dealt round in turn.
    """

    def __init__(self, names: Sequence[str], *, shard: int = 0, of: int = 1) -> None:
        super().__init__(zip(names, range(len(names)), strict=True))
        self._known, self._shard, self._of = len(names), shard, of

    def __missing__(self, name: str) -> int:
        met = len(self) - self._known
        number = self[name] = self._known + met * self._of + self._shard
        return number


@dataclass(slots=True)
class Failure:
    """Measured operations that ended with one class of error, a conflict excepted."""

    message: str
    """Of the first of them, in one line."""
    count: int = 0


_MESSAGE_MAX = 200


class AppendRecorder:
    """Shared state of a trial's clients to record appends: stream numbers and failures.

    An operation's last acknowledged append is stored in the operation's own row. `rows`
    takes all others: attempts that failed, and earlier appends of the same operation.
    """

    def __init__(
        self,
        rows: ColumnBuffer,
        *,
        base: int,
        streams: Sequence[str],
        shard: int = 0,
        of: int = 1,
        reads: ColumnBuffer | None = None,
    ) -> None:
        """It is the recorder of process `shard` of `of`."""
        self.rows = rows
        self.reads = reads
        """Takes what workloads tell of their reads of a stream's end; `None` forgets it."""
        self.base = base
        self.failures: dict[str, Failure] = {}
        self.doubted = 0
        """Events of appends that got no answer, one an attempt: all of them may be in the log."""
        self.numbers = StreamNumbers(streams, shard=shard, of=of)

    def failed(self, error: StoreError) -> None:
        """Count an operation that this error ended."""
        reason = reason_of(error)
        if reason not in self.failures:
            message = " ".join(str(error).split())
            self.failures[reason] = Failure(message[:_MESSAGE_MAX])
        self.failures[reason].count += 1


class RecordingStore:
    """One client's view of the store: reads pass through, appends are remembered.

    `read_began_ns` is when the last read of a stream began.

    After an operation `version` is that of its last acknowledged append, with `stream`,
    `events` and `expected` of the same append: `UNTOLD` where the store does not return it,
    `NOTHING` where nothing was acknowledged.
    """

    __slots__ = (
        "_append",
        "_boundaries",
        "_clock",
        "_log",
        "_read_stream",
        "attempts",
        "events",
        "expected",
        "op",
        "read_all",
        "read_began_ns",
        "stream",
        "subscribe",
        "version",
        "written_before",
    )

    def __init__(self, store: EventStore, log: AppendRecorder, clock: Callable[[], int]) -> None:
        self._append = store.append
        self._boundaries = store if isinstance(store, Boundaries) else None
        self._log = log
        self._clock = clock
        self._read_stream = store.read_stream
        self.read_began_ns = 0
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
        """Append to the store and remember the outcome."""
        self.attempts += 1
        try:
            result = await self._append(stream, events, expected=expected)
        except StoreError as error:
            self._write_down(stream, events, expected, -1, outcome_of(error))
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

    def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """Read the store's stream, and remember when that began."""
        self.read_began_ns = self._clock()
        return self._read_stream(stream, start=start, limit=limit, backwards=backwards)

    def saw(self, stream: str, version: int) -> None:
        """Remember how far the last read showed a stream."""
        log = self._log
        if log.reads is not None:
            log.reads.add(self.op, log.numbers[stream], self.read_began_ns, version)

    async def query(
        self,
        items: Sequence[BoundaryItem],
        *,
        after: Position | None = None,
        limit: int | None = None,
    ) -> BoundaryRead:
        """Query the store. Raises `UnsupportedByStore` where it has no boundaries."""
        return await self._with_boundaries().query(items, after=after, limit=limit)

    async def append_if(
        self,
        events: Sequence[TaggedEvent],
        *,
        fail_if_match: Sequence[BoundaryItem] | None,
        after: Position | None = None,
    ) -> BoundaryAppend:
        """Append to the store on a condition, and remember the outcome, as `append` does."""
        store = self._with_boundaries()
        self.attempts += 1
        try:
            result = await store.append_if(events, fail_if_match=fail_if_match, after=after)
        except StoreError as error:
            self._write_down(TAGGED, events, StreamState.ANY, -1, outcome_of(error))
            raise
        except asyncio.CancelledError:
            self._write_down(TAGGED, events, StreamState.ANY, -1, Outcome.UNKNOWN)
            raise
        self.attempts += result.tries - 1
        if self.version != NOTHING:
            self._set_aside()
        self.stream = TAGGED
        self.events = events
        self.expected = StreamState.ANY
        self.version = UNTOLD
        return result

    def found(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion, version: int
    ) -> None:
        """Remember that an append whose answer never came was found by reading."""
        self._write_down(stream, events, expected, version, Outcome.FOUND)

    def _with_boundaries(self) -> Boundaries:
        if self._boundaries is None:
            raise UnsupportedByStore("appends that are conditional on a query")
        return self._boundaries

    def _set_aside(self) -> None:
        """Move the operation's earlier append to the rows of further appends: it appends again."""
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
        if outcome is Outcome.UNKNOWN:
            self._log.doubted += len(events)
        self._log.rows.add(
            self.op,
            self._log.numbers[stream],
            events[0].id.int - self._log.base if events else -1,
            len(events),
            code_of(expected),
            version,
            outcome,
            self._clock(),
        )

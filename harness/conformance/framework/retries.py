"""Appends that are sent again: whole, or mixed with new events, under every expectation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from uuid import UUID

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import (
    Broken,
    Disturbed,
    Step,
    Unsupported,
    describe_answer,
    describe_ids,
)
from harness.conformance.framework.check_workers import Rendezvous
from harness.conformance.framework.occ_races import batch_size
from harness.conformance.framework.races import Attempt, attempt
from harness.domain.store import (
    Adapter,
    AppendResult,
    EventStore,
    ExpectedVersion,
    NewEvent,
    StreamState,
)

NO_STREAM, ANY, EXISTS = StreamState.NO_STREAM, StreamState.ANY, StreamState.EXISTS
EXACT = 0
"""Stands for the exact version that the stream has."""
EVERY = (NO_STREAM, EXACT, ANY, EXISTS)
"""Each kind of expectation; EXISTS last, since a store may leave it out."""
NEW_MAX = 40
"""New events in a batch that is known in part."""
BATCH_MAX = 100
MIDDLE_MIN = 3
"""Events of a batch that has a middle."""

Plan = Sequence[tuple[ExpectedVersion, Sequence[NewEvent]]]
"""Appends to one stream in their order: what each expects, and its batch."""


def plan(
    context: CheckContext,
    before: int = 0,
    *,
    kinds: Sequence[ExpectedVersion] = EVERY,
    turn: int = 0,
) -> Plan:
    """An append of a drawn size under each expectation that the store and the stream allow.

    The stream has `before` events. `turn` says which range of sizes comes first.
    """
    planned = list[tuple[ExpectedVersion, Sequence[NewEvent]]]()
    kinds = (ANY,) if context.guarantees.occ == "none" else kinds
    for number, kind in enumerate(each for each in kinds if each is not NO_STREAM or not before):
        batch = context.events(batch_size(context, turn + number))
        planned.append((before - 1 if kind == EXACT else kind, batch))
        before += len(batch)
    return planned


async def send(by: str, store: EventStore, stream: str, planned: Plan) -> list[Attempt]:
    """Make these appends; any other answer than an acknowledgement is raised.

    EXISTS is left out where the store does not support it: check 19 reports that.
    """
    sent = []
    for expected, batch in planned:
        try:
            made = await attempt(by, store, stream, batch, expected)
        except Unsupported:
            if expected is not EXISTS:
                raise
            continue
        if not isinstance(made.answer, AppendResult):
            raise made.answer
        sent.append(made)
    return sent


async def send_in_process(
    store: Adapter,
    rendezvous: Rendezvous,
    number: int,
    streams: Sequence[str],
    plans: Sequence[Plan],
) -> list[Attempt]:
    """One process's part: the appends to a stream of its own, which another process sends again."""
    await rendezvous()
    return await send(f"process {number}", store, streams[number], plans[number])


@dataclass(slots=True)
class Retried:
    """A stream, the appends to it that are sent again, and the ids that belong in it."""

    context: CheckContext
    stream: str
    originals: list[Attempt] = field(default_factory=list)
    sent: list[Attempt] = field(default_factory=list)
    """What was sent again, whole or mixed."""
    ids: list[UUID] = field(default_factory=list)
    """Of every event of the stream, in their order."""

    def add(self, originals: Sequence[Attempt]) -> None:
        """Take note of appends that another process made."""
        self.originals += originals
        self.ids += (event.id for each in originals for event in each.batch)

    async def append(self, planned: Plan) -> None:
        """Make the appends that are to be sent again."""
        self.add(await send("the writer", self.context.store, self.stream, planned))

    async def append_later(self, batch: Sequence[NewEvent]) -> None:
        """Append events that are not sent again."""
        await self.context.append(self.stream, batch)
        self.ids += (event.id for event in batch)

    async def require_recognised(self, original: Attempt, through: EventStore) -> None:
        """Send it again. Raises `Broken` unless it gets the first result."""
        again = await self._send_again(
            "the writer, again", through, original.batch, original.expected
        )
        both = _steps(original, again)
        first, answer = original.answer, again.answer
        assert isinstance(first, AppendResult)
        if not isinstance(answer, AppendResult):
            raise Broken("an exact retry was refused", both)
        if answer.version != first.version:
            raise Broken("a retry returned another version", both)
        if None not in (first.position, answer.position) and answer.position != first.position:
            positions = f"{first.position}, then {answer.position}"
            compared = Step("the writer", "compared positions", positions)
            raise Broken("a retry returned another position", [*both, compared])

    async def require_all_recognised(self, *through: EventStore) -> int:
        """Send each of them again over each connection; how many retries there were."""
        for store in through:
            for original in self.originals:
                await self.require_recognised(original, store)
        return len(through) * len(self.originals)

    async def require_mixed_refused(
        self, through: EventStore, *, kinds: Sequence[ExpectedVersion] = EVERY
    ) -> int:
        """Mix known events with new ones, in each way and under each of these expectations.

        Raises `Broken` if such a batch is acknowledged; returns how many were refused. A store
        that knows ids within a window is asked only what each append expected itself, an exact
        version or NO_STREAM: it may not look ids up otherwise.
        """
        refused = 0
        for turn in range(len(MIXTURES)):
            for original, expected in self._mixed_with(kinds):
                batch = MIXTURES[turn](self.context, original.batch)
                if batch and await self._require_refused(through, original, batch, expected):
                    refused += 1
        return refused

    def _mixed_with(
        self, kinds: Sequence[ExpectedVersion]
    ) -> Iterator[tuple[Attempt, ExpectedVersion]]:
        if self.context.guarantees.idempotency == "window":
            for each in self.originals:
                if each.expected not in (ANY, EXISTS):
                    yield each, each.expected
            return
        long = [each for each in self.originals if len(each.batch) >= MIDDLE_MIN]
        for kind in (ANY,) if self.context.guarantees.occ == "none" else kinds:
            original = self.context.rng.choice(long or self.originals)
            yield original, len(self.ids) - 1 if kind == EXACT else kind
            if kind == EXACT and isinstance(original.expected, int):
                yield original, original.expected

    async def _require_refused(
        self,
        through: EventStore,
        original: Attempt,
        batch: Sequence[NewEvent],
        expected: ExpectedVersion,
    ) -> bool:
        """Whether it was refused, or is unsupported. Raises `Broken` if it was acknowledged."""
        with suppress(Unsupported):
            mixed = await self._send_again("the writer, with new events", through, batch, expected)
            if mixed.won:
                events = await self.context.read(self.stream, through=through)
                read = Step("a reader", f"read {self.stream!r}", describe_ids(events))
                where = _known_places(original.batch, batch)
                raise Broken(
                    f"a partly known batch was accepted, {where}", [*_steps(original, mixed), read]
                )
            return True
        return False

    async def require_unchanged(self, through: EventStore) -> None:
        """Raises `Broken` unless the stream has each event once, in its order, and no others."""
        events = await self.context.read(self.stream, through=through)
        read = [event.id for event in events]
        if read == self.ids:
            return
        pairs = enumerate(zip_longest(read, self.ids))
        at, (actual, wanted) = next(each for each in pairs if each[1][0] != each[1][1])
        sent = [*self.originals, *self.sent]
        senders = [
            each for each in sent if (actual or wanted) in (event.id for event in each.batch)
        ]
        result = f"{len(read)} events of {len(self.ids)}; version {at} is {actual or 'missing'}"
        raise Broken(
            "a retry changed the stream",
            [
                *_steps(*senders[:1], *senders[1:][-1:]),
                Step("a reader", f"read {self.stream!r}", result, self.context.at_ms()),
            ],
        )

    async def _send_again(
        self, by: str, through: EventStore, batch: Sequence[NewEvent], expected: ExpectedVersion
    ) -> Attempt:
        """Raises `Disturbed` where the store decided nothing."""
        other = "" if through is self.context.store else ", on another connection"
        again = await attempt(f"{by}{other}", through, self.stream, batch, expected)
        if not again.answered:
            raise Disturbed(describe_answer(again.answer))
        self.sent.append(again)
        return again


def _steps(*sent: Attempt) -> list[Step]:
    return [each.step(sent) for each in sent]


def _known_places(known: Sequence[NewEvent], batch: Sequence[NewEvent]) -> str:
    """Which events of a mixed batch are known, `known are 3 to 5 of 9`, or how many are not."""
    ids = {event.id for event in known}
    places = [number for number, event in enumerate(batch, 1) if event.id in ids]
    if len(places) == 1:
        return f"known is number {places[0]} of {len(batch)}"
    if places[-1] - places[0] == len(places) - 1:
        return f"known are {places[0]} to {places[-1]} of {len(batch)}"
    return f"{len(batch) - len(places)} new in the midst of {len(batch)}"


def _part(context: CheckContext, batch: Sequence[NewEvent]) -> list[NewEvent]:
    """A drawn part of the batch that leaves room for new events."""
    size = context.rng.randint(1, min(len(batch), _room(context) - 2))
    first = context.rng.randint(0, len(batch) - size)
    return list(batch[first : first + size])


def _new(context: CheckContext, beside: Sequence[NewEvent], least: int = 1) -> list[NewEvent]:
    """New events, as many as the batch may still have, at most `NEW_MAX`."""
    room = min(NEW_MAX, _room(context) - len(beside))
    return context.events(context.rng.randint(min(least, room), room))


def _room(context: CheckContext) -> int:
    return max(context.guarantees.batch_limit or BATCH_MAX, MIDDLE_MIN)


def _known_first(context: CheckContext, batch: Sequence[NewEvent]) -> list[NewEvent]:
    part = _part(context, batch)
    return [*part, *_new(context, part)]


def _known_in_the_middle(context: CheckContext, batch: Sequence[NewEvent]) -> list[NewEvent]:
    part = _part(context, batch)
    new = _new(context, part, least=2)
    at = context.rng.randint(1, len(new) - 1)
    return [*new[:at], *part, *new[at:]]


def _known_last(context: CheckContext, batch: Sequence[NewEvent]) -> list[NewEvent]:
    part = _part(context, batch)
    return [*_new(context, part), *part]


def _another_middle(context: CheckContext, batch: Sequence[NewEvent]) -> list[NewEvent]:
    """As long as the batch, with its first and last event; nothing where it has no middle."""
    if len(batch) < MIDDLE_MIN:
        return []
    first = context.rng.randint(1, len(batch) - 2)
    end = context.rng.randint(first + 1, len(batch) - 1)
    return [*batch[:first], *context.events(end - first), *batch[end:]]


def _all_and_more(context: CheckContext, batch: Sequence[NewEvent]) -> list[NewEvent]:
    """The whole batch and new events, where there is room for them."""
    if len(batch) >= _room(context):
        return []
    return [*batch, *_new(context, batch)]


MIXTURES = (_known_first, _known_in_the_middle, _known_last, _another_middle, _all_and_more)
"""Batches of which only a part is known."""

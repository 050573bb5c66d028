"""Checks 1–6. Append-only: recorded events never change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import fields, replace
from uuid import UUID

from harness.conformance.framework.check import ALWAYS, ATOMIC, ENFORCED, KEEPS, check
from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import (
    Broken,
    Disturbed,
    NotReached,
    Step,
    Unsupported,
    describe_error,
    describe_versions,
)
from harness.conformance.framework.paging import WrittenStream, small_batches, write_batches
from harness.conformance.framework.races import CONNECTIONS, Attempt, attempt, race
from harness.conformance.framework.subscriber_probe import SubscriberProbe, subscribed
from harness.conformance.framework.watching import Watcher, watched
from harness.domain.errors import EmptyAppend, NotWritten, StoreError, TamperingPrevented
from harness.domain.store import (
    AppendResult,
    EventStore,
    ExpectedVersion,
    NewEvent,
    Position,
    RecordedEvent,
    StreamState,
    Tamper,
)

SUBSCRIBED_WITHIN_S = 3.0
"""What a subscription has not delivered by then is left to the checks of subscriptions."""
_POLL_S = 0.005
REPLAYED_MIN, REPLAYED_MAX = 101, 160
"""Events of the stream that is replayed."""
SPOILING_BYTES_MAX = 20_000_000
"""Higher limits are not tested: an event over the limit would take too much memory."""
REFUSED_SIZES = ((1, 3), (4, 7), (8, 15), (16, 31), (32, 40))
"""Bounds of the sizes of refused batches; of each, one is drawn."""
RACED_SIZES = ((2, 3), (4, 12), (13, 40))
"""As above, a stream each on which such batches race: all but one batch are refused."""
BATCH_TESTED_MAX = 1_000
"""A higher limit of events an append is not tested."""
REFUSED_MIN, REFUSED_BATCHES_MIN = 5, 3
"""Appends that the store refused, and those of four or more events; fewer prove nothing."""
WATCHED_MIN = 5
"""Refused appends during which a watcher read; fewer prove nothing."""
WATCHED_ROUNDS_MAX, WATCHED_PAUSE_S = 40, 0.05
"""More refused appends, until a watcher met enough, and the longest pause before them."""
Batch = Sequence[NewEvent]
Events = Sequence[RecordedEvent]


@check(
    1,
    provokes="runs the technology's own update, past the adapter",
    leaves="the update, and the event as read before and after it, from the stream and the log",
    declaration=ENFORCED,
)
async def an_update_of_an_event_is_refused(context: CheckContext) -> None:
    """A recorded event cannot be changed: the store itself refuses it."""
    tamper = _tamper(context)
    stream, start = context.stream(), await context.head()
    await context.append(stream, context.events(2))
    before = await _both_ways(context, stream, start)
    at_ms = context.at_ms()
    allowed = await _decided(tamper.overwrite(stream, 0, b'{"n": 999}'))
    after = await _both_ways(context, stream, start)
    if allowed or any(_payloads(after[where]) != _payloads(before[where]) for where in before):
        read = [
            Step("a reader", f"read {stream!r} in {where}", _data(before[where], after[where]))
            for where in before
        ]
        update = Step("a stranger", f"update {stream!r} version 0", _outcome(allowed), at_ms)
        raise Broken("a recorded event was changed", [*context.steps, update, *read])
    context.count("updates past the adapter that the store refused", least=1)


def _data(before: Events, after: Events) -> str:
    was, now = _payloads(before[:1]), _payloads(after[:1])
    return f"data {was} before, {now} after"


def _payloads(events: Events) -> list[bytes]:
    return [event.data for event in events]


@check(
    2,
    provokes="runs the technology's own delete, and its truncate if it has one, past the adapter",
    leaves="the delete, and the number of events read after it, from the stream and the log",
    declaration=ENFORCED,
)
async def a_delete_of_an_event_is_refused(context: CheckContext) -> None:
    """A recorded event cannot be deleted: the store itself refuses it."""
    tamper = _tamper(context)
    stream, start = context.stream(), await context.head()
    await context.append(stream, context.events(2))
    before = await _both_ways(context, stream, start)
    at_ms = context.at_ms()
    allowed = await _decided(tamper.delete(stream, 1))
    after = await _both_ways(context, stream, start)
    if allowed or any(len(after[where]) != len(before[where]) for where in before):
        did = f"delete {stream!r} version 1, or truncate"
        delete = Step("a stranger", did, _outcome(allowed), at_ms)
        read = [
            Step("a reader", f"read {stream!r} in {where}", f"{len(after[where])} of 2 events")
            for where in before
        ]
        raise Broken("a recorded event was deleted", [*context.steps, delete, *read])
    context.count("deletes past the adapter that the store refused", least=1)


def _tamper(context: CheckContext) -> Tamper:
    if not isinstance(context.store, Tamper):
        raise NotReached("the adapter offers no way past itself")
    return context.store


async def _decided(tampering: Awaitable[bool]) -> bool:
    """Whether the store allowed it. Raises `NotReached` where something else was in the way."""
    try:
        return await tampering
    except TamperingPrevented as prevented:
        raise NotReached(f"the store did not decide: {prevented}") from prevented
    except StoreError as error:
        raise Disturbed(describe_error(error)) from error


def _outcome(allowed: bool) -> str:  # noqa: FBT001 - what a `Tamper` answered
    return "succeeded" if allowed else "was refused, says the store"


async def _both_ways(
    context: CheckContext,
    stream: str,
    start: Position | None,
    *,
    through: EventStore | None = None,
) -> dict[str, Events]:
    """The stream's events as read from it, and after `start` from the log if there is one."""
    there = await context.read(stream, through=through) if await context.exists(stream) else []
    events: dict[str, Events] = {"its stream": there}
    if context.guarantees.global_order != "none":
        log = (through or context.store).read_all(after=start)
        events["the log"] = [event async for event in log if event.stream == stream]
    return events


@check(
    3,
    provokes="reads a stream, and the log's part of it, appends to this and to another stream, and"
    " reads the first part again on another connection",
    leaves="the append of the first event that differs, and that event in both replays",
    declaration=KEEPS,
)
async def a_replay_is_the_same_later(context: CheckContext) -> None:
    """A later replay gives the same events, byte for byte."""
    stream, other, start = context.stream(), context.stream(), await context.head()
    count, size = context.rng.randint(REPLAYED_MIN, REPLAYED_MAX), context.rng.randint(5, 12)
    written = await write_batches(context, stream, small_batches(context, count, size))
    first = await _both_ways(context, stream, start)
    for _ in range(10):
        await context.append(stream, context.events(context.rng.randint(1, 5)))
        await context.append(other, context.events(context.rng.randint(1, 5)))
    second = await _both_ways(context, stream, start, through=await context.connect())
    for where in first:
        again = second[where][: len(first[where])]
        _require_same_replay(where, written, first[where], again)
        context.count("events that were replayed twice", len(again), least=REPLAYED_MIN)


def _require_same_replay(where: str, written: WrittenStream, first: Events, second: Events) -> None:
    """Raises `Broken` unless both replays are complete and equal."""
    replay = f"replay {written.stream!r} from {where}"
    for was, now in zip(first, second, strict=False):
        if was != now:
            wrote = [written.steps[was.id]] if was.id in written.steps else []
            old, new = _difference(was, now)
            two = [Step("a reader", replay, old), Step("another, later", replay, new)]
            raise Broken("a replay differs from the first one", [*wrote, *two])
    if not len(first) == len(second) == len(written.ids):
        shorter = min(first, second, key=len)
        wrote = written.first_step([event.id for event in shorter], written.ids)
        events = f"{len(first)} events, then {len(second)}, of {len(written.ids)}"
        raise Broken("events are missing", [*wrote, Step("a reader", f"{replay} twice", events)])


def _difference(was: RecordedEvent, now: RecordedEvent) -> tuple[str, str]:
    """Their versions, and the fields in which they differ."""
    names = [
        each.name for each in fields(was) if getattr(was, each.name) != getattr(now, each.name)
    ]
    old, new = (", ".join(f"{name} {getattr(one, name)}" for name in names) for one in (was, now))
    return f"at {was.version}: {old}", f"at {was.version}: {new}"


@check(
    4,
    provokes="appends batches of which only the last event must be refused, and stale batches, of"
    " drawn sizes from 1 to 40 and at the store's limit, and has batches race for new streams,"
    " while a watcher reads streams and log without a pause; then reads the stream, the log and"
    " subscriptions",
    leaves="the refused append, and which of its events are read, and where",
    declaration=ATOMIC,
)
async def a_failed_batch_leaves_nothing(context: CheckContext) -> None:
    """An append that fails leaves none of its events."""
    stream, raced = context.stream(), [context.stream() for _ in RACED_SIZES]
    first, stores = context.events(2), await context.writers(CONNECTIONS)
    await context.append(stream, first)
    async with require_nothing_left(context, [stream, *raced], but=first) as (attempts, watcher):
        await _attempt_all(context, stream, _all_spoiled(context, first), attempts)
        for each, size in zip(raced, drawn_sizes(context, RACED_SIZES), strict=True):
            with suppress(Unsupported):
                racing = race(context, stores, each, StreamState.NO_STREAM, size=size)
                attempts.extend(await racing)
        for size in range(1, WATCHED_ROUNDS_MAX):
            if watcher.met(refused(attempts)) >= WATCHED_MIN:
                break
            await asyncio.sleep(context.rng.random() * WATCHED_PAUSE_S)
            await _attempt_all(context, stream, _spoiled(context, first, size), attempts)
    batches = [each for each in refused(attempts) if len(each.batch) > RACED_SIZES[0][1]]
    context.count("refused appends", len(refused(attempts)), least=REFUSED_MIN)
    context.count("refused appends of four or more events", len(batches), least=REFUSED_BATCHES_MIN)


async def _attempt_all(
    context: CheckContext,
    stream: str,
    appends: Iterable[tuple[Batch, ExpectedVersion]],
    attempts: list[Attempt],
) -> None:
    for batch, expected in appends:
        with suppress(Unsupported):
            attempts.append(await attempt("the writer", context.store, stream, batch, expected))


def _all_spoiled(
    context: CheckContext, written: Sequence[NewEvent]
) -> Iterator[tuple[Batch, ExpectedVersion]]:
    """Batches of several sizes that a store refuses as a whole, or not at all."""
    most, limit = context.guarantees.batch_limit, context.guarantees.event_limit_bytes
    for size in drawn_sizes(context, REFUSED_SIZES):
        yield from _spoiled(context, written, size)
    if most is not None and most < BATCH_TESTED_MAX:
        yield context.events(most), 0
        yield context.events(most + 1), StreamState.ANY
    if limit is not None and limit < SPOILING_BYTES_MAX:
        yield [*context.events(2), *context.events(data=b"x" * (limit + 1))], StreamState.ANY


def _spoiled(
    context: CheckContext, written: Sequence[NewEvent], size: int
) -> Iterator[tuple[Batch, ExpectedVersion]]:
    """Batches of `size` events: two stale ones, then such as only their last event spoils."""
    good = context.events(size)
    yield context.events(size), 0
    yield context.events(size), StreamState.NO_STREAM
    yield [*context.events(size - 1), written[0]], StreamState.ANY
    yield [*good[: max(size - 1, 1)], replace(good[0])], StreamState.ANY
    yield (
        [*context.events(size - 1), replace(context.events()[0], type="not \ud800 UTF-8")],
        StreamState.ANY,
    )


@check(
    5,
    provokes="appends a list that is accepted and one that is refused, and compares both with"
    " copies",
    leaves="the append, and the list after it",
    declaration=ALWAYS,
)
async def the_callers_objects_are_left_alone(context: CheckContext) -> None:
    """An append does not change its caller's list of events, refused or not."""
    stream = context.stream()
    for size in drawn_sizes(context, REFUSED_SIZES):
        for expected in (StreamState.ANY, StreamState.NO_STREAM, 999):
            batch = context.events(size)
            copy = list(batch)
            try:
                answer = await context.attempt(stream, batch, expected=expected)
            except Unsupported:
                continue
            if batch != copy:
                events = f"{len(batch)} events" if len(batch) != len(copy) else "other events"
                looked = Step("the caller", f"looked at its list of {size} events", events)
                raise Broken("an append changed its caller's list", [*context.steps[-1:], looked])
            _count_list(context, answer)


def _count_list(context: CheckContext, answer: AppendResult | StoreError) -> None:
    """Count a caller's list that was left alone, accepted or refused."""
    refusals = 0 if context.guarantees.occ == "none" else 1
    if isinstance(answer, StoreError):
        context.count("callers' lists that were refused", least=refusals)
    else:
        context.count("callers' lists that were accepted", least=1)


@check(
    6,
    provokes="appends no events to a missing stream and to an existing one",
    leaves="the result of the append, and the events read after it",
    declaration=KEEPS,
)
async def an_empty_append_is_defined(context: CheckContext) -> None:
    """An append of no events is refused with EmptyAppend and changes nothing."""
    stream, missing = context.stream(), context.stream()
    await context.append(stream, context.events())
    for target in (stream, missing):
        try:
            await context.append(target, [])
        except EmptyAppend:
            context.count("empty appends that were refused", least=2)
            continue
        except StoreError:
            pass
        raise Broken("an append of nothing was not refused by EmptyAppend", context.steps[-1:])
    result = await context.append(stream, context.events())
    if context.guarantees.tells_version and result.version != 1:
        raise Broken("an append of nothing changed the stream's version", context.steps)
    if await context.exists(missing):
        read = Step("a reader", f"read {missing!r}", "a stream without events")
        raise Broken("an append of nothing made a stream", [read])


def drawn_sizes(context: CheckContext, bounds: Sequence[tuple[int, int]]) -> list[int]:
    """A size drawn between each of these bounds, as far as the store takes batches of it."""
    most = context.guarantees.batch_limit or bounds[-1][1]
    return [min(most, context.rng.randint(*between)) for between in bounds]


def refused(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The attempts that certainly were not written."""
    return [each for each in attempts if isinstance(each.answer, NotWritten)]


@asynccontextmanager
async def require_nothing_left(
    context: CheckContext, streams: Sequence[str], *, but: Sequence[NewEvent]
) -> AsyncIterator[tuple[list[Attempt], Watcher]]:
    """A list for the attempts of the block on these streams, which have the events `but` before.

    And the watcher that reads these streams and the log during the block.

    After the block, raises `Broken` if an event of a refused attempt was read by a watcher during
    it, or is read from its stream, from the log, or by a subscriber that was there before or came
    later.
    """
    after, attempts, kept = await context.head(), list[Attempt](), {event.id for event in but}
    async with AsyncExitStack() as stack:
        live = await _subscribers(context, stack, streams, after, "a subscriber who was there")
        async with watched(context, streams, after=after, log=True) as watcher:
            yield attempts, watcher
        _require_nothing_seen(attempts, kept, watcher)
        met = watcher.met(refused(attempts))
        context.count("refused appends that a watcher's reads came by", met, least=WATCHED_MIN)
        for stream in streams:
            _require_nothing_left(
                attempts,
                kept,
                Step("a reader", f"read {stream!r}"),
                await context.read_or_empty(stream),
            )
        marks = await _append_marks(context, streams)
        with suppress(Unsupported):
            _require_nothing_left(
                attempts,
                kept,
                Step("a reader", "read the log"),
                await context.log(streams, after=after),
            )
        late = await _subscribers(context, stack, streams, after, "a subscriber who came later")
        for each in (*live, *late):
            await _wait_for_marks(each, marks)
            _require_nothing_left(attempts, kept, Step(each.who, "received"), each.events)


def _require_nothing_seen(attempts: Sequence[Attempt], kept: set[UUID], watcher: Watcher) -> None:
    """Raises `Broken` if the watcher read an event that was refused and never acknowledged."""
    began_s = min((each.began_s for each in attempts), default=0)
    for look in watcher.looks:
        if look.events:
            _require_nothing_left(attempts, kept, look.step("", began_s), look.events)


async def _subscribers(
    context: CheckContext,
    stack: AsyncExitStack,
    streams: Sequence[str],
    after: Position | None,
    who: str,
) -> list[SubscriberProbe]:
    """One, or none if the store has no subscriptions."""
    if context.guarantees.subscription == "none":
        return []
    return [await stack.enter_async_context(subscribed(context, streams, who=who, after=after))]


async def _append_marks(context: CheckContext, streams: Sequence[str]) -> set[UUID]:
    """The last events appended: a reader that has them has all earlier ones as well."""
    marks = context.events(len(streams))
    for stream, mark in zip(streams, marks, strict=True):
        await context.append(stream, [mark])
    return {mark.id for mark in marks}


async def _wait_for_marks(probe: SubscriberProbe, marks: set[UUID]) -> None:
    """Wait until the probe has the marks, or time is up."""
    until = time.monotonic() + SUBSCRIBED_WITHIN_S
    while time.monotonic() < until:
        if marks <= {*probe.ids()}:
            return
        await asyncio.sleep(_POLL_S)


def _require_nothing_left(
    attempts: Sequence[Attempt], kept: set[UUID], read: Step, events: Sequence[RecordedEvent]
) -> None:
    """Raises `Broken` if an event that was read was refused and never acknowledged."""
    others = [each for each in attempts if each.won or each.unknown]
    possible = kept | {event.id for each in others for event in each.batch}
    for each in refused(attempts):
        batch = {event.id for event in each.batch} - possible
        left = [event for event in events if event.id in batch]
        if left:
            count = f"{len(left)} of the refused append's {len(each.batch)} events"
            what = f"{count}: {describe_versions(left)}"
            steps = [each.step(attempts), replace(read, result=what)]
            raise Broken("a refused append left events", steps)

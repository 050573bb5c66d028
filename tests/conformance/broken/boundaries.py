"""Stores whose conditional appends, or queries of boundaries, are wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import islice

from harness.domain.boundaries import BoundaryAppend, BoundaryItem, BoundaryRead, matches
from harness.domain.errors import AppendRefused, BoundaryViolated, OutcomeUnknown
from harness.domain.store import Position
from harness.stores._shared.waiting import give_way
from harness.stores.memory.store import BoundaryMemory

PAGE, MANY = 1_000, 10_000
DEADLOCK_S = 1.0


class Bounded(BoundaryMemory):
    """Base of stores that do something before they append, or to what they read."""

    def knows(self, events):
        return any(event.id.int in self.log.by_id for event in events)

    def require(self, items, after, own=()):
        """Look at the condition, apart from writing."""
        if items is not None:
            for match in self.log.boundary(items, after):
                if match.event.id not in own:
                    raise BoundaryViolated("looked")


class LooksThenWrites(Bounded):
    """Under READ COMMITTED: the condition is one statement, the insert another."""

    async def append_if(self, events, *, fail_if_match, after=None):
        if not self.knows(events):
            self.require(fail_if_match, after)
            await give_way()
            fail_if_match = None
        return await super().append_if(events, fail_if_match=fail_if_match, after=after)


class Locking(Bounded):
    """Base of stores that take locks by name before they look, and write under them."""

    patience_s: float | None = None

    def names(self, events, items):
        """What is locked, in this order."""
        raise NotImplementedError

    async def append_if(self, events, *, fail_if_match, after=None):
        locks = self.log.__dict__.setdefault("locks", {})
        async with AsyncExitStack() as held:
            for name in dict.fromkeys(self.names(events, fail_if_match or ())):
                lock = locks.setdefault(name, asyncio.Lock())
                try:
                    await asyncio.wait_for(lock.acquire(), self.patience_s)
                except TimeoutError:
                    raise AppendRefused("deadlock detected") from None
                held.callback(lock.release)
                await give_way()
            return await self.locked(events, fail_if_match, after)

    async def locked(self, events, items, after):
        if not self.knows(events):
            self.require(items, after)
            await give_way()
            items = None
        return await super().append_if(events, fail_if_match=items, after=after)


class LocksTagsAlone(Locking):
    """A lock for each tag, and for a condition without tags one of its own description."""

    def names(self, events, items):
        tags = {tag for each in (*items, *events) for tag in each.tags}
        return sorted(tags | {repr(item) for item in items if not item.tags})


class LocksInTheOrderGiven(Locking):
    """Two appends that name the same tags in another order wait for each other."""

    patience_s = DEADLOCK_S

    def names(self, events, items):
        return [tag for each in (*items, *events) for tag in each.tags]

    async def locked(self, events, items, after):
        return BoundaryAppend(self.log.append_if(events, items, after))


class WaitsForEachOther(LocksInTheOrderGiven):
    """As above, and whoever waited too long is told nothing."""

    async def append_if(self, events, *, fail_if_match, after=None):
        try:
            return await super().append_if(events, fail_if_match=fail_if_match, after=after)
        except AppendRefused as refused:
            raise OutcomeUnknown("no answer in time") from refused


class LetsNothingMeet(Bounded):
    """One call after another, however many are made at once."""

    async def append_if(self, events, *, fail_if_match, after=None):
        return BoundaryAppend(self.log.append_if(events, fail_if_match, after))


class TakesNoItemsForNoCondition(Bounded):
    """`if not fail_if_match`, where `is None` was meant: everything excludes nothing."""

    async def append_if(self, events, *, fail_if_match, after=None):
        return await super().append_if(events, fail_if_match=fail_if_match or None, after=after)


class RefusesWhateverMeets(Bounded):
    """A counter of the whole log in place of boundaries: others in between are conflicts."""

    async def append_if(self, events, *, fail_if_match, after=None):
        before = len(self.log)
        await give_way()
        changed = fail_if_match is not None and len(self.log) > before
        if changed and not self.knows(events):
            raise BoundaryViolated("something was written")
        return BoundaryAppend(self.log.append_if(events, fail_if_match, after))


class SaysSo(RefusesWhateverMeets):
    """As above, and declares it."""

    @classmethod
    def declares(cls, options):
        return replace(super().declares(options), refuses_disjoint=True)


class LooksAtTheHeadAgain(Bounded):
    """A condition is also violated by the event at its head."""

    async def append_if(self, events, *, fail_if_match, after=None):
        before = Position((after[0] - 1,)) if after and after[0] else None
        return await super().append_if(events, fail_if_match=fail_if_match, after=before)


class MissesTheFirstNewEvent(Bounded):
    """A condition begins one event too late."""

    async def append_if(self, events, *, fail_if_match, after=None):
        later = Position((after[0] + 1,)) if after else None
        return await super().append_if(events, fail_if_match=fail_if_match, after=later)


class ForgetsTheHead(Bounded):
    """A condition is about the whole log."""

    async def append_if(self, events, *, fail_if_match, after=None):
        return await super().append_if(events, fail_if_match=fail_if_match)


class ChangesReads(Bounded):
    """Base of stores whose queries are altered; a condition is not."""

    def altered(self, read, items, after, limit):
        raise NotImplementedError

    async def query(self, items, *, after=None, limit=None):
        read = await super().query(items, after=after, limit=limit)
        return self.altered(read, items, after, limit)


class RepeatsTheHeadsEvent(ChangesReads):
    """A query after a head begins with the event at it."""

    async def query(self, items, *, after=None, limit=None):
        before = Position((after[0] - 1,)) if after and after[0] else None
        return await super(ChangesReads, self).query(items, after=before, limit=limit)


class HeadsLag(ChangesReads):
    """A head from a replica that is one event behind."""

    def altered(self, read, items, after, limit):
        if limit is not None or not read.head or not read.head[0]:
            return read
        return replace(read, head=Position((read.head[0] - 1,)))


class HeadsRunAhead(Bounded):
    """The events in one statement, the head in another."""

    async def query(self, items, *, after=None, limit=None):
        read = await super().query(items, after=after, limit=limit)
        if limit is not None:
            return read
        await give_way()
        return BoundaryRead(read.events, (await super().query(items, after=Position.NOW)).head)


class HeadsOfPagesAreTheLogs(ChangesReads):
    """A query with a limit tells the head of the log: reading on passes over the rest."""

    def altered(self, read, items, after, limit):
        return replace(read, head=self.log[len(self.log) - 1].position if len(self.log) else None)


class MatchesInQueries(Bounded):
    """Base of stores whose queries match otherwise; conditions are right."""

    def belongs(self, items, event_type, tags):
        raise NotImplementedError

    async def query(self, items, *, after=None, limit=None):
        await give_way()
        every = self.log.boundary((), after)
        found = (e for e in every if self.belongs(items, e.event.type, e.tags))
        events = tuple(islice(found, limit))
        if limit is not None and len(events) == limit:
            return BoundaryRead(events, events[-1].event.position if events else after)
        return BoundaryRead(events, self.log[len(self.log) - 1].position if len(self.log) else None)


class TakesOrForAnd(MatchesInQueries):
    """`tags && ARRAY[…]` instead of `@>`."""

    def belongs(self, items, event_type, tags):
        return not items or any(
            (not item.types or event_type in item.types)
            and (not item.tags or not tags.isdisjoint(item.tags))
            for item in items
        )


class IgnoresTypesBesideTags(MatchesInQueries):
    """An index of tags answers alone."""

    def belongs(self, items, event_type, tags):
        return matches(
            [BoundaryItem(() if item.tags else item.types, item.tags) for item in items],
            event_type, tags,
        )  # fmt: skip


class LooksAtTheFirstItem(MatchesInQueries):
    """The others are left out."""

    def belongs(self, items, event_type, tags):
        return matches(items[:1], event_type, tags)


class FoldsTags(MatchesInQueries):
    """A collation without cases."""

    def belongs(self, items, event_type, tags):
        folded = [BoundaryItem(item.types, tuple(map(str.lower, item.tags))) for item in items]
        return matches(folded, event_type, map(str.lower, tags))


class ListsTagsInOneText(MatchesInQueries):
    """`tags LIKE '%…%'`: a tag is found within a longer one."""

    def belongs(self, items, event_type, tags):
        text = "\n".join(tags)
        return not items or any(
            (not item.types or event_type in item.types) and all(tag in text for tag in item.tags)
            for item in items
        )


class QueriesEndAtAPage(ChangesReads):
    """A thousand events, whatever was asked."""

    def altered(self, read, items, after, limit):
        return replace(read, events=read.events[:PAGE])


class QueriesEndAtTenThousand(ChangesReads):
    def altered(self, read, items, after, limit):
        return replace(read, events=read.events[:MANY])


class ForgetsTagsAtTenThousand(Bounded):
    """Beside a large boundary, an index is no longer complete."""

    async def append_if(self, events, *, fail_if_match, after=None):
        counts = self.log.__dict__.setdefault("counts", Counter())
        counts.update(tag for event in events for tag in event.tags)
        return await super().append_if(events, fail_if_match=fail_if_match, after=after)

    async def query(self, items, *, after=None, limit=None):
        read = await super().query(items, after=after, limit=limit)
        counts = self.log.__dict__.get("counts") or {"": 0}
        small = items and items[0].tags and len(read.events) < PAGE
        if small and max(counts.values()) > MANY:
            return replace(read, events=read.events[1:])
        return read


class LooksAtOnePageOfATag(Bounded):
    """A condition with several tags looks at the first thousand events that have the last one."""

    async def append_if(self, events, *, fail_if_match, after=None):
        await give_way()
        (item, *others) = fail_if_match or (BoundaryItem(),)
        if others or len(item.tags) < 2 or self.knows(events):
            return BoundaryAppend(self.log.append_if(events, fail_if_match, after))
        page = islice(self.log.boundary([BoundaryItem(tags=item.tags[-1:])], after), PAGE)
        if any(item.matches(each.event.type, each.tags) for each in page):
            raise BoundaryViolated("on the first page")
        return BoundaryAppend(self.log.append_if(events, None, None))


class FindsStreamsInBoundaries(ChangesReads):
    """Events of streams have no tags, and belong to boundaries of their type."""

    async def query(self, items, *, after=None, limit=None):
        for index in range(len(self.log)):
            self.log.tagged.setdefault(index, frozenset())
        return await super(ChangesReads, self).query(
            items and [*items, *(BoundaryItem(item.types) for item in items if not item.tags)],
            after=after, limit=limit,
        )  # fmt: skip


class LosesMetadata(ChangesReads):
    """A query reads another view of the events than the log does."""

    def altered(self, read, items, after, limit):
        return replace(
            read,
            events=tuple(
                replace(each, event=replace(each.event, metadata=b"")) for each in read.events
            ),
        )


class WritesRetriesAgain(Bounded):
    """Without a look at ids: a known append is a new one."""

    async def append_if(self, events, *, fail_if_match, after=None):
        if self.knows(events):
            fail_if_match = None
            for event in events:
                self.log.by_id.pop(event.id.int, None)
        return await super().append_if(events, fail_if_match=fail_if_match, after=after)


class DecidesBeforeItLooksForIds(Bounded):
    """A retry violates its own condition."""

    async def append_if(self, events, *, fail_if_match, after=None):
        await give_way()
        self.require(fail_if_match, after)
        return BoundaryAppend(self.log.append_if(events, fail_if_match, after))


class TellsRetriesTheHead(Bounded):
    """A retry is told where the log ends now."""

    async def append_if(self, events, *, fail_if_match, after=None):
        known = self.knows(events)
        result = await super().append_if(events, fail_if_match=fail_if_match, after=after)
        return replace(result, position=self.log[len(self.log) - 1].position) if known else result


class LooksAgainHalfWay(Bounded):
    """A large append is two statements, and each looks at the condition."""

    async def append_if(self, events, *, fail_if_match, after=None):
        if len(events) < PAGE // 20 or self.knows(events):
            return await super().append_if(events, fail_if_match=fail_if_match, after=after)
        middle, own = len(events) // 2, {event.id for event in events}
        await super().append_if(events[:middle], fail_if_match=fail_if_match, after=after)
        await give_way()
        self.require(fail_if_match, after, own)
        return await super().append_if(events[middle:], fail_if_match=None)


class ShowsAppendsInHalves(Bounded):
    """A large append is two transactions."""

    async def append_if(self, events, *, fail_if_match, after=None):
        if len(events) < PAGE // 20 or self.knows(events):
            return await super().append_if(events, fail_if_match=fail_if_match, after=after)
        middle = len(events) // 2
        self.log.append_if(events[:middle], fail_if_match, after)
        await give_way()
        await give_way()
        return BoundaryAppend(self.log.append_if(events[middle:], None, None))


class KeepsSixteenTags(Bounded):
    """What has more tags loses the others."""

    async def append_if(self, events, *, fail_if_match, after=None):
        if not self.knows(events):
            events = [replace(event, tags=event.tags[:16]) for event in events]
        return await super().append_if(events, fail_if_match=fail_if_match, after=after)


class TakesKnownIdsForRetries(Bounded):
    """Whatever is sent with them."""

    async def append_if(self, events, *, fail_if_match, after=None):
        known = [self.log.by_id.get(event.id.int) for event in events]
        if all(known):
            return BoundaryAppend(known[-1].position)
        return await super().append_if(events, fail_if_match=fail_if_match, after=after)


class WritesWhatIsNewBesideKnownIds(Bounded):
    """`ON CONFLICT (id) DO NOTHING`."""

    async def append_if(self, events, *, fail_if_match, after=None):
        new = [event for event in events if event.id.int not in self.log.by_id]
        return await super().append_if(new or events, fail_if_match=fail_if_match, after=after)


class TellsTheFirstPosition(Bounded):
    """Of an append's events instead of the last."""

    async def append_if(self, events, *, fail_if_match, after=None):
        result = await super().append_if(events, fail_if_match=fail_if_match, after=after)
        return replace(result, position=Position((result.position[0] - len(events) + 1,)))


class LooksAtTenItems(Bounded):
    """The others are left out of a condition."""

    async def append_if(self, events, *, fail_if_match, after=None):
        items = fail_if_match and fail_if_match[:10]
        return await super().append_if(events, fail_if_match=items, after=after)


class LooksAtTenTypes(Bounded):
    """The others are left out of an item."""

    async def append_if(self, events, *, fail_if_match, after=None):
        items = fail_if_match and [replace(item, types=item.types[:10]) for item in fail_if_match]
        return await super().append_if(events, fail_if_match=items, after=after)

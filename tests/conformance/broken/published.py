"""Stores with faults that others have published and no other store here has.

`docs/track-record.md` says who published each of them.
"""

from __future__ import annotations

import random

from harness.domain.errors import NoServer, StoreUnavailable, WrongExpectedVersion
from harness.domain.store import AppendResult, StreamState
from harness.stores._shared.append_rules import require_expected
from harness.stores._shared.waiting import give_way
from harness.stores.memory.store import MemoryStore

from .categories import ByCategory
from .machine import Served

ANY = StreamState.ANY


class LooksUpFirstIds(MemoryStore):
    """One query, for the first event of a batch: the others are taken to be as old or as new."""

    async def append(self, stream, events, *, expected):
        old = self.log.known(events)[:1]
        if old and old[0] and old[0].stream == stream:
            last = self.log.streams[stream][-1]
            version = min(old[0].version + len(events) - 1, last.version)
            return AppendResult(version, self.log.streams[stream][version].position)
        for event in events:
            self.log.by_id.pop(event.id.int, None)
        return await super().append(stream, events, expected=expected)


class DropsWhatRaces(MemoryStore):
    """Looks at the head without a lock, inserts with `on conflict do nothing`, returns the head."""

    async def append(self, stream, events, *, expected):
        if any(self.log.known(events)):
            return await super().append(stream, events, expected=expected)
        before = self.log.head(stream)
        require_expected(stream, expected, before)
        await give_way()
        if events and self.log.head(stream) != before:
            last = self.log.streams[stream][-1]
            return AppendResult(last.version, last.position)
        return await super().append(stream, events, expected=ANY)


class RetriesInItsDriver(MemoryStore):
    """Answers get lost; the driver sends again, and the version is no longer the expected one."""

    chance = random.Random("answers")

    async def append(self, stream, events, *, expected):
        known = any(self.log.known(events))
        result = await super().append(stream, events, expected=expected)
        if not known and expected is not ANY and self.chance.random() < 0.05:
            raise WrongExpectedVersion(stream, expected, result.version)
        return result


class CategoriesIgnoreTheirFilter(ByCategory):
    """The filter is taken, and another option puts it out of force."""

    def of_category(self, category, *, after):
        return self.healthy(None, after=after)


class DoesNotStartOnceItWasFull(Served):
    """A pointer moved on to what a full disk did not take; room alone does not help any more."""

    async def append(self, stream, events, *, expected):
        if self.machine.full:
            self.machine.restart = does_not_start
        elif self.machine.restart is does_not_start:
            raise StoreUnavailable("no server answers")
        return await super().append(stream, events, expected=expected)


async def does_not_start(*, cold=False):
    raise NoServer("the end of the log cannot be read")

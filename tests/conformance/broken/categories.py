"""Stores whose subscriptions to a category are broken, and to everything are not."""

from __future__ import annotations

from harness.domain.store import Position, category_of
from harness.stores._shared.waiting import give_way
from harness.stores.memory.store import MemoryStore


class ByCategory(MemoryStore):
    """Base of them."""

    async def subscribe(self, *, after=None, category=None):
        delivered = (
            super().subscribe(after=after)
            if category is None
            else self.of_category(category, after=after)
        )
        async for event in delivered:
            yield event

    def healthy(self, category, *, after):
        return MemoryStore.subscribe(self, after=after, category=category)

    def of_category(self, category, *, after):
        raise NotImplementedError


class CategoriesIgnoreTheCheckpoint(ByCategory):
    def of_category(self, category, *, after):
        return self.healthy(category, after=None)


class CategoriesResumeAtTheirCheckpoint(ByCategory):
    """The event of the checkpoint comes again."""

    def of_category(self, category, *, after):
        if after is not None and after != Position.NOW:
            after = Position((after[0] - 1,)) if after[0] > 0 else None
        return self.healthy(category, after=after)


class CategoriesBeginWithTheNewest(ByCategory):
    """The past of a category is delivered newest first."""

    async def of_category(self, category, *, after):
        past = [event async for event in self.read_all(after=after)]
        for event in reversed(past):
            if category_of(event.stream) == category:
                yield event
        last = past[-1].position if past else after
        async for event in self.healthy(category, after=last):
            yield event


class CategoriesTurnBatchesRound(ByCategory):
    """The events at each wake-up are delivered newest first."""

    async def of_category(self, category, *, after):
        index = self.log.index_after(after)
        while True:
            if index >= len(self.log):
                await self.log.appended.listen().wait()
            end = len(self.log)
            for place in reversed(range(index, end)):
                if category_of(self.log[place].stream) == category:
                    yield self.log[place]
            index = end
            await give_way()


class CategoriesEndAtAPage(ByCategory):
    """The past of a category is its first five hundred events."""

    async def of_category(self, category, *, after):
        delivered, end = 0, len(self.log)
        async for event in self.healthy(category, after=after):
            delivered += 1
            if event.position[0] >= end or delivered <= 500:
                yield event


class CategoriesEndAtAThousand(ByCategory):
    """The past of a category is its first thousand events."""

    async def of_category(self, category, *, after):
        delivered, end = 0, len(self.log)
        async for event in self.healthy(category, after=after):
            delivered += 1
            if event.position[0] >= end or delivered <= 1_000:
                yield event


class CategoriesEndAtAnEmptyPage(ByCategory):
    """The past ends at a page of the log that has nothing of the category."""

    async def of_category(self, category, *, after):
        delivered, past = False, [event async for event in self.read_all(after=after)]
        for first in range(0, len(past), 500):
            own = [e for e in past[first : first + 500] if category_of(e.stream) == category]
            if not own and delivered:
                break
            for event in own:
                yield event
            delivered = delivered or bool(own)
        last = past[-1].position if past else after
        async for event in self.healthy(category, after=last):
            yield event

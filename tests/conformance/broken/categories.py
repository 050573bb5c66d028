"""Stores whose subscriptions to a category are broken, and to everything are not."""

from __future__ import annotations

from harness.store import Position
from harness.stores.in_process import category_of, give_way
from harness.stores.memory import MemoryStore


class ByCategory(MemoryStore):
    """Base of them."""

    async def subscribe(self, *, after=None, category=None):
        handed = (
            super().subscribe(after=after)
            if category is None
            else self.of_category(category, after=after)
        )
        async for event in handed:
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
    """The past of a category is handed newest first."""

    async def of_category(self, category, *, after):
        past = [event async for event in self.read_all(after=after)]
        for event in reversed(past):
            if category_of(event.stream) == category:
                yield event
        last = past[-1].position if past else after
        async for event in self.healthy(category, after=last):
            yield event


class CategoriesTurnBatchesRound(ByCategory):
    """What is there at a wake-up is handed newest first."""

    async def of_category(self, category, *, after):
        index = self._log.index_behind(after)
        while True:
            if index >= len(self._log):
                await self._log.appended.listen().wait()
            end = len(self._log)
            for place in reversed(range(index, end)):
                if category_of(self._log[place].stream) == category:
                    yield self._log[place]
            index = end
            await give_way()


class CategoriesEndAtAPage(ByCategory):
    """The past of a category is its first five hundred events."""

    async def of_category(self, category, *, after):
        handed, end = 0, len(self._log)
        async for event in self.healthy(category, after=after):
            handed += 1
            if event.position[0] >= end or handed <= 500:
                yield event

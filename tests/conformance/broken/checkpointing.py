"""Stores whose checkpoints are not the last ones saved."""

from __future__ import annotations

from typing import ClassVar

from harness.stores.memory.store import MemoryStore


class KeepsTheNewestCheckpoint(MemoryStore):
    """An older position never replaces a newer one: nobody can go back."""

    async def save_checkpoint(self, subscriber, position):
        saved = await self.load_checkpoint(subscriber)
        if saved is None or position > saved:
            await super().save_checkpoint(subscriber, position)


class SavesCheckpointsAgainAtItsEnd(MemoryStore):
    """A connection that closes writes behind what it saved, whoever saved since."""

    def __init__(self, namespace):
        super().__init__(namespace)
        self.mine = {}

    async def save_checkpoint(self, subscriber, position):
        self.mine[subscriber] = position
        await super().save_checkpoint(subscriber, position)

    async def aclose(self):
        for subscriber, position in self.mine.items():
            await super().save_checkpoint(subscriber, position)


class SavesNewerCheckpointsAgainAtItsEnd(SavesCheckpointsAgainAtItsEnd):
    """The same, unless that would be a step back."""

    async def aclose(self):
        for subscriber, position in self.mine.items():
            if position > await self.load_checkpoint(subscriber):
                await MemoryStore.save_checkpoint(self, subscriber, position)


class LooksCheckpointsUpOnce(MemoryStore):
    """A connection goes on with the checkpoint that it loaded first."""

    def __init__(self, namespace):
        super().__init__(namespace)
        self.loaded = {}

    async def load_checkpoint(self, subscriber):
        if subscriber not in self.loaded:
            saved = await super().load_checkpoint(subscriber)
            if saved is None:
                return None
            self.loaded[subscriber] = saved
        return self.loaded[subscriber]

    async def save_checkpoint(self, subscriber, position):
        self.loaded.pop(subscriber, None)
        await super().save_checkpoint(subscriber, position)


class KeepsSixtyFourLettersOfCheckpointNames(MemoryStore):
    async def load_checkpoint(self, subscriber):
        return await super().load_checkpoint(subscriber[:64])

    async def save_checkpoint(self, subscriber, position):
        await super().save_checkpoint(subscriber[:64], position)


class KeepsSixteenCheckpoints(MemoryStore):
    """Of the subscribers that saved last."""

    async def save_checkpoint(self, subscriber, position):
        self.log.checkpoints.pop(subscriber, None)
        await super().save_checkpoint(subscriber, position)
        for oldest in list(self.log.checkpoints)[:-16]:
            del self.log.checkpoints[oldest]


class AcknowledgesWholePages(MemoryStore):
    """From the second page on, a page is saved as handled when its first event is delivered."""

    ends: ClassVar = {}

    async def subscribe(self, *, after=None, category=None):
        delivered = 0
        async for event in super().subscribe(after=after, category=category):
            if delivered and delivered % 64 == 0:
                self.ends[self.namespace, event.stream] = type(event.position)(
                    (event.position[0] + 63,)
                )
            delivered += 1
            yield event

    async def load_checkpoint(self, subscriber):
        saved = await super().load_checkpoint(subscriber)
        return max(saved, self.ends.get((self.namespace, subscriber), saved)) if saved else saved

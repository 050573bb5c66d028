"""One connection to one topic: its driver, its clients, and how it is opened and closed."""

from __future__ import annotations

from typing import Self

from harness.store import Endpoint
from harness.stores.kafka.aio.clients import AioClients
from harness.stores.kafka.clients import Administrator, Driver, Target
from harness.stores.kafka.deadlines import Deadlines
from harness.stores.kafka.options import KafkaOptions
from harness.stores.kafka.rd.clients import RdClients
from harness.stores.kafka.reach import Reach
from harness.stores.kafka.scanning import Scanner


class Connection:
    """What both designs need of a cluster."""

    def __init__(self, target: Target, driver: Driver, administrator: Administrator) -> None:
        self.target, self.driver, self.administrator = target, driver, administrator
        self._reach = Reach(target.endpoint.address)
        deadline_s = target.options.deadline_s
        self.deadlines = Deadlines(self._reach, deadline_s)
        self.scanner = Scanner(driver, administrator, self._reach, deadline_s)

    @classmethod
    async def open(cls, endpoint: Endpoint, options: KafkaOptions, *, partitions: int) -> Self:
        """Raises `StoreUnavailable` if nobody answers."""
        target = Target(endpoint, options, partitions)
        await Reach(endpoint.address).require()
        driver: Driver = AioClients(target) if options.driver == "aiokafka" else RdClients(target)
        return cls(target, driver, await driver.administrator())

    async def close(self) -> None:
        """Close everything that is open."""
        self.deadlines.close()
        await self.scanner.close()
        await self.administrator.aclose()

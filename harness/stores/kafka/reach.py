"""Whether anybody listens at the cluster's addresses. Drivers retry in silence; the lab asks."""

from __future__ import annotations

import asyncio

from harness.errors import StoreUnavailable

_KNOCK_LIMIT_S = 2.0


class Reach:
    """Knocks at the hosts of a bootstrap list."""

    def __init__(self, address: str) -> None:
        places = (place.rpartition(":") for place in address.split(","))
        self._hosts = [(host.strip("[]"), int(port)) for host, _, port in places]

    async def answers(self) -> bool:
        """Whether one of them takes connections."""
        for host, port in self._hosts:
            try:
                async with asyncio.timeout(_KNOCK_LIMIT_S):
                    _, writer = await asyncio.open_connection(host, port)
            except (OSError, TimeoutError):
                continue
            writer.close()
            return True
        return False

    async def require(self) -> None:
        """Raises `StoreUnavailable` if nobody does."""
        if not await self.answers():
            raise StoreUnavailable("no Kafka broker answers")

"""A third party's adapter: the lab's PostgreSQL design with an index that nobody noticed."""

from __future__ import annotations

from harness.domain.store import StoreKind
from harness.stores.postgres.options import PostgresOptions
from harness.stores.postgres.store import StreamLock


class Indexed(StreamLock):
    """One more index on the table of events."""

    async def setup(self) -> None:
        """Everything as it is, and the index."""
        await super().setup()
        await self._session.run("CREATE INDEX events_unnoticed ON events (type, recorded_at)")


STORE = StoreKind(
    name="indexed",
    summary="PostgreSQL with one index more",
    variants={"": Indexed},
    options=PostgresOptions,
    server="postgres",
    extra="postgres",
)

"""PostgreSQL as an event store: one good design, its rivals, and the tutorials' template."""

from __future__ import annotations

from harness.domain.store import StoreKind
from harness.stores.postgres.bare import prepared
from harness.stores.postgres.boundary import Boundary
from harness.stores.postgres.coalesced import Coalesced
from harness.stores.postgres.options import PostgresOptions
from harness.stores.postgres.store import Counter, GlobalLock, StreamLock, StreamRow, TableLock
from harness.stores.postgres.template import Template

STORE = StoreKind(
    name="postgres",
    summary="PostgreSQL: a table of events, one function call an append",
    variants={
        "": StreamLock,
        "row": StreamRow,
        "global-lock": GlobalLock,
        "table-lock": TableLock,
        "counter": Counter,
        "coalesced": Coalesced,
        "boundary": Boundary,
        "template": Template,
    },
    options=PostgresOptions,
    server="postgres",
    extra="postgres",
    drivers=("asyncpg",),
    bare_loops=dict.fromkeys(("", "row", "global-lock", "table-lock", "counter"), prepared),
)

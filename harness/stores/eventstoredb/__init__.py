"""EventStoreDB and its successor KurrentDB, through the client of either.

No server is available where the lab is built: here it is tested on a double that speaks the
protocol and gives the answers that were seen on EventStoreDB 23.10.8 and KurrentDB 26.1.0.
"""

from __future__ import annotations

from harness.domain.store import StoreKind
from harness.stores.eventstoredb.bare import plain, streamed
from harness.stores.eventstoredb.declaration import EventStoreDBOptions
from harness.stores.eventstoredb.store import Multi, Plain, Streamed, Template

STORE = StoreKind(
    name="eventstoredb",
    summary="EventStoreDB through its gRPC client (tested on a double where the lab is built)",
    variants={"": Streamed, "plain": Plain, "multi": Multi, "template": Template},
    renamed={"stream": ""},
    options=EventStoreDBOptions,
    server="eventstoredb",
    extra="eventstoredb",
    drivers=("esdbclient", "kurrentdbclient"),
    bare_loops={"": streamed, "plain": plain},
)

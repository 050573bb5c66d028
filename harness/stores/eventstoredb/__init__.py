"""EventStoreDB and its successor KurrentDB, through the client of either.

No server can be had where the lab is built: nothing here was run on a real one. What it asks and
what it makes of the answers is tested on a double that speaks the protocol.
"""

from __future__ import annotations

from harness.store import StoreKind
from harness.stores.eventstoredb.appending import Plain, Template
from harness.stores.eventstoredb.options import EventStoreDBOptions
from harness.stores.eventstoredb.streamed import Streamed

STORE = StoreKind(
    name="eventstoredb",
    summary="EventStoreDB through its gRPC client (not run on a real server by the lab's makers)",
    variants={"": Plain, "stream": Streamed, "template": Template},
    options=EventStoreDBOptions,
    server="eventstoredb",
    extra="eventstoredb",
)

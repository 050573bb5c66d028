"""UmaDB: an event store without streams, whose append conditions are queries; streams on top."""

from __future__ import annotations

from harness.domain.store import StoreKind
from harness.stores.umadb.bare import called
from harness.stores.umadb.declaration import UmaOptions
from harness.stores.umadb.store import ByPosition, ByVersion

STORE = StoreKind(
    name="umadb",
    summary="UmaDB: streams as tags, expected versions as append conditions, over gRPC",
    variants={"": ByVersion, "position": ByPosition},
    options=UmaOptions,
    server="umadb",
    extra="umadb",
    drivers=("grpc",),
    bare_loops={"": called},
)

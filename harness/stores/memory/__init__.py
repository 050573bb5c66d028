"""The memory store: the reference model that the contract suite and the checks are tested on."""

from __future__ import annotations

from harness.domain.store import StoreKind
from harness.stores.memory.store import BoundaryMemory, MemoryOptions, MemoryStore

STORE = StoreKind(
    name="memory",
    summary="the reference model: every guarantee, for as long as the process lives",
    variants={"": MemoryStore, "boundary": BoundaryMemory},
    options=MemoryOptions,
)

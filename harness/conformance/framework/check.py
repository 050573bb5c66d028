"""A check, the declaration that it belongs to, and the decorator that makes one of a function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from harness.conformance.framework.check_context import CheckContext
from harness.domain.boundaries import Boundaries
from harness.domain.durability import Durability
from harness.domain.store import Guarantees

Run = Callable[[CheckContext], Awaitable[None]]
"""Returns if the promise holds; else raises `Broken`, `NotReached` or `Unsupported`."""


class Requirement(StrEnum):
    """What checks are grouped by, in the order of the matrix; each names a module of `checks`."""

    APPEND_ONLY = "append_only"
    ORDERED = "ordered"
    VERSIONED = "versioned"
    IDEMPOTENT = "idempotent"
    SUBSCRIPTIONS = "subscriptions"
    FIDELITY = "fidelity"
    DURABLE = "durable"
    BOUNDARIES = "boundaries"
    TROUBLE = "trouble"

    @property
    def heading(self) -> str:
        """As people write it."""
        return self.value.replace("_", "-").capitalize()


class Isolation(IntEnum):
    """Which other checks may run at the same time. Checks run in this order."""

    SHARED = 0
    """Runs concurrently with others."""
    EXCLUSIVE = 1
    """Runs alone: it delays others' reads, or needs the whole machine."""
    DESTRUCTIVE = 2
    """Runs alone and last: it restarts, kills or pauses the server, or fills memory or log."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """The part of `Guarantees` that a check belongs to."""

    field: str
    """The name, or the names, of the fields."""
    promised: Callable[[Guarantees], bool]
    optional: bool = False
    """An adapter may leave it out; the check then reports it as unsupported."""
    needs: type | None = None
    """A protocol of the adapter; without it the check is unsupported, and opens nothing."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise and how it is tested."""

    number: int
    name: str
    """A sentence without its full stop."""
    requirement: Requirement
    promise: str
    """What a store that passes guarantees."""
    provokes: str
    """How the failure is provoked."""
    leaves: str
    """The evidence that a failure leaves."""
    declaration: Declaration
    isolation: Isolation
    run: Run
    hurts_the_disk: bool = False
    """It needs a disk of the lab's own, which can lose power and fill up."""


def check(
    number: int,
    *,
    provokes: str,
    leaves: str,
    declaration: Declaration,
    isolation: Isolation = Isolation.SHARED,
    hurts_the_disk: bool = False,
) -> Callable[[Run], Check]:
    """Make a check of a function.

    The function's name is the check's name, its docstring the promise, its module the requirement.
    """

    def decorate(run: Run) -> Check:
        requirement = Requirement(run.__module__.rpartition(".")[2])
        name, promise = run.__name__.replace("_", " "), (run.__doc__ or "").strip()
        return Check(
            number,
            name,
            requirement,
            promise,
            provokes,
            leaves,
            declaration,
            isolation,
            run,
            hurts_the_disk,
        )

    return decorate


ALWAYS = Declaration("every store", lambda g: g.readable)
"""Every store that keeps events: the null store only answers."""
IDS = Declaration("keeps_ids", lambda g: g.readable and g.keeps_ids)
UTC_TIMES = Declaration(
    "times_in_utc, keeps_ids", lambda g: g.readable and g.times_in_utc and g.keeps_ids
)
"""The check knows its event by its id."""
ATOMIC = Declaration("atomic_append", lambda g: g.atomic_append)
ENFORCED = Declaration("append_only", lambda g: g.append_only == "enforced")
KEEPS = Declaration("append_only", lambda g: g.append_only != "none")
"""Events are neither lost nor overwritten, unless somebody tampers with them."""
READS_WHOLE = Declaration("whole_streams", lambda g: g.readable and g.whole_streams)
KEEPS_WHOLE = Declaration(
    "append_only, whole_streams", lambda g: g.append_only != "none" and g.whole_streams
)
EXACT = Declaration("payload", lambda g: g.readable and g.payload == "exact")
METADATA = Declaration("keeps_metadata", lambda g: g.readable and g.keeps_metadata)
GAP_FREE = Declaration("gap_free_read", lambda g: g.gap_free_read)
IN_ORDER = Declaration("global_order", lambda g: g.global_order != "none")
"""Total or by partition: either way, the log has each stream's events in order."""
OCC = Declaration("occ", lambda g: g.occ != "none")
DURABLE_IDS = Declaration("idempotency", lambda g: g.idempotency == "durable")
RECENT_IDS = Declaration("idempotency", lambda g: g.idempotency != "none")
"""Durable, or within a window."""
SUBSCRIBES = Declaration("subscription", lambda g: g.subscription != "none")
RESUMES = Declaration(
    "subscription, starts_where_asked",
    lambda g: g.subscription != "none" and g.starts_where_asked,
)
CATEGORIES = Declaration(
    "subscription, categories", lambda g: g.subscription != "none" and g.categories
)
FOLLOWS = Declaration(
    "subscription, gap_free_read, starts_where_asked",
    lambda g: g.subscription != "none" and g.gap_free_read and g.starts_where_asked,
)
SURVIVES_RESTARTS = Declaration(
    "subscription, starts_where_asked, durability",
    lambda g: (
        g.subscription != "none" and g.starts_where_asked and g.durability != Durability.MEMORY
    ),
)
"""A server that keeps everything in memory has nothing left after a restart."""
CRASH_SAFE = Declaration(
    "durability",
    lambda g: g.durability in (Durability.PROCESS_CRASH, Durability.POWER_LOSS),
)
POWER_SAFE = Declaration("durability", lambda g: g.durability is Durability.POWER_LOSS)
CHECKPOINTS = Declaration("CheckpointStore", lambda g: g.subscription != "none", optional=True)
RESUMES_FROM_CHECKPOINTS = Declaration(
    "CheckpointStore, starts_where_asked",
    lambda g: g.subscription != "none" and g.starts_where_asked,
    optional=True,
)
SNAPSHOTS = Declaration(
    "SnapshotStore, newest_snapshot", lambda g: g.newest_snapshot, optional=True
)
BOUNDED = Declaration("boundaries", lambda g: g.boundaries != "none", needs=Boundaries)
BOUNDED_APART = Declaration(
    "boundaries, refuses_disjoint",
    lambda g: g.boundaries != "none" and not g.refuses_disjoint,
    needs=Boundaries,
)
BOUNDED_ATOMICALLY = Declaration(
    "boundaries, atomic_append",
    lambda g: g.boundaries != "none" and g.atomic_append,
    needs=Boundaries,
)
BOUNDED_IDS = Declaration(
    "boundaries, idempotency",
    lambda g: g.boundaries != "none" and g.idempotency == "durable",
    needs=Boundaries,
)

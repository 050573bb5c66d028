"""Which declared guarantee a violation breaks: a row a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.history.violations import Kind
from harness.store import Guarantees

Promise = Callable[[Guarantees], bool]


def _contract(_: Guarantees) -> bool:
    """Every adapter promises it, whatever it declares."""
    return True


def _keeps(declared: Guarantees) -> bool:
    return declared.append_only != "none"


def _appends_whole(declared: Guarantees) -> bool:
    return declared.atomic_append


def _checks_versions(declared: Guarantees) -> bool:
    return declared.occ != "none"


def _orders(declared: Guarantees) -> bool:
    return declared.global_order != "none"


PROMISES: Mapping[Kind, Promise] = {
    Kind.LOST: _keeps,
    Kind.DUPLICATED: _keeps,
    Kind.RETRY_DUPLICATED: lambda declared: declared.idempotency == "durable",
    Kind.FOREIGN: _contract,
    Kind.WRITTEN_THOUGH_REFUSED: _contract,
    Kind.TORN: _appends_whole,
    Kind.ALTERED: _contract,
    Kind.NOT_CONTIGUOUS: _keeps,
    Kind.BATCH_BROKEN: _appends_whole,
    Kind.MISPLACED: _checks_versions,
    Kind.EXPECTED_VERSION_IGNORED: _checks_versions,
    Kind.INVERTED: _orders,
    Kind.POSITION_NOT_INCREASING: lambda declared: declared.global_order == "total",
    Kind.STREAM_READ_DIFFERS: _keeps,
    Kind.SKIPPED: lambda declared: declared.gap_free_read,
    Kind.DELIVERED_TWICE: _orders,
    Kind.DELIVERED_OUT_OF_ORDER: _orders,
    Kind.DELIVERED_UNWRITTEN: _keeps,
}
"""`idempotency: window` is not held to: nobody can tell from outside where the window ends.
`altered` is held to by all: the reader already judges by the declared `payload`."""


def declared(kind: str, guarantees: Guarantees) -> bool:
    """Whether the variant promised what a violation of this kind breaks."""
    return PROMISES[Kind(kind)](guarantees)

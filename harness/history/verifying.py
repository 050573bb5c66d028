"""The whole verification: read a store back, run every check, count what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Literal

import numpy as np

from harness.history import order, placement, presence
from harness.history.columns import Appends, Deliveries, Log, StreamReads
from harness.history.delivered import deliveries_checked
from harness.history.evidence import Evidence
from harness.history.findings import Findings
from harness.history.reading import DataOf, read_log, read_streams
from harness.history.stream_reads import streams_agree
from harness.history.violations import Verification
from harness.outcome import Outcome
from harness.store import EventStore, Guarantees

GlobalOrder = Literal["total", "per-partition", "none"]
Check = Callable[[Evidence, Findings], None]

CHECKS: tuple[Check, ...] = (
    presence.lost,
    presence.duplicated,
    presence.unexpected,
    presence.altered,
    placement.expected_versions,
    placement.contiguous,
    placement.whole_batches,
    placement.acknowledged_places,
)
ORDER_CHECKS: dict[GlobalOrder, tuple[Check, ...]] = {
    "total": (order.stream_order, order.positions),
    "per-partition": (order.stream_order,),
    "none": (),
}


async def verify(
    store: EventStore,
    *,
    appends: Appends,
    deliveries: Deliveries | None,
    streams: Sequence[str],
    base: int,
    data_of: DataOf,
    guarantees: Guarantees,
    streams_max: int,
    rng: Random,
) -> Verification:
    """Read everything back and check it against what was sent.

    `streams` are the names behind the stream numbers in the columns. At most `streams_max`
    of them, drawn by `rng`, are also read one by one. Nobody may be appending meanwhile,
    save appends of unknown outcome. Raises `StoreError` if the store cannot be read.
    """
    log = await read_log(
        store,
        base=base,
        streams={name: number for number, name in enumerate(streams)},
        data_of=data_of,
        payload=guarantees.payload,
    )
    wanted = streams_in_use(appends, log)
    chosen = wanted if len(wanted) <= streams_max else sorted(rng.sample(wanted, streams_max))
    reads = await read_streams(
        store,
        [log.names[number] for number in chosen],
        base=base,
        streams={name: number for number, name in log.names.items()},
        data_of=data_of,
        payload=guarantees.payload,
    )
    return check(
        appends,
        log,
        base=base,
        deliveries=deliveries,
        reads=reads,
        global_order=guarantees.global_order,
    )


def check(
    appends: Appends,
    log: Log,
    *,
    base: int,
    deliveries: Deliveries | None = None,
    reads: StreamReads | None = None,
    global_order: GlobalOrder = "total",
) -> Verification:
    """The checks alone, on what was read before. Order is judged as far as it is declared."""
    evidence = Evidence.of(appends, log)
    findings = Findings(base=base, names=log.names, foreign=log.foreign)
    for one in (*CHECKS, *ORDER_CHECKS[global_order]):
        one(evidence, findings)
    written, lost = presence.unknown_resolved(evidence, findings)
    if reads is not None:
        streams_agree(evidence, reads, findings)
    if deliveries is not None:
        deliveries_checked(evidence, deliveries, findings, total_order=global_order == "total")
    return Verification(
        violations=tuple(findings.violations),
        counts=findings.counts,
        unknown_written=written,
        unknown_lost=lost,
        streams_read=len(reads.streams) if reads is not None else 0,
        streams_total=len(streams_in_use(appends, log)),
        events_read=len(log),
    )


def streams_in_use(appends: Appends, log: Log) -> list[int]:
    """The numbers of streams that hold events, or should."""
    acknowledged = appends.stream[appends.outcome == Outcome.OK]
    numbers: list[int] = np.union1d(acknowledged, log.stream).tolist()
    return numbers

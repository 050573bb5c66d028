"""Verification of a trial: what the store gives back against what it acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import numpy as np

from harness import history
from harness.generator.files import TrialFiles
from harness.outcome import Outcome
from harness.runner.tables import Columns, read_columns
from harness.scenario.types import Trial
from harness.store import EventStore, Guarantees

_APPEND = ("op", "stream", "first", "count", "expected", "version")


def all_appends(files: TrialFiles) -> history.Appends:
    """Every append of the trial: those in the operations' own rows, and the others."""
    own = read_columns(files.samples, _APPEND)
    written = own["count"] > 0
    others = read_columns(files.appends, (*_APPEND, "outcome"))
    columns = {name: np.concatenate((own[name][written], others[name])) for name in _APPEND}
    acknowledged = np.full(int(written.sum()), int(Outcome.OK))
    return history.Appends(**columns, outcome=np.concatenate((acknowledged, others["outcome"])))


def all_deliveries(files: TrialFiles, subscribers: int) -> history.Deliveries | None:
    """What each subscriber was handed, in the order of handling; `None` without subscribers."""
    if not subscribers:
        return None
    found = read_columns(files.deliveries, ("subscriber", "event", "stream", "version"))
    return history.Deliveries(
        found["subscriber"], found["event"], found["stream"], found["version"], subscribers
    )


SCANNED_STREAMS_MAX = 10
"""Single streams read back where each of these reads goes through a part of the whole log."""


def _streams_read(trial: Trial, guarantees: Guarantees) -> int:
    wanted = trial.verify.streams_max
    return min(wanted, SCANNED_STREAMS_MAX) if guarantees.stream_read == "scan" else wanted


async def verify(
    trial: Trial,
    store: EventStore,
    guarantees: Guarantees,
    files: TrialFiles,
    *,
    streams: Sequence[str],
    subscribers: int,
    base: int,
    data_of: Callable[[int], bytes],
) -> history.Verification:
    """Read everything back and check it. Raises `StoreError` if the store cannot be read."""
    return await history.verify(
        store,
        appends=all_appends(files),
        deliveries=all_deliveries(files, subscribers),
        streams=streams,
        base=base,
        data_of=data_of,
        guarantees=guarantees,
        streams_max=_streams_read(trial, guarantees),
        rng=Random(f"{trial.seed}/verify"),
    )


def delivery_latencies_ns(samples: Columns, deliveries: Columns) -> np.ndarray:
    """From an append's acknowledgement to the handler, for each delivery of a measured append.

    Negative where the subscriber was faster than the answer to the writer.
    """
    measured = (samples["op"] >= 0) & (samples["count"] > 0)
    first = samples["first"][measured]
    order = np.argsort(first)
    first, count = first[order], samples["count"][measured][order]
    done_ns = samples["done_ns"][measured][order]
    if not len(first):
        return np.empty(0, np.int64)
    place = np.searchsorted(first, deliveries["event"], side="right") - 1
    known = (place >= 0) & (deliveries["event"] < (first + count)[place])
    return np.asarray(deliveries["handled_ns"][known] - done_ns[place[known]])

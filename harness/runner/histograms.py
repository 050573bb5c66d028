"""A trial's times as histograms, a second each, for latency.hlog."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from harness.generator.files import TrialFiles
from harness.generator.loops import Window
from harness.generator.pacing import NS_A_SECOND
from harness.outcome import Outcome
from harness.results.hlog import Interval
from harness.runner.tables import read_columns
from harness.scenario.types import ClosedLoop, Trial

_SAMPLES = ("op", "intended_ns", "sent_ns", "done_ns", "outcome")


def intervals(trial: Trial, window: Window, files: TrialFiles) -> Iterator[Interval]:
    """Service times of operations that ended well, by the second in which they ended.

    Open loads have response times as well. A second in which nothing ended has an empty histogram.
    """
    samples = read_columns(files.samples, _SAMPLES)
    ok = (samples["op"] >= 0) & (samples["outcome"] == Outcome.OK)
    done_ns = samples["done_ns"][ok]
    begin = {"service": samples["sent_ns"][ok]}
    if not isinstance(trial.load, ClosedLoop):
        begin["response"] = samples["intended_ns"][ok]
    for name, begun_ns in begin.items():
        yield from _by_second(f"{trial.id}-{name}", window, done_ns, done_ns - begun_ns)


def _by_second(
    tag: str, window: Window, done_ns: NDArray[np.int64], values_ns: NDArray[np.int64]
) -> Iterator[Interval]:
    order = np.argsort(done_ns, kind="stable")  # rows are nearly in this order: one pass
    values_ns = values_ns[order]
    starts_ns = np.arange(window.started_ns, window.ended_ns, NS_A_SECOND)
    cuts = np.searchsorted(done_ns[order], starts_ns[1:])
    clock_s = time.time() - time.monotonic_ns() / NS_A_SECOND
    for start_ns, within in zip(starts_ns.tolist(), np.split(values_ns, cuts), strict=True):
        length_ns = min(NS_A_SECOND, window.ended_ns - start_ns)
        started_s = clock_s + start_ns / NS_A_SECOND
        yield Interval(tag, started_s, length_ns / NS_A_SECOND, within)

"""latency.hlog: a histogram log (V2, format 1.3) that HdrHistogram's own tools read.

A line is one second of one trial's service or response times, told apart by its tag. The lines of
a tag add up to the trial, whatever adds them.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.results import buckets
from harness.results.disk import writing

HLOG_FILE = "latency.hlog"
_LEGEND = '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'
_NS_A_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """Times of the operations that ended well in a stretch of a trial."""

    tag: str
    started_s: float
    """Since the epoch, UTC."""
    length_s: float
    values_ns: NDArray[np.int64]


def available() -> bool:
    """Whether the package that encodes histograms is installed."""
    return importlib.util.find_spec("hdrh") is not None


def append(path: Path, intervals: Iterable[Interval]) -> None:
    """Add a line for each interval; on disk before this returns. Raises `LabError`."""
    lines = [_line(interval) for interval in intervals]
    with writing(path), path.open("a", encoding="ascii") as file:
        if not file.tell() and lines:
            file.writelines(f"{line}\n" for line in _heading(float(lines[0].split(",")[1])))
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())


def _heading(started_s: float) -> Iterator[str]:
    when = datetime.fromtimestamp(started_s, UTC).isoformat(timespec="milliseconds")
    yield "#[Histogram log format version 1.3]"
    yield "#[Values in ns, Interval_Max in ms; a tag is a trial and what was timed]"
    yield f"#[StartTime: {started_s:.3f} (seconds since epoch), {when}]"
    yield _LEGEND


def _line(interval: Interval) -> str:
    longest_ms = interval.values_ns.max(initial=0) / _NS_A_MS
    times = f"{interval.started_s:.3f},{interval.length_s:.3f},{longest_ms:.3f}"
    return f"Tag={interval.tag},{times},{encoded(buckets.counts(interval.values_ns))}"


def encoded(counts: NDArray[np.int64]) -> str:
    """Counts by bucket in HdrHistogram's V2 encoding, compressed, in base64."""
    from hdrh.histogram import HdrHistogram  # noqa: PLC0415 - optional: the extra `hlog`

    histogram = HdrHistogram(buckets.LOWEST_NS, buckets.HIGHEST_NS, buckets.DIGITS)
    np.frombuffer(histogram.counts, np.uint64)[:] = counts
    (used,) = np.nonzero(counts)
    if len(used):
        histogram.set_internal_tacking_values(int(used[0]), int(used[-1]), int(counts.sum()))
    text: bytes = histogram.encode()
    return text.decode("ascii")

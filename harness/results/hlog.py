"""latency.hlog: a histogram log (V2, format 1.3) that HdrHistogram's own tools read.

A line is one second of one trial's service or response times; its tag says which. The lines of a
tag add up to the trial.
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

from harness.domain.files import opened_at_its_end
from harness.results.tables import writing

LOWEST_NS = 1
HIGHEST_NS = 10**14
"""Longer than any trial."""
DIGITS = 3
_HALF_BITS = 10
_HALF = 1 << _HALF_BITS
"""Buckets to a doubling of the value; more than 10 ** 3, so that 3 digits are kept."""
_MANTISSA_BITS, _EXPONENT_BIAS = 52, 1023
_UPPER_FROM = (_EXPONENT_BIAS + _HALF_BITS - 1) << _HALF_BITS


def index(values_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bucket of each value from 0 to `HIGHEST_NS`; `ValueError` for one outside."""
    if len(values_ns) and (values_ns.min() < 0 or values_ns.max() > HIGHEST_NS):
        raise ValueError(f"a histogram takes 0 to {HIGHEST_NS:,} ns")
    # A float's exponent and the first ten bits of its mantissa, read as one number, count exactly
    # these buckets, from 1024 on; below, each value has its own. Exact below 2 ** 53.
    upper = values_ns.astype(np.float64).view(np.int64) >> (_MANTISSA_BITS - _HALF_BITS)
    return np.where(values_ns < _HALF, values_ns, upper - _UPPER_FROM)


BUCKETS = (int(index(np.array([HIGHEST_NS]))[0]) // _HALF + 1) * _HALF
"""How many there are."""


def bounds(bucket: int) -> tuple[int, int]:
    """The lowest value of a bucket, and how many values it has."""
    if bucket < _HALF:
        return bucket, 1
    doublings = bucket // _HALF - 1
    return (_HALF + bucket % _HALF) << doublings, 1 << doublings


def counts(values_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many values are in each bucket."""
    return np.bincount(index(values_ns), minlength=BUCKETS)


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
    with writing(path), opened_at_its_end(path) as file:
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
    return f"Tag={interval.tag},{times},{encoded(counts(interval.values_ns))}"


def encoded(counts: NDArray[np.int64]) -> str:
    """Counts by bucket in HdrHistogram's V2 encoding, compressed, in base64."""
    from hdrh.histogram import HdrHistogram  # noqa: PLC0415 - optional: the extra `hlog`

    histogram = HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)
    np.frombuffer(histogram.counts, np.uint64)[:] = counts
    (used,) = np.nonzero(counts)
    if len(used):
        histogram.set_internal_tacking_values(int(used[0]), int(used[-1]), int(counts.sum()))
    text: bytes = histogram.encode()
    return text.decode("ascii")

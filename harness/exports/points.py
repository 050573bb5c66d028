"""What a tracker keeps of a run: a value and its range for each store, point and measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from harness import summary


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of the trials as a tracker knows it. Its name is a slug of at most 64 characters."""

    name: str
    column: str
    unit: str
    bigger_is_better: bool = False


THROUGHPUT = Measure("throughput", "throughput_per_s", "ops/s", bigger_is_better=True)
_TIMES = MappingProxyType({"p50": "latency", "p99": "latency-p99"})


@dataclass(frozen=True, slots=True)
class Value:
    """A median over the repetitions that count, their least and most, and how many there were."""

    benchmark: str
    measure: Measure
    median: float
    least: float
    most: float
    repetitions: int


def values(trials: pd.DataFrame) -> Iterator[Value]:
    """Of every store at every point that has a repetition that counts; of pairs, the candidate."""
    for _, group in summary.candidates_of_pairs(trials).groupby(
        [*summary.POINT, "key"], sort=False
    ):
        counted = summary.that_count(group)
        if len(counted):
            yield from _of_group(counted)


def _of_group(counted: pd.DataFrame) -> Iterator[Value]:
    name = _benchmark(counted.iloc[0])
    for measure in _measures(str(counted["load"].iloc[0])):
        found = counted[measure.column].astype("float64")
        if found.notna().all():
            yield Value(name, measure, found.median(), found.min(), found.max(), len(found))


def _benchmark(trial: Mapping[str, Any] | pd.Series) -> str:
    """The same from run to run: scenario, point, load and store."""
    parts = (trial["scenario"], trial["load_label"], trial["point_label"], trial["key"])
    return " / ".join(str(part) for part in parts if part)


def _measures(load: str) -> Sequence[Measure]:
    """Response times for an open load, service times for a closed one, which has no others."""
    times = "response" if load == "open" else "service"
    costs = [
        Measure(column.removesuffix("_us").replace("_", "-"), column, label)
        for column, label in summary.COSTS.items()
    ]
    return [
        THROUGHPUT,
        *(Measure(name, f"{times}_{label}_ns", "ns") for label, name in _TIMES.items()),
        *costs,
    ]

"""A run for benchmark trackers: Bencher Metric Format and github-action-benchmark's arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from harness.analysis import summary
from harness.analysis.stored_times import median_time
from harness.results import Run


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of the trials under a tracker's name, a slug of at most 64 characters."""

    name: str
    column: str
    unit: str
    bigger_is_better: bool = False


THROUGHPUT = Measure("throughput", "throughput_per_s", "ops/s", bigger_is_better=True)
_TIMES = MappingProxyType({"p50": "latency", "p99": "latency-p99"})


@dataclass(frozen=True, slots=True)
class Value:
    """Median, minimum, maximum and number of the repetitions that count."""

    benchmark: str
    measure: Measure
    median: float
    least: float
    most: float
    repetitions: int


def values(trials: pd.DataFrame) -> Iterator[Value]:
    """The values of every store and point with a repetition that counts; pairs: the candidate."""
    for _, group in summary.candidates_of_pairs(trials).groupby(
        [*summary.POINT, "key"], sort=False
    ):
        counted = summary.that_count(group)
        if len(counted):
            yield from _of_group(counted)


def _of_group(counted: pd.DataFrame) -> Iterator[Value]:
    name = _benchmark(counted.iloc[0])
    for measure in _measures(str(counted["load"].iloc[0])):
        series = counted[measure.column].astype("float64")
        if series.notna().all():
            median = series.median() if measure is THROUGHPUT else median_time(series)
            yield Value(name, measure, median, series.min(), series.max(), len(series))


def _benchmark(trial: Mapping[str, Any] | pd.Series) -> str:
    """A name that is the same in every run: scenario, load, point and store."""
    parts = (trial["scenario"], trial["load_label"], trial["point_label"], trial["key"])
    return " / ".join(str(part) for part in parts if part)


def _measures(load: str) -> Sequence[Measure]:
    """The measures of a load: response times if it is open, service times if it is closed."""
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


def bmf(run: Run) -> str:
    """`{benchmark: {measure: {value, lower_value, upper_value}}}`: median, minimum, maximum."""
    benchmarks: dict[str, dict[str, dict[str, float]]] = {}
    for value in values(run.trials):
        measures = benchmarks.setdefault(value.benchmark, {})
        measures[value.measure.name] = {
            "value": value.median,
            "lower_value": value.least,
            "upper_value": value.most,
        }
    return _text(benchmarks)


def bigger_is_better(run: Run) -> str:
    """Rates, as `customBiggerIsBetter`."""
    return _array(run, bigger=True)


def smaller_is_better(run: Run) -> str:
    """Times and costs, as `customSmallerIsBetter`."""
    return _array(run, bigger=False)


def _array(run: Run, *, bigger: bool) -> str:
    wanted = (each for each in values(run.trials) if each.measure.bigger_is_better is bigger)
    return _text([_entry(value) for value in wanted])


def _entry(value: Value) -> dict[str, object]:
    return {
        "name": f"{value.benchmark} / {value.measure.name}",
        "unit": value.measure.unit,
        "value": value.median,
        "range": f"{value.least:g} – {value.most:g}",
        "extra": f"median of {value.repetitions}",
    }


def _text(content: object) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

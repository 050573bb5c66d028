"""Bencher Metric Format and the arrays of github-action-benchmark, for tracking over commits."""

from __future__ import annotations

import json

from harness.exports.points import Value, values
from harness.results import Run


def bmf(run: Run) -> str:
    """`{benchmark: {measure: {value, lower_value, upper_value}}}`: medians, least and most."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for value in values(run.trials):
        measures = found.setdefault(value.benchmark, {})
        measures[value.measure.name] = {
            "value": value.median,
            "lower_value": value.least,
            "upper_value": value.most,
        }
    return _text(found)


def bigger_is_better(run: Run) -> str:
    """Rates, as `customBiggerIsBetter`."""
    return _array(run, bigger=True)


def smaller_is_better(run: Run) -> str:
    """Times and costs, as `customSmallerIsBetter`."""
    return _array(run, bigger=False)


def _array(run: Run, *, bigger: bool) -> str:
    found = values(run.trials)
    return _text([_entry(value) for value in found if value.measure.bigger_is_better is bigger])


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

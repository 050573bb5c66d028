"""`noise-floor.jsonl` beside the runs: what `eslab aa` found, a line a store, never overwritten."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.compare import Metric, Noise, floor_of, pairs_needed
from harness.compare.intervals import ALPHA
from harness.errors import BadInput
from harness.results.disk import writing

FILE = "noise-floor.jsonl"


@dataclass(frozen=True, slots=True)
class Known:
    """The noise of one store, scenario and machine, as it was measured last."""

    key: str
    measured_at: str
    metrics: Mapping[str, Mapping[str, float]]
    """By name: `spread` (of log ratios), `furthest` and `usual` (shares)."""

    def floor(self, metric: Metric, pairs: int) -> float:
        """The least margin that can be held with so many pairs, a share; 0 if not measured."""
        found = self.metrics.get(metric.name)
        if found is None:
            return 0.0
        usual = found.get("usual", found["furthest"])
        return floor_of(metric, found["spread"], found["furthest"], usual, pairs)

    def pairs_for(self, metric: Metric, timed: int) -> int | None:
        """So many pairs tell a change of the margin from none; `timed` metrics are asked."""
        found = self.metrics.get(metric.name)
        if found is None:
            return 0
        return pairs_needed(found["spread"], ALPHA / timed, metric.margin_log)


def remember(out: Path, scenario_hash: str, machine: str, key: str, noise: Noise) -> Path:
    """Add a line; the file."""
    path = out / FILE
    line = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "scenario_hash": scenario_hash,
        "environment": machine,
        "key": key,
        "metrics": {
            floor.metric.name: {
                "pairs": floor.pairs, "spread": floor.spread, "furthest": floor.furthest,
                "usual": floor.usual,
            }
            for floor in noise.floors
        },
    }  # fmt: skip
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    return path


def recall(out: Path, scenario_hash: str, machine: str, keys: Sequence[str]) -> list[Known]:
    """The newest lines of these stores, for this scenario on this machine. Raises `BadInput`."""
    path = out / FILE
    if not path.is_file():
        return []
    found: dict[str, Known] = {}
    for number, text in enumerate(_text(path).splitlines(), start=1):
        line = _line(path, number, text)
        if (line["scenario_hash"], line["environment"]) == (scenario_hash, machine):
            found[line["key"]] = Known(line["key"], line["measured_at"], line["metrics"])
    return [found[key] for key in keys if key in found]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path}: not the lines of `eslab aa`; remove it, or measure again"
        ) from error


def _line(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
        for metric in line["metrics"].values():
            float(metric["spread"]), float(metric["furthest"]), float(metric.get("usual", 0))
        str(line["key"]), line["scenario_hash"], line["environment"], line["measured_at"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        told = "not a line of `eslab aa`; remove it, or measure again"
        raise BadInput(told, file=str(path), line=number, column=1) from None
    return dict(line)

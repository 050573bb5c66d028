"""The file of noise floors: a line a measurement, and what a gate may ask of the newest of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.analysis.comparison.metrics import Metric
from harness.analysis.comparison.noise_floor import Noise, floor_of
from harness.analysis.comparison.statistics import ALPHA, pairs_needed
from harness.domain.errors import BadInput, Refused
from harness.domain.files import add_to_file, alone_in

FILE = "noise-floor.jsonl"


@dataclass(frozen=True, slots=True)
class Known:
    """The noise of one store, scenario and machine, as it was measured last."""

    key: str
    measured_at: str
    metrics: Mapping[str, Mapping[str, float]]
    """By name: `spread` (of log ratios), `furthest` and `usual` (shares)."""

    def floor(self, metric: Metric, pairs: int) -> float:
        """The least margin, a share, that this many pairs can decide on; 0 if not measured."""
        measured = self.metrics.get(metric.name)
        if measured is None:
            return 0.0
        usual = measured.get("usual", measured["furthest"])
        return floor_of(metric, measured["spread"], measured["furthest"], usual, pairs)

    def pairs_for(self, metric: Metric, timed: int) -> int | None:
        """How many pairs tell a change of the margin from none, with `timed` metrics asked.

        0 if not measured; none where over a thousand do not.
        """
        measured = self.metrics.get(metric.name)
        if measured is None:
            return 0
        return pairs_needed(measured["spread"], ALPHA / timed, metric.bound)


def remember(out: Path, scenario_hash: str, machine: str, key: str, noise: Noise) -> Path:
    """Add a line; the file. Raises `OSError`, for a link in its place too."""
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
    with alone_in(out):
        add_to_file(path, (json.dumps(line) + "\n").encode())
    return path


def recall(out: Path, scenario_hash: str, machine: str, keys: Sequence[str]) -> list[Known]:
    """The newest lines of these stores, for this scenario on this machine. Raises `BadInput`."""
    path = out / FILE
    if not path.is_file():
        return []
    newest: dict[str, Known] = {}
    for number, text in enumerate(_text(path).splitlines(), start=1):
        line = _line(path, number, text)
        if (line["scenario_hash"], line["environment"]) == (scenario_hash, machine):
            newest[line["key"]] = Known(line["key"], line["measured_at"], line["metrics"])
    return [newest[key] for key in keys if key in newest]


def refuse_below_floor(known: Sequence[Known], metrics: Sequence[Metric], pairs: int) -> None:
    """Raises `Refused` for a margin that identical code would not keep with this many pairs."""
    for each in known:
        for metric in metrics:
            floor = each.floor(metric, pairs)
            if metric.gated and metric.margin < floor:
                margin = f"{metric.name}={metric.margin * 100:g}%"
                measured = f"{pairs} pairs of {each.key}, measured {each.measured_at[:10]}"
                raise Refused(
                    f"{margin} is below what identical code does here ({floor:.1%} with"
                    f" {measured}); widen --margin, add --pairs, or --force"
                )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path}: not the lines of `eslab aa`; remove it, or measure again"
        ) from error


_WORDS = ("scenario_hash", "environment", "key", "measured_at")
_SHARES = ("spread", "furthest", "usual")
_MOST = 1e18


def _is_share(value: object) -> bool:
    """Whether a measurement may have written it; a truth value is a number to Python."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST


def _line(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
        words = [line[name] for name in _WORDS]
        shares = [
            metric.get(name, 0.0) if name == "usual" else metric[name]
            for metric in line["metrics"].values()
            for name in _SHARES
        ]
        known = all(isinstance(each, str) for each in words) and all(map(_is_share, shares))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        known = False
    if not known:
        message = "not a line of `eslab aa`; remove it, or measure again"
        raise BadInput(message, file=str(path), line=number, column=1) from None
    return dict(line)

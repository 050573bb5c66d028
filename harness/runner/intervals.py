"""A trial second by second: so that a stall, a checkpoint or ageing is seen, not averaged away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.generator.files import TrialFiles
from harness.generator.loops import Window
from harness.generator.pacing import NS_A_SECOND
from harness.outcome import Outcome
from harness.percentiles import percentiles
from harness.runner.rows import Row
from harness.runner.sampling import Look
from harness.runner.tables import Columns, read_columns
from harness.scenario.types import Trial

_SAMPLES = ("op", "intended_ns", "sent_ns", "done_ns", "outcome")
_SHORTEST_NS = 100_000_000
Curve = Callable[[float], float | None]


def rows(trial: Trial, window: Window, files: TrialFiles, looks: Sequence[Look]) -> Iterator[Row]:
    """A row for each second of the measurement; the last may be up to 1.1 s, and says so."""
    samples = read_columns(files.samples, _SAMPLES)
    measured = samples["op"] >= 0
    operations = {name: column[measured] for name, column in samples.items()}
    last = _seconds(window) - 1
    second = np.minimum((operations["done_ns"] - window.started_ns) // NS_A_SECOND, last)
    curves = _curves(looks)
    for number in range(last + 1):
        from_ns = window.started_ns + number * NS_A_SECOND
        to_ns = window.ended_ns if number == last else from_ns + NS_A_SECOND
        yield {
            "trial_id": trial.id,
            "key": trial.store.key,
            "second": number,
            "length_s": (to_ns - from_ns) / NS_A_SECOND,
            **_operations(operations, second == number, to_ns),
            **_resources(curves, from_ns, to_ns),
        }


def _seconds(window: Window) -> int:
    """How many rows; a rest that is too short to say anything belongs to the second before it."""
    whole, rest_ns = divmod(window.ended_ns - window.started_ns, NS_A_SECOND)
    return max(1, whole + (rest_ns > _SHORTEST_NS))


def _operations(operations: Columns, here: NDArray[np.bool_], to_ns: int) -> Row:
    """What ended in this second, and what was sent and had not ended at its end."""
    ended = np.bincount(operations["outcome"][here], minlength=len(Outcome))
    ok = here & (operations["outcome"] == Outcome.OK)
    service = operations["done_ns"][ok] - operations["sent_ns"][ok]
    sent = (operations["sent_ns"] > 0) & (operations["sent_ns"] < to_ns)
    p50, p99 = percentiles(service, (50, 99))
    return {
        "ok": int(ended[Outcome.OK]),
        "conflict": int(ended[Outcome.CONFLICT]),
        "failed": int(ended.sum() - ended[Outcome.OK] - ended[Outcome.CONFLICT]),
        "in_flight": int((sent & (operations["done_ns"] >= to_ns)).sum()),
        "service_p50_ns": p50,
        "service_p99_ns": p99,
        "service_max_ns": float(service.max()) if len(service) else None,
    }


def _resources(curves: dict[str, Curve], from_ns: int, to_ns: int) -> Row:
    row: Row = {}
    for name in ("generator_cpu_s", "server_cpu_s"):
        before, after = curves[name](from_ns), curves[name](to_ns)
        row[name] = None if before is None or after is None else max(0.0, after - before)
    for name in ("server_memory_bytes", "server_disk_bytes"):
        value = curves[name](to_ns)
        row[name] = None if value is None else round(value)
    return row


def _curves(looks: Sequence[Look]) -> dict[str, Curve]:
    """Each quantity over time, straight between two looks."""
    values: dict[str, list[float | int | None]] = {
        "generator_cpu_s": [look.generator_cpu_s for look in looks],
        "server_cpu_s": [look.server.cpu_s for look in looks],
        "server_memory_bytes": [look.server.memory_bytes for look in looks],
        "server_disk_bytes": [look.server.disk_bytes for look in looks],
    }
    at_ns = np.array([look.at_ns for look in looks], dtype=float)
    return {name: _curve(at_ns, found) for name, found in values.items()}


def _curve(at_ns: NDArray[np.float64], found: Sequence[float | int | None]) -> Curve:
    if not found or any(value is None for value in found):
        return lambda _: None
    heights = np.array(found, dtype=float)
    return lambda ns: float(np.interp(ns, at_ns, heights))

"""What drivers cost by themselves, as it was measured last, and a trial's client CPU in parts.

A line of the file compares the lab's append with a bare loop on the same driver, in turns. A trial
like it has the same share of driver: shares of one machine hold where its microseconds do not.
"""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.domain.errors import BadInput
from harness.domain.files import add_to_file, alone_in
from harness.domain.flags import FlagCode
from harness.domain.store import StoreKind
from harness.run.trial_metrics import TrialMetrics
from harness.scenario.model import ClosedLoop, Trial

FILE = "driver-costs.jsonl"
CALLERS, SIZE_BYTES, EXPECTED = 8, 256, "exact"
"""What `eslab calibrate --drivers` offers by default."""
_WORKLOAD = "append"


@dataclass(frozen=True, slots=True)
class Offered:
    """What a driver's cost depends on, beside its store: one event an append in a closed load."""

    callers: int = CALLERS
    """Of one process."""
    size_bytes: int = SIZE_BYTES
    expected: str = EXPECTED

    @property
    def options(self) -> str:
        """The options of the command that measures it."""
        size = f" --bytes {self.size_bytes}" if self.size_bytes != SIZE_BYTES else ""
        expected = f" --expected {self.expected}" if self.expected != EXPECTED else ""
        return f" --workers {self.callers}{size}{expected}"


@dataclass(frozen=True, slots=True)
class ClientCosts:
    """One side: appends a second, and the CPU time an append, outside the kernel and in it."""

    per_s: float
    user_us: float
    kernel_us: float

    @property
    def cpu_us(self) -> float:
        """Both together."""
        return self.user_us + self.kernel_us


@dataclass(frozen=True, slots=True)
class DriverCost:
    """A store's append, and its driver's bare loop: medians of turns that followed one another."""

    key: str
    measured_at: str
    offered: Offered
    lab: ClientCosts
    bare: ClientCosts
    user_share: float
    """Of the bare loop, in the lab's CPU time outside the kernel: the median of pairs of turns."""
    share: float
    """The same of all CPU time."""
    share_least: float
    share_most: float
    turns: int
    """Of each side."""


@dataclass(frozen=True, slots=True)
class DriverPart:
    """What a trial's row tells of its driver. A share that is not known is `None`, never zero."""

    driver_cpu_per_event_us: float | None = None
    driver_share: float | None = None
    driver_unknown: str = ""
    """Why it is not known, or the command that measures it; empty for a store without a driver."""


def remember(out: Path, machine: str, costs: Sequence[DriverCost]) -> Path:
    """Add a line for each; the file. Raises `OSError`, for a link in its place too."""
    path = out / FILE
    lines = [json.dumps({"environment": machine, **asdict(cost)}) for cost in costs]
    out.mkdir(parents=True, exist_ok=True)
    with alone_in(out):
        add_to_file(path, "".join(f"{line}\n" for line in lines).encode())
    return path


def recall(out: Path) -> list[tuple[str, DriverCost]]:
    """Every line, with its machine, oldest first. Raises `BadInput`."""
    path = out / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _NOT_THERE:
            return []
        raise BadInput(f"{path}: {_ADVICE}") from error
    return [_parsed(path, *line) for line in enumerate(text.splitlines(), start=1)]


def newest(lines: Sequence[tuple[str, DriverCost]], machine: str) -> list[DriverCost]:
    """The last line of each store and offer on this machine."""
    last = {(each.key, each.offered): each for where, each in lines if where == machine}
    return list(last.values())


_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""A place where no run can go, either: who makes its folder says so."""
_ADVICE = "not the lines of `eslab calibrate --drivers`; remove it, or measure again"


def _parsed(path: Path, number: int, line: str) -> tuple[str, DriverCost]:
    try:
        stored = json.loads(line)
        environment = stored.pop("environment")
        offered, lab, bare = (stored.pop(name) for name in ("offered", "lab", "bare"))
        numbers = [*lab.values(), *bare.values(), *(stored[n] for n in _SHARES)]
        known = all(_is_positive(each) for each in numbers)
        cost = DriverCost(
            offered=Offered(**offered), lab=ClientCosts(**lab), bare=ClientCosts(**bare), **stored
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        known = False
    if not known:
        raise BadInput(_ADVICE, file=str(path), line=number, column=1) from None
    return environment, cost


_SHARES = ("user_share", "share", "share_least", "share_most")


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0


def offered_by(trial: Trial, processes: int) -> Offered | None:
    """What the trial's clients offer a driver; `None` for what no bare loop does as well."""
    load, size_bytes = trial.load, trial.events.size_bytes
    parameters = trial.parameters.model_dump()
    if trial.workload != _WORKLOAD or not isinstance(load, ClosedLoop):
        return None
    if parameters["batch_size"] != 1 or not isinstance(size_bytes, int) or trial.faults:
        return None
    return Offered(math.ceil(load.workers / processes), size_bytes, parameters["expected"])


def driver_part(
    known: Sequence[DriverCost], kind: StoreKind, trial: Trial, metrics: TrialMetrics
) -> DriverPart:
    """The trial's client CPU outside the kernel, as far as it is its driver's."""
    key = trial.store.alone.key
    if trial.store.variant not in kind.bare_loops:
        has_driver = kind.bare_loops or kind.drivers
        return DriverPart(driver_unknown="no bare loop for this design" if has_driver else "")
    offered = offered_by(trial, metrics.processes)
    if offered is None:
        return DriverPart(driver_unknown="only closed loads of single appends are compared")
    found = next((each for each in known if (each.key, each.offered) == (key, offered)), None)
    if found is None:
        return DriverPart(driver_unknown=f"`{_command(key, offered, trial)}` measures it")
    cells = metrics.event_costs
    cpu_us = cells.get("generator_cpu_per_event_us")
    kernel_us = cells.get("generator_kernel_per_event_us")
    user_us = None if cpu_us is None or kernel_us is None else max(0.0, cpu_us - kernel_us)
    driver_us = None if user_us is None else min(1.0, found.user_share) * user_us
    return DriverPart(driver_us, min(1.0, found.share))


def _command(key: str, offered: Offered, trial: Trial) -> str:
    """The command; a store without versions appends at any, whatever it is asked."""
    fitted = any(flag.code == FlagCode.WITHOUT_VERSIONS for flag in trial.fitting)
    asked = Offered(offered.callers, offered.size_bytes) if fitted else offered
    stores = f" --stores '{key}'" if key != trial.store.technology else ""
    return f"eslab calibrate --drivers{asked.options}{stores}"

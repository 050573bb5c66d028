"""The `faults` of a scenario file: an entry as it is written, and the plan of a trial."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.domain.errors import BadInput
from harness.domain.faults import Fault, FaultKind

FAULTS_MAX = 200
"""In one trial, repetitions counted."""
_VERBS = ("kill", "pause", "cut", "reset", "lose", "slow", "fill")
_COMES_BACK = (FaultKind.KILL_SERVER, FaultKind.LOSE_POWER)
NETWORK_KINDS = frozenset(
    {
        FaultKind.CUT_NETWORK,
        FaultKind.RESET_NETWORK,
        FaultKind.LOSE_ANSWERS,
        FaultKind.SLOW_NETWORK,
    }
)
"""Those that lie on the way to the server; every other kind is the server's own, or its disk's."""
_SERVER_KINDS = frozenset(FaultKind) - NETWORK_KINDS
PLACES = (("server", _SERVER_KINDS), ("network", NETWORK_KINDS))
"""Two faults of one place at the same time mean nothing: a killed server fills no disk."""


class FaultEntry(BaseModel):
    """Trouble at a time: a verb with its object, and how long."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, title="Fault"
    )
    at_s: float = Field(ge=0, le=86_400, description="after the start of the measurement")
    kill: Literal["server"] | None = Field(None, description="SIGKILL to all its processes")
    pause: Literal["server"] | None = Field(None, description="it stands still and keeps all")
    cut: Literal["network"] | None = Field(None, description="nothing passes either way")
    reset: Literal["network"] | None = Field(None, description="every connection breaks")
    lose: Literal["answers", "power"] | None = Field(
        None, description="answers: requests arrive, answers do not; power: what was not flushed"
    )
    slow: Literal["network"] | None = Field(None, description="round trips take rtt_ms longer")
    fill: Literal["disk"] | None = Field(None, description="the server's disk has no room left")
    back_after_s: float | None = Field(
        None, gt=0, le=3600, description="of kill and lose: power; then it starts again"
    )
    for_s: float | None = Field(None, gt=0, le=3600, description="of the others: how long it lasts")
    rtt_ms: float | None = Field(None, gt=0, le=10_000, description="of slow: added round trip")
    every_s: float | None = Field(
        None, gt=0, le=86_400, description="again at this interval, to the end of the trial"
    )

    @model_validator(mode="after")
    def _one_whole_fault(self) -> FaultEntry:
        given = [verb for verb in _VERBS if getattr(self, verb) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of {', '.join(_VERBS)}")
        allowed = _length_name(self.kind)
        for name in ("back_after_s", "for_s"):
            if name == allowed and getattr(self, name) is None:
                raise ValueError(f"expected {name} with {self.kind}")
            if name != allowed and getattr(self, name) is not None:
                instead = f"expected {allowed}" if allowed else "which is over when it happens"
                raise ValueError(f"{name} does not go with {self.kind}; {instead}")
        if (self.rtt_ms is not None) != (self.kind is FaultKind.SLOW_NETWORK):
            missing = self.rtt_ms is None
            fault = "expected rtt_ms with" if missing else "rtt_ms does not go with"
            raise ValueError(f"{fault} {self.kind}")
        return self

    @property
    def kind(self) -> FaultKind:
        """What breaks."""
        return next(
            FaultKind(f"{verb} {getattr(self, verb)}")
            for verb in _VERBS
            if getattr(self, verb) is not None
        )

    @property
    def length_s(self) -> float:
        """How long until it is taken back; 0 for one that is over when it happens."""
        return float(self.back_after_s or self.for_s or 0.0)

    @property
    def first(self) -> Fault:
        """The fault at its first time."""
        return Fault(self.kind, float(self.at_s), self.length_s, float(self.rtt_ms or 0.0))


def _length_name(kind: FaultKind) -> str:
    """The key that says how long, if any."""
    if not kind.lasts:
        return ""
    return "back_after_s" if kind in _COMES_BACK else "for_s"


def planned(entries: Sequence[FaultEntry], duration_s: float | None) -> tuple[Fault, ...]:
    """The faults of one trial in the order of their times, with their repetitions."""
    faults = [fault for entry in entries for fault in _times(entry, duration_s or 0.0)]
    return tuple(sorted(faults, key=lambda fault: (fault.at_s, fault.kind)))


def _times(entry: FaultEntry, duration_s: float) -> Iterator[Fault]:
    fault, number = entry.first, 0
    while number == 0 or fault.at_s + fault.for_s <= duration_s:
        yield fault
        if entry.every_s is None or number >= FAULTS_MAX:
            return
        number += 1
        at_s = round(entry.at_s + number * entry.every_s, 9)
        fault = Fault(fault.kind, at_s, fault.for_s, fault.rtt_ms)


def problem(entries: Sequence[FaultEntry], duration_s: float | None) -> tuple[int, str] | None:
    """The first entry with which a trial's plan means nothing, and why; `None` if all is well."""
    if entries and duration_s is None:
        return 0, "faults have times: expected duration_s, not operations"
    assert duration_s is not None or not entries
    before: list[tuple[int, Fault]] = []
    for number, entry in enumerate(entries):
        mine = list(_times(entry, duration_s or 0.0))
        for fault in mine:
            if why := _beyond(fault, duration_s or 0.0) or _meets(fault, mine, before):
                return number, why
        before += [(number, fault) for fault in mine]
        if len(before) > FAULTS_MAX:
            return number, f"expected at most {FAULTS_MAX:,} faults in a trial"
    return None


def _beyond(fault: Fault, duration_s: float) -> str:
    if fault.at_s >= duration_s or fault.at_s + fault.for_s > duration_s:
        return f"{fault}: the trial ends at {duration_s:g} s"
    return ""


def _meets(fault: Fault, mine: Sequence[Fault], before: Sequence[tuple[int, Fault]]) -> str:
    """Which other fault of the same place is under way at the same time."""
    others = [*(other for _, other in before), *(each for each in mine if each is not fault)]
    for other in others:
        for place, kinds in PLACES:
            if fault.kind in kinds and other.kind in kinds and _overlap(fault, other):
                return f"{fault} and {other} would hit the {place} at the same time"
    return ""


def _overlap(one: Fault, other: Fault) -> bool:
    if one.at_s == other.at_s:
        return True
    first, second = sorted((one, other), key=lambda fault: fault.at_s)
    return second.at_s < first.at_s + first.for_s


_FORM = "'kill server at 3s, back after 1s' or 'slow network by 50ms at 4s, for 2s, every 10s'"
_TIME = r"(\d+(?:\.\d+)?) ?s"
_LINE = re.compile(
    rf"(?P<verb>[a-z]+) (?P<object>[a-z]+)(?: by (?P<rtt>\d+(?:\.\d+)?) ?ms)? at {_TIME}"
    rf"(?:, (?P<length>back after|for) {_TIME})?(?:, every {_TIME})?"
)


def written(line: str) -> dict[str, Any]:
    """An entry of the file from a line of the command line. Raises `BadInput`."""
    found = _LINE.fullmatch(" ".join(line.split()))
    if found is None:
        raise BadInput(f"expected a fault like {_FORM}")
    if found["verb"] not in _VERBS:
        kinds = ", ".join(FaultKind)
        raise BadInput(f"no fault {found['verb']} {found['object']}; allowed: {kinds}")
    at_s, length_s, every_s = found.group(4, 6, 7)
    entry: dict[str, Any] = {"at_s": float(at_s), found["verb"]: found["object"]}
    if length_s is not None:
        entry["back_after_s" if found["length"] == "back after" else "for_s"] = float(length_s)
    if found["rtt"] is not None:
        entry["rtt_ms"] = float(found["rtt"])
    if every_s is not None:
        entry["every_s"] = float(every_s)
    return entry

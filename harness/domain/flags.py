"""Verdict flags: what a reader must know about a number, as a code with values.

Code stores, compares and decides by a flag's data; only this module makes its sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

Value = float | int | str


class FlagCode(StrEnum):
    """The meaning of a flag; run folders store these texts."""

    UNBALANCED = "unbalanced"
    GENERATOR_BOUND = "generator-bound"
    DRIVER_BOUND = "driver-bound"
    SHARED_CORE = "shared-core"
    OPERATIONS_FAILED = "operations-failed"
    FAILED_WITH = "failed-with"
    NEVER_STEADY = "never-steady"
    STEADY_LATE = "steady-late"
    BELOW_TARGET = "below-target"
    GUARANTEE_BROKEN = "guarantee-broken"
    FINDINGS = "findings"
    STALE_READS = "stale-reads"
    UNITS = "units"
    SEARCHED = "searched"
    FEW_REPETITIONS = "few-repetitions"
    DIRTY_TREE = "dirty-tree"
    SWAPPING = "swapping"
    BUSY_MACHINE = "busy-machine"
    STOLEN_CPU = "stolen-cpu"
    DRIFT = "drift"
    DOCKER_PROXY = "docker-proxy"
    DATA_IN_MEMORY = "data-in-memory"
    DATA_UNSYNCED = "data-unsynced"
    DATA_DOUBTFUL = "data-doubtful"
    DATA_APART = "data-apart"
    DATA_SOMEWHERE = "data-somewhere"
    PROXY = "proxy"
    INTERRUPTED = "interrupted"
    REPETITIONS_LEFT_OUT = "repetitions-left-out"
    NOT_VERIFIED = "not-verified"
    WITHOUT_VERSIONS = "without-versions"
    WITHOUT_SERVICE = "without-service"
    UNANSWERED = "unanswered"
    IN_DOUBT = "in-doubt"
    OVERRAN = "overran"
    SERVER_RESTARTED = "server-restarted"
    LAB_STALLED = "lab-stalled"
    COUNTS_RESET = "counts-reset"
    RULES_BROKEN = "rules-broken"
    NOT_APART = "not-apart"
    REMARK = "remark"


@dataclass(frozen=True, slots=True)
class Flag:
    """A code and the values for its sentence: numbers in their own units, or text."""

    code: FlagCode
    values: Mapping[str, Value] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[object, ...]:
        """The key for merging: flags of one shape differ only in numbers and share a sentence."""
        texts = [(name, value) for name, value in self.values.items() if isinstance(value, str)]
        return (self.code, *self.values, *texts)

    def stored(self) -> dict[str, Any]:
        """The flag as JSON; `parsed` reads it back."""
        return {"code": self.code.value, **({"values": dict(self.values)} if self.values else {})}


COMPARED = frozenset(
    {
        FlagCode.OPERATIONS_FAILED,
        FlagCode.FAILED_WITH,
        FlagCode.GENERATOR_BOUND,
        FlagCode.DRIVER_BOUND,
        FlagCode.NEVER_STEADY,
        FlagCode.STEADY_LATE,
        FlagCode.SHARED_CORE,
        FlagCode.BELOW_TARGET,
        FlagCode.WITHOUT_VERSIONS,
        FlagCode.WITHOUT_SERVICE,
        FlagCode.UNANSWERED,
        FlagCode.OVERRAN,
        FlagCode.SERVER_RESTARTED,
        FlagCode.LAB_STALLED,
        FlagCode.COUNTS_RESET,
        FlagCode.RULES_BROKEN,
    }
)
"""Flags of trials that matter when two sides are compared."""


def parsed(stored: Any) -> Flag:
    """The flag from its stored form. Raises `ValueError` for anything else."""
    if not isinstance(stored, Mapping) or not {"code"} <= set(stored) <= {"code", "values"}:
        raise ValueError("a flag is an object with a code and values")
    values = stored.get("values", {})
    if not isinstance(values, Mapping) or not all(
        isinstance(value, (int, float, str)) for value in values.values()
    ):
        raise ValueError("the values of a flag are numbers and texts")
    flag = Flag(FlagCode(stored["code"]), dict(values))
    try:
        sentence([flag])
    except (KeyError, TypeError) as error:
        raise ValueError(f"a flag {flag.code} has the wrong values") from error
    return flag


def dumped(flags: Iterable[Flag]) -> str:
    """Flags as the text of a table's cell."""
    return json.dumps(stored(flags))


def listed(text: object) -> list[Flag]:
    """The flags in a table's cell; none in an empty one."""
    return [parsed(stored) for stored in json.loads(str(text))] if text else []


def stored(flags: Iterable[Flag]) -> list[dict[str, Any]]:
    """Flags as part of a manifest."""
    return [flag.stored() for flag in flags]


def has_flag(cell: object, code: FlagCode) -> bool:
    """Whether a table's cell has a flag of this code."""
    return any(flag.code == code for flag in listed(cell))


def merged(lists: Sequence[Sequence[Flag]]) -> list[str]:
    """The flags of several repetitions as sentences: one for each shape, with ranges of numbers.

    If not every repetition has the flag, its sentence gives the number that do.
    """
    alike: dict[tuple[object, ...], list[Flag]] = {}
    for flags in lists:
        for flag in flags:
            alike.setdefault(flag.shape, []).append(flag)
    return [_of_repetitions(flags, len(lists)) for flags in alike.values()]


def _of_repetitions(flags: Sequence[Flag], repetitions: int) -> str:
    text = sentence(flags)
    some = len(flags) < repetitions
    return f"{text} ({len(flags)} of {repetitions} repetitions)" if some else text


def sentence(flags: Sequence[Flag]) -> str:
    """Flags of one shape as a sentence; numbers that differ become a range."""
    return _SENTENCES[flags[0].code](_Values(flags))


def explanation(flag: Flag) -> str:
    """The meaning of a flag for the reader; empty if the sentence is enough."""
    return _EXPLANATIONS.get(flag.code, "")


class _Values:
    """The values of flags of one shape, by name, ready for a sentence."""

    def __init__(self, flags: Sequence[Flag]) -> None:
        self._flags = flags

    @property
    def names(self) -> list[str]:
        return list(self._flags[0].values)

    def text(self, name: str) -> str:
        return str(self._flags[0].values[name])

    def number(self, name: str, spec: str = ",.0f", *, times: float = 1.0) -> str:
        """Minimum and maximum as `3–7`, or one number if both look the same."""
        values = sorted(float(flag.values[name]) * times for flag in self._flags)
        least, most = format(values[0], spec), format(values[-1], spec)
        return least if least == most else f"{least}–{most}"


def _searched(values: _Values) -> str:
    above = (
        f"{values.number('failed_rate_per_s')}/s did not"
        if "failed_rate_per_s" in values.names
        else "none above was tried"
    )
    return f"held {values.number('rate_per_s')}/s; {above}"


def _units(values: _Values) -> str:
    consumed = [f"{values.number(name, '.2f')} {name.replace('_', ' ')}" for name in values.names]
    return f"consumed an event: {', '.join(consumed)}"


def _rules_broken(values: _Values) -> str:
    counts = {name: values.number(name) for name in values.names}
    broken = [f"{name} ({count})" for name, count in counts.items() if count != "0"]
    return f"broken rules: {', '.join(broken) or 'none'}"


def _fixed(text: str) -> Callable[[_Values], str]:
    return lambda _: text


def _not_apart(values: _Values) -> str:
    if values.text("cause") == "servers":
        return f"not kept on cores of their own: {values.text('servers')}"
    causes: Mapping[str, Callable[[], str]] = {
        "one-core": lambda: "there is only one",
        "limit": lambda: (
            f"control groups allow the time of {values.number('limit_cores', 'g')},"
            " which is less than one a side"
        ),
        "busy": lambda: (
            f"other programs used about {values.number('busy_cores')} of them as the run began"
        ),
        "kinds": lambda: (
            f"they are of two kinds, fast ({values.text('fast')}) and slow ({values.text('slow')})"
        ),
        "refused": lambda: f"the system does not let the lab choose them ({values.text('reason')})",
        "system": lambda: "this system keeps no process on chosen ones",
    }
    return f"generator and servers share all cores: {causes[values.text('cause')]()}"


_SENTENCES: Mapping[FlagCode, Callable[[_Values], str]] = MappingProxyType(
    {
        FlagCode.UNBALANCED: _fixed("accounting does not balance"),
        FlagCode.GENERATOR_BOUND: _fixed("generator-bound"),
        FlagCode.DRIVER_BOUND: lambda values: (
            f"driver-bound: {values.number('share', '.0f', times=100)}% of its client's CPU"
            " is the driver's"
        ),
        FlagCode.SHARED_CORE: _fixed("a whole core for store and generator"),
        FlagCode.OPERATIONS_FAILED: lambda values: (
            f"{values.number('share', '.1f', times=100)}% of operations failed"
        ),
        FlagCode.FAILED_WITH: lambda values: (
            f"{values.number('count')} operations ended with {values.text('reason')}"
        ),
        FlagCode.NEVER_STEADY: _fixed("warm-up not steady: the trial never became so"),
        FlagCode.STEADY_LATE: lambda values: (
            f"warm-up not steady: it went on for {values.number('after_s', '.1f')} s"
            " into the measurement"
        ),
        FlagCode.BELOW_TARGET: _fixed("achieved under 99 % of the target rate"),
        FlagCode.GUARANTEE_BROKEN: _fixed("broke a declared guarantee"),
        FlagCode.FINDINGS: lambda values: (
            f"{values.number('count', '.0f')} findings in what it kept"
        ),
        FlagCode.STALE_READS: lambda values: (
            f"{values.number('stale')} of {values.number('reads')} reads were stale,"
            f" by up to {values.number('longest_s', '.3g', times=1000)} ms"
        ),
        FlagCode.UNITS: _units,
        FlagCode.SEARCHED: _searched,
        FlagCode.FEW_REPETITIONS: lambda values: (
            f"fewer than {values.number('minimum')} repetitions"
        ),
        FlagCode.DIRTY_TREE: _fixed("uncommitted changes in the lab's own tree"),
        FlagCode.SWAPPING: _fixed("the machine was swapping"),
        FlagCode.BUSY_MACHINE: _fixed("the machine was busy with something else"),
        FlagCode.STOLEN_CPU: _fixed("the hypervisor took CPU time away"),
        FlagCode.DRIFT: lambda values: (
            f"the machine became {values.number('share', '.0f', times=100)}%"
            f" {values.text('direction')} during the run"
        ),
        FlagCode.DOCKER_PROXY: lambda values: f"behind docker-proxy: {values.text('servers')}",
        FlagCode.DATA_IN_MEMORY: lambda values: f"data in memory: {values.text('places')}",
        FlagCode.DATA_UNSYNCED: lambda values: (
            f"data where syncs are switched off: {values.text('places')}"
        ),
        FlagCode.DATA_DOUBTFUL: lambda values: (
            f"data whose syncs the lab cannot vouch for: {values.text('places')}"
        ),
        FlagCode.DATA_APART: lambda values: f"data on different disks: {values.text('places')}",
        FlagCode.DATA_SOMEWHERE: lambda values: (
            f"it is unknown where the data lies: {values.text('servers')}"
        ),
        FlagCode.PROXY: lambda values: f"through a proxy: {values.text('servers')}",
        FlagCode.INTERRUPTED: lambda values: (
            f"the run did not end in order ({values.text('status')})"
        ),
        FlagCode.REPETITIONS_LEFT_OUT: lambda values: (
            f"{values.number('count')} of {values.number('of')} repetitions left out:"
            f" {values.text('reason')}"
        ),
        FlagCode.NOT_VERIFIED: _fixed("not verified"),
        FlagCode.WITHOUT_VERSIONS: _fixed("appends without expected versions: the store has none"),
        FlagCode.WITHOUT_SERVICE: lambda values: (
            f"{values.number('seconds', '.1f')} s of {values.number('of_s', '.1f')} s"
            " without service"
        ),
        FlagCode.UNANSWERED: lambda values: (
            f"unanswered operations: {values.number('count')};"
            f" the longest waited {values.number('longest_s', '.2f')} s"
        ),
        FlagCode.IN_DOUBT: lambda values: (
            f"appends without an answer: {values.number('unknown_attempts')}; doubts that ended"
            f" by a retry's answer: {values.number('settled_by_answer')},"
            f" by reading: {values.number('settled_by_reading')},"
            f" by a conflict: {values.number('settled_by_conflict')};"
            f" operations given up: {values.number('given_up')}"
        ),
        FlagCode.OVERRAN: lambda values: (
            f"measured for {values.number('measured_s', '.1f')} s, asked for"
            f" {values.number('asked_s', '.1f')} s"
        ),
        FlagCode.SERVER_RESTARTED: _fixed("the server restarted or ended while it was measured"),
        FlagCode.LAB_STALLED: lambda values: (
            f"the lab itself stood still for {values.number('seconds', '.1f')} s"
            f" of {values.number('of_s', '.1f')} s"
        ),
        FlagCode.COUNTS_RESET: lambda values: (
            f"not counted, since the counter began anew: {values.text('counts')}"
        ),
        FlagCode.RULES_BROKEN: _rules_broken,
        FlagCode.NOT_APART: _not_apart,
        FlagCode.REMARK: lambda values: values.text("text"),
    }
)

_BUSY = "other programs had the CPU at times; expect wider scatter"
_UNSTEADY = (
    "the state changed while it was measured, so the numbers depend on how long that was: warm up"
    " or measure for longer, and look at the intervals"
)
_EXPLANATIONS: Mapping[FlagCode, str] = MappingProxyType(
    {
        FlagCode.GENERATOR_BOUND: "the load generator was the limit, not the store: read the"
        " number as “at least this much”",
        FlagCode.DRIVER_BOUND: "the driver was the limit, neither the store nor the lab around it:"
        " more worker processes, or another driver, would show more",
        FlagCode.SHARED_CORE: "the store runs in the generator's own process: the two share a"
        " core, and a faster one would show more",
        FlagCode.UNBALANCED: "some scheduled operations have no outcome, so the trial counts for"
        " nothing",
        FlagCode.OPERATIONS_FAILED: "refused, timed out or unanswered operations are not in the"
        " throughput; response times count them as slower than any, service times leave them out",
        FlagCode.FAILED_WITH: "the class of the error that the store or its driver answered with",
        FlagCode.NEVER_STEADY: _UNSTEADY,
        FlagCode.STEADY_LATE: _UNSTEADY,
        FlagCode.BELOW_TARGET: "the store did not keep up with the offered rate; response times"
        " grow with the length of the run",
        FlagCode.GUARANTEE_BROKEN: "verification found a violation of what the variant promises:"
        " a defect, and the trial is not ranked",
        FlagCode.FINDINGS: "verification found faults that this design does not promise to avoid:"
        " facts to know before adopting it",
        FlagCode.STALE_READS: "they began after an append to their stream was acknowledged, and did"
        " not show it; the time is since the acknowledgement",
        FlagCode.FEW_REPETITIONS: "with so few repetitions a small difference may be chance",
        FlagCode.DIRTY_TREE: "the code that ran differs from the named commit",
        FlagCode.SWAPPING: "memory was short; times may include swapping to disk",
        FlagCode.BUSY_MACHINE: _BUSY,
        FlagCode.DOCKER_PROXY: "a process of the engine carries every byte to these servers: some"
        " 0.1 ms a round trip that other paths do not have",
        FlagCode.DATA_IN_MEMORY: "a power loss takes all of it, whatever the settings say:"
        " its class is memory, and its syncs cost nothing",
        FlagCode.DATA_UNSYNCED: "the file system is mounted so that a sync returns before the data"
        " is safe: a power loss may take what was acknowledged, whatever the settings say",
        FlagCode.DATA_DOUBTFUL: "a network, FUSE or overlay file system, the machine behind it, or"
        " something that answers faster than a drive decides what a sync is worth: the class holds"
        " as far as that keeps its promise",
        FlagCode.DATA_APART: "a sync takes another time on each: between these stores the numbers"
        " compare disks as well",
        FlagCode.DATA_SOMEWHERE: "the lab cannot see the disks of these servers: the class follows"
        " from their settings alone, and the data may lie in memory or on other disks than rivals'",
        FlagCode.PROXY: "the environment's proxy carries every byte to these servers: the"
        " numbers are the proxy's as well; no_proxy leaves a server out",
        FlagCode.STOLEN_CPU: "other virtual machines had the CPU at times; expect wider scatter",
        FlagCode.DRIFT: "the generator alone, without a store, changed its rate during the run:"
        " early and late trials are not quite comparable",
        FlagCode.UNITS: "the units that a service with billing by use counts; not a fault",
        FlagCode.WITHOUT_VERSIONS: "the scenario's appends name the version that they expect; this"
        " store does less for each of them than the others, so its speed is no answer to theirs",
        FlagCode.WITHOUT_SERVICE: "operations waited and none was served: an outage, not a speed; a"
        " trial with more than 1 % of its time without service is not ranked",
        FlagCode.UNANSWERED: "only the time that they waited is known: the maximum includes it;"
        " response times count them as slower than any answer, service times leave them out",
        FlagCode.IN_DOUBT: "clients appended again or looked until they knew; what a second try"
        " wrote twice is among the findings",
        FlagCode.OVERRAN: "the last operations ended late, and rates are those of the whole time",
        FlagCode.SERVER_RESTARTED: "a server that recovers answers nothing, and begins with empty"
        " caches",
        FlagCode.LAB_STALLED: "the generator was stopped, starved or blocked: such a stretch says"
        " nothing about the store, and more than 1 % of them is not ranked",
        FlagCode.COUNTS_RESET: "a crash or a reset set the server's counters to zero, so that these"
        " costs are missing",
        FlagCode.RULES_BROKEN: "decisions were made on a state that another client had changed, and"
        " nothing refused them: what this design costs, beside its speed",
        FlagCode.NOT_APART: "each side takes time from the other, and moves between cores: compare"
        " with runs that were placed alike",
        FlagCode.REPETITIONS_LEFT_OUT: "the numbers come from the other repetitions",
    }
)

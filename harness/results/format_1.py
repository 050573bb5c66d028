"""Runs of format 1 stored the flags of trials and runs as sentences; here they become flags."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from harness.domain.flags import Flag, FlagCode, Value

_FIXED: Mapping[str, FlagCode] = MappingProxyType(
    {
        "accounting does not balance": FlagCode.UNBALANCED,
        "generator-bound": FlagCode.GENERATOR_BOUND,
        "a whole core for store and generator": FlagCode.SHARED_CORE,
        "warm-up not steady: the trial never became so": FlagCode.NEVER_STEADY,
        "achieved under 99 % of the target rate": FlagCode.BELOW_TARGET,
        "broke a declared guarantee": FlagCode.GUARANTEE_BROKEN,
        "uncommitted changes in the lab's own tree": FlagCode.DIRTY_TREE,
        "the machine was swapping": FlagCode.SWAPPING,
        "the machine was busy with something else": FlagCode.BUSY_MACHINE,
        "the hypervisor took CPU time away": FlagCode.STOLEN_CPU,
    }
)
_UNIT = re.compile(r"([\d.]+) ([a-z ]+)")


def flags_of(sentences: Iterable[str]) -> list[Flag]:
    """Flags of the sentences of a run of format 1; one that no lab wrote stays a remark."""
    return [_flag(sentence) for sentence in sentences]


def is_format_1(flags: Sequence[object]) -> bool:
    """Whether these flags are sentences."""
    return bool(flags) and all(isinstance(flag, str) for flag in flags)


def _flag(sentence: str) -> Flag:
    if sentence in _FIXED:
        return Flag(_FIXED[sentence])
    for code, pattern, values_of in _PATTERNS:
        match = pattern.fullmatch(sentence)
        if match:
            return Flag(code, values_of(match))
    return Flag(FlagCode.REMARK, {"text": sentence})


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _units(match: re.Match[str]) -> dict[str, Value]:
    return {name.replace(" ", "_"): float(n) for n, name in _UNIT.findall(match[1])}


_Values = Callable[[re.Match[str]], dict[str, Value]]
_PATTERNS: tuple[tuple[FlagCode, re.Pattern[str], _Values], ...] = (
    (
        FlagCode.OPERATIONS_FAILED,
        re.compile(r"([\d.]+)% of operations failed"),
        lambda match: {"share": float(match[1]) / 100},
    ),
    (
        FlagCode.STEADY_LATE,
        re.compile(r"warm-up not steady: it went on for ([\d.]+) s into the measurement"),
        lambda match: {"after_s": float(match[1])},
    ),
    (
        FlagCode.FINDINGS,
        re.compile(r"(\d+) findings in what it kept"),
        lambda match: {"count": int(match[1])},
    ),
    (FlagCode.UNITS, re.compile(r"consumed an event: (.+)"), _units),
    (
        FlagCode.SEARCHED,
        re.compile(r"held ([\d,]+)/s; ([\d,]+)/s did not"),
        lambda match: {
            "rate_per_s": _number(match[1]),
            "failed_rate_per_s": _number(match[2]),
        },
    ),
    (
        FlagCode.SEARCHED,
        re.compile(r"held ([\d,]+)/s; none above was tried"),
        lambda match: {"rate_per_s": _number(match[1])},
    ),
    (
        FlagCode.FEW_REPETITIONS,
        re.compile(r"fewer than (\d+) repetitions"),
        lambda match: {"minimum": int(match[1])},
    ),
    (
        FlagCode.DRIFT,
        re.compile(r"the machine became (\d+)% (faster|slower) during the run"),
        lambda match: {"share": float(match[1]) / 100, "direction": match[2]},
    ),
    (
        FlagCode.DOCKER_PROXY,
        re.compile(r"behind docker-proxy: (.+)"),
        lambda match: {"servers": match[1]},
    ),
)

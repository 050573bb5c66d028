"""The facts about the machine in lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import words

_GIB = 2**30


def machine_lines(facts: Mapping[str, Any]) -> dict[str, str]:
    """What a reader wants to know before believing a number measured here."""
    cpu = facts.get("cpu", {})
    return {
        "machine": f"{cpu.get('model')}, {cpu.get('cores')} cores,"
        f" {facts['memory_bytes'] / _GIB:.1f} GiB, {facts.get('system')},"
        f" Python {facts['python']}",
        "clock": f"{facts.get('clock_source', 'unknown')},"
        f" governor {cpu.get('governor', 'not to be seen')}",
        "limits": _limits(facts),
        "neighbours": _neighbours(facts),
        f"disk here ({facts.get('filesystem', 'unknown')})": _disk(facts.get("sync_latency", {})),
    }


def _limits(facts: Mapping[str, Any]) -> str:
    cores, memory = facts.get("cpu_limit_cores"), facts.get("memory_limit_bytes")
    told = [f"{cores:g} cores"] if cores else []
    told += [f"{memory / _GIB:.1f} GiB of memory"] if memory else []
    return ", ".join(told) or "none by control groups"


def _neighbours(facts: Mapping[str, Any]) -> str:
    told = [f"{name} {share:g} %" for name, share in facts.get("pressure", {}).items()]
    pressure = f"waiting in the last 10 s: {', '.join(told)}" if told else "pressure is not told"
    steal = facts.get("steal_share")
    return pressure + ("" if steal is None else f"; stolen since the start: {steal:.2%}")


def _disk(sync: Mapping[str, Any]) -> str:
    if not sync:
        return "cannot be written to"
    p50, p90 = words.duration(sync.get("p50_ns")), words.duration(sync.get("p90_ns"))
    return f"8 KiB are safe after p50 {p50}, p90 {p90}, at most {words.duration(sync['max_ns'])}"

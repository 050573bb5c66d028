"""Costs per event, as cells of a trial's row. Costs without a count are left out."""

from __future__ import annotations

import json
from typing import Any

from harness.domain import costs
from harness.domain.costs import Usage

EACH = {
    costs.LOG_BYTES: "log_bytes_per_event",
    costs.FULL_PAGE_BYTES: "full_page_bytes_per_event",
    costs.DATA_BYTES: "data_bytes_per_event",
    costs.COMMITS: "commits_per_event",
    costs.SYNCS: "syncs_per_event",
    costs.ROUND_TRIPS: "round_trips_per_event",
    costs.READ_UNITS: "read_units_per_event",
    costs.WRITE_UNITS: "write_units_per_event",
    costs.WRITE_UNITS_BY_RULE: "write_units_by_rule_per_event",
}
"""The column of each count."""
_CPU = {
    costs.GENERATOR_CPU_S: "generator_cpu_per_event_us",
    costs.GENERATOR_KERNEL_S: "generator_kernel_per_event_us",
    costs.SERVER_CPU_S: "server_cpu_per_event_us",
}
_ELSEWHERE = {*_CPU, costs.DISK_BYTES}
_US_A_SECOND = 1_000_000


def row(usage: Usage, events: int) -> dict[str, Any]:
    """The costs of the window, divided by the events of operations that ended well."""
    used = usage.all_used()
    cells: dict[str, Any] = {
        "costs": json.dumps({name: n for name, n in used.items() if name not in _ELSEWHERE}),
        "counts_reset": ", ".join(usage.reset),
        "disk_before_bytes": _whole(usage.before.get(costs.DISK_BYTES)),
        "data_after_bytes": _whole(usage.after.get(costs.DATA_BYTES)),
        "disk_after_bytes": _whole(usage.after.get(costs.DISK_BYTES)),
    }
    if events:
        cells |= {EACH[name]: n / events for name, n in used.items() if name in EACH}
        cells |= {_CPU[name]: n / events * _US_A_SECOND for name, n in used.items() if name in _CPU}
    return cells


def _whole(count: float | None) -> int | None:
    return None if count is None else round(count)

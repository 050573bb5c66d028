"""What each default design declares is what `stores.md` says: promising less is no way to pass."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.conformance import all_checks, checks, numbered
from harness.stores import kinds

EVERYTHING = {
    "occ": "native",
    "atomic_append": True,
    "tells_version": True,
    "batch_limit": None,
    "global_order": "total",
    "gap_free_read": True,
    "idempotency": "durable",
    "refuses_known_ids": True,
    "stream_read": "indexed",
    "subscription": "poll",
    "append_only": "enforced",
    "payload": "exact",
    "keeps_metadata": True,
    "keeps_ids": True,
    "times_in_utc": True,
    "whole_streams": True,
    "starts_where_asked": True,
    "categories": True,
    "newest_snapshot": True,
    "durability": "power-loss safe as configured",
    "writers": "many",
    "readable": True,
    "event_limit_bytes": None,
}
DYNAMO = EVERYTHING | {
    "batch_limit": 99,
    "global_order": "none",
    "gap_free_read": False,
    "idempotency": "window",
    "subscription": "none",
    "append_only": "by-convention",
    "durability": "memory",
    "event_limit_bytes": 400 * 1024,
}
KAFKA = EVERYTHING | {
    "occ": "none",
    "tells_version": False,
    "atomic_append": False,
    "global_order": "per-partition",
    "idempotency": "none",
    "stream_read": "scan",
    "subscription": "push",
    "append_only": "by-convention",
    "durability": "process-crash safe",
    "event_limit_bytes": 1_000_000,
}
EMULATED = {"boundaries": "emulated", "refuses_disjoint": False}
UMA = EVERYTHING | {
    "boundaries": "native",
    "refuses_disjoint": False,
    "subscription": "push",
    "idempotency": "window",
    "event_limit_bytes": (4 * 1024 - 64) * 1024,
}
TEMPLATE = {"occ": "none", "idempotency": "none", "payload": "json", "whole_streams": False}

DECLARED: dict[str, dict[str, Any]] = {
    "memory": EVERYTHING | {"subscription": "push", "durability": "memory", "writers": "one"},
    "sqlite": EVERYTHING | {"event_limit_bytes": 1_000_000_000},
    "sqlite:boundary": EVERYTHING | {"event_limit_bytes": 1_000_000_000} | EMULATED,
    "postgres": EVERYTHING,
    "postgres:boundary": EVERYTHING | EMULATED,
    "postgres:coalesced": EVERYTHING,
    "postgres:global-lock": EVERYTHING,
    "postgres:table-lock": EVERYTHING,
    "postgres:counter": EVERYTHING,
    "postgres:row": EVERYTHING | {"gap_free_read": False},
    "postgres:template": EVERYTHING
    | TEMPLATE
    | {"gap_free_read": False, "append_only": "by-convention", "times_in_utc": False}
    | {"starts_where_asked": False, "categories": False, "newest_snapshot": False},
    "eventstoredb": EVERYTHING
    | {"subscription": "push", "append_only": "by-convention", "idempotency": "window"}
    | {"event_limit_bytes": 1024 * 1024, "refuses_known_ids": False},
    "eventstoredb:multi": EVERYTHING
    | {"subscription": "push", "append_only": "by-convention", "idempotency": "window"}
    | {"event_limit_bytes": 1024 * 1024, "refuses_known_ids": False}
    | EMULATED,
    "eventstoredb:template": EVERYTHING
    | {"subscription": "push", "append_only": "by-convention", "idempotency": "none"}
    | {"event_limit_bytes": 1024 * 1024, "categories": False, "refuses_known_ids": False},
    "kafka": KAFKA,
    "kafka:single-writer": KAFKA
    | {"occ": "emulated", "tells_version": True, "atomic_append": True, "global_order": "total"}
    | {"idempotency": "durable", "writers": "one"},
    "umadb": UMA,
    "umadb:position": UMA,
    "dynamodb": DYNAMO,
    "dynamodb:sequenced": DYNAMO
    | {"occ": "emulated", "global_order": "total", "gap_free_read": True, "batch_limit": 49}
    | {"subscription": "poll", "writers": "one"},
    "dynamodb:commit": DYNAMO | {"batch_limit": None},
    "dynamodb:template": DYNAMO
    | TEMPLATE
    | {"batch_limit": None, "atomic_append": False, "append_only": "none", "keeps_metadata": False}
    | {"keeps_ids": False},
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_design_declares_what_the_page_on_stores_says(name: str):
    technology, _, variant = name.partition(":")
    kind = kinds()[technology]
    declared = kind.variants[variant].declares(kind.options())
    declared_fields = {field: getattr(declared, field) for field in DECLARED[name]}
    assert declared_fields == DECLARED[name]


def test_the_table_of_checks_is_what_the_modules_hold():
    """A reader who looks for check 9 opens `checks/__init__.py` first."""
    shown = {
        number: module.strip("` ")
        for numbers, module in re.findall(r"^\| (\d.*?) \| (.*?) \|$", checks.__doc__, re.M)
        for number in numbers_of(numbers)
    }
    held = {number: check.requirement.value for number, check in all_checks().items()}
    assert shown == held


def numbers_of(text: str) -> list[int]:
    """Of `7–15, 50`."""
    ends = [[int(end) for end in part.split("–")] for part in text.split(", ")]
    return [number for first, *last in ends for number in range(first, (last or [first])[0] + 1)]


def test_a_range_takes_the_checks_that_there_are_in_it():
    wanted = [each.number for each in numbered("3,50-57")]
    assert wanted == [n for n in all_checks() if n == 3 or 50 <= n <= 57]
    assert {51, 53, 57} <= set(wanted)

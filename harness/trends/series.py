"""What makes rows of the history one series, and how it is called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness import words

SERIES = ("scenario_hash", "key", "point", "durability", "environment")
"""Rows that agree in these are one series: the same was asked of the same, on the same machine."""
_HASH = 8

Row = pd.Series | Mapping[str, Any]
"""A row of the history, or a change as a mapping: what both have in common is read here."""


def called(row: Row) -> str:
    """A row, or a change, by all that tells its series from others."""
    parts = (
        row["key"], asked(row), row["load_label"], point(row), row["durability"],
        f"machine {row['environment']}",
    )  # fmt: skip
    return ", ".join(filter(None, parts))


def asked(row: Row) -> str:
    """The scenario: its name, and the hash of what it offers, which may change under the name."""
    return f"{row['scenario']} {row['scenario_hash'][:_HASH]}".strip()


def point(row: Row) -> str:
    """The point in words; empty where nothing varies."""
    return words.point(json.loads(row["point"] or "{}"))

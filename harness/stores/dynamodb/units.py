"""Capacity units: what the server says that a call consumed, and what the rule says.

DynamoDB Local tells one item's units for a whole transaction, whatever is in it; the service
bills each item, twice: a unit for each KB begun.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from harness.costs import READ_UNITS as READ
from harness.costs import WRITE_UNITS as WRITE
from harness.costs import WRITE_UNITS_BY_RULE as BY_RULE
from harness.stores.dynamodb.driver import Item

__all__ = ["BY_RULE", "READ", "WRITE", "count"]

_UNIT_BYTES = 1024
_TRANSACTION_FACTOR = 2


def count(units: Counter[str], kind: str, body: Item, answer: Mapping[str, Any]) -> None:
    """Add what one call consumed."""
    consumed = answer.get("ConsumedCapacity", ())
    told = sum(
        one["CapacityUnits"] for one in ((consumed,) if isinstance(consumed, Mapping) else consumed)
    )
    units[kind] += told
    if kind == WRITE:
        writes = body.get("TransactItems")
        units[BY_RULE] += told if writes is None else sum(map(_of_write, writes))


def _of_write(write: Item) -> int:
    """Of one item in a transaction; an update is of an item well below a KB."""
    put = write.get("Put")
    size = sum(map(_bytes, put["Item"].items())) if put else 1
    return _TRANSACTION_FACTOR * math.ceil(size / _UNIT_BYTES)


def _bytes(attribute: tuple[str, Item]) -> int:
    name, value = attribute
    ((kind, content),) = value.items()
    if kind == "N":
        return len(name) + len(content) // 2 + 1
    return len(name) + len(content if kind == "B" else content.encode())

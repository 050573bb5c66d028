"""The guarantee matrix of `eslab conformance` as a frame: one row for each check and store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from harness.domain.errors import BadInput

FORMAT_VERSION = 1
_COLUMNS = ["requirement", "number", "check", "promise", "key", "declared_by", "mark", "word",
            "defect", "why", "evidence", "provoked"]  # fmt: skip


def matrix(conformance: Mapping[str, Any]) -> pd.DataFrame:
    """One row for each check and store; empty if the run has no checks.

    `mark` is one character and `word` its meaning; `evidence` has one line for each step, and
    `provoked` what the check counted, as `4,312 appends that overlapped`.
    Raises `BadInput` for a matrix of another format and for one with missing or wrong fields.
    """
    if conformance and conformance.get("format_version") != FORMAT_VERSION:
        version = conformance.get("format_version")
        raise BadInput(f"conformance.json: format {version}; this lab reads {FORMAT_VERSION}")
    try:
        return pd.DataFrame(list(_rows(conformance)), columns=_COLUMNS)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"conformance.json: not a guarantee matrix: {error}") from error


_DURABILITY = ("declared", "measured", "losses", "acknowledged", "lost", "oldest_lost_s",
               "no_start")  # fmt: skip


def measured_durability(conformance: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """By store, what losing power showed: only stores of which it was measured.

    `declared` and `measured` are durability classes; `oldest_lost_s` is the age of the oldest lost
    append when the power was lost; `no_start` says how a server ended that did not start again.
    """
    return {
        store["store"]: {name: store["durability"][name] for name in _DURABILITY}
        for store in conformance.get("stores", [])
        if "durability" in store
    }


def _rows(conformance: Mapping[str, Any]) -> Iterator[dict[str, object]]:
    checks = {check["number"]: check for check in conformance.get("checks", [])}
    for store in conformance.get("stores", []):
        for result in store["results"]:
            check = checks[result["check"]]
            yield {
                "requirement": check["requirement"],
                "number": check["number"],
                "check": check["name"],
                "promise": check["promise"],
                "key": store["store"],
                "declared_by": check.get("declared_by", ""),
                "mark": result["mark"],
                "word": result["word"],
                "defect": bool(result["defect"]),
                "why": result["why"],
                "evidence": ";\n".join(_line(step) for step in result["evidence"]),
                "provoked": [_counted(each) for each in result.get("provoked", [])],
            }


def _counted(each: Mapping[str, Any]) -> str:
    return f"{each['count']:,} {each['what']}"


def _line(step: Mapping[str, Any]) -> str:
    when = "" if step.get("at_ms") is None else f"at {step['at_ms']:.1f} ms "
    line = f"{when}{step['who']}: {step['did']}"
    return f"{line} → {step['result']}" if step.get("result") else line

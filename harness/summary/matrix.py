"""The guarantee matrix of `eslab conformance` as a frame: a row a check and store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from harness.errors import BadInput

FORMAT_VERSION = 1
_COLUMNS = ["requirement", "number", "check", "promise", "key", "declared_by", "mark", "word",
            "defect", "why", "evidence"]  # fmt: skip


def matrix(conformance: Mapping[str, Any]) -> pd.DataFrame:
    """A row a check and store, of the columns above; empty where nothing was checked.

    `mark` is one character, `word` what it stands for; `evidence` is a line a step.
    Raises `BadInput` for a matrix of another format, or one that was edited until it made no sense.
    """
    if conformance and conformance.get("format_version") != FORMAT_VERSION:
        version = conformance.get("format_version")
        raise BadInput(f"conformance.json: format {version}; this lab reads {FORMAT_VERSION}")
    try:
        return pd.DataFrame(list(_rows(conformance)), columns=_COLUMNS)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"conformance.json: not a guarantee matrix: {error}") from error


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
            }


def _line(step: Mapping[str, Any]) -> str:
    when = "" if step.get("at_ms") is None else f"at {step['at_ms']:.1f} ms "
    told = f"{when}{step['who']}: {step['did']}"
    return f"{told} → {step['result']}" if step.get("result") else told

"""The JSON Schema of scenario files, for editors: the model, and the names that there are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.catalogue import Catalogue
from harness.scenario.model import ScenarioFile
from harness.store import StoreKind
from harness.workload import WorkloadKind


def schema(catalogue: Catalogue) -> dict[str, Any]:
    """JSON Schema, draft 2020-12."""
    found: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ScenarioFile.model_json_schema(),
    }
    found["title"] = "eventstore-lab scenario"
    definitions = found["$defs"]
    stores = [catalogue.stores[name] for name in sorted(catalogue.stores)]
    definitions["StoreName"] = _store_name(stores)
    definitions["StoreEntry"] = {"anyOf": [_store_entry(kind) for kind in stores]}
    found["properties"]["stores"]["items"] = {
        "anyOf": [
            {"$ref": "#/$defs/StoreName"},
            {"$ref": "#/$defs/StoreEntry"},
            {"type": "null", "description": "the store null"},
        ]
    }
    definitions.pop("WorkloadEntry", None)
    kinds = [catalogue.workloads[name] for name in sorted(catalogue.workloads)]
    found["properties"]["workload"] = {
        "anyOf": [{"enum": [kind.name for kind in kinds]}, *map(_workload, kinds)]
    }
    return found


def _names(kind: StoreKind) -> list[str]:
    return [f"{kind.name}:{variant}" if variant else kind.name for variant in kind.variants]


def _store_name(kinds: Sequence[StoreKind]) -> Mapping[str, Any]:
    """The names themselves, which editors offer, and the same with options behind them."""
    names = [name for kind in kinds for name in _names(kind)]
    pattern = rf"^({'|'.join(map(re.escape, names))})\{{[^{{}}]*\}}$"
    return {
        "anyOf": [{"enum": names}, {"type": "string", "pattern": pattern}],
        "description": "name[:variant][{key=value,…}]",
    }


def _store_entry(kind: StoreKind) -> Mapping[str, Any]:
    options = kind.options.model_json_schema()
    return {
        "type": "object",
        "description": kind.summary,
        "properties": {"store": {"enum": _names(kind)}, "options": options},
        "required": ["store"],
        "additionalProperties": False,
    }


def _workload(kind: WorkloadKind) -> Mapping[str, Any]:
    model = kind.parameters.model_json_schema()
    return {
        "type": "object",
        "description": kind.summary,
        "properties": {"name": {"const": kind.name}, **model.get("properties", {})},
        "required": ["name", *model.get("required", [])],
        "additionalProperties": False,
    }

"""The JSON Schema of scenario files, for editors: the model, and the names that there are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.catalogue import Catalogue
from harness.scenario.model import ScenarioFile
from harness.workload import WorkloadKind


def schema(catalogue: Catalogue) -> dict[str, Any]:
    """JSON Schema, draft 2020-12."""
    found: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ScenarioFile.model_json_schema(),
    }
    found["title"] = "eventstore-lab scenario"
    definitions = found["$defs"]
    definitions["StoreName"] = _store_name(catalogue)
    definitions["StoreEntry"]["properties"]["store"] = {"$ref": "#/$defs/StoreName"}
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


def _store_name(catalogue: Catalogue) -> Mapping[str, Any]:
    names = [
        re.escape(f"{kind.name}:{variant}" if variant else kind.name)
        for kind in catalogue.stores.values()
        for variant in kind.variants
    ]
    return {
        "type": "string",
        "pattern": rf"^({'|'.join(names)})(\{{[^{{}}]*\}})?$",
        "description": "name[:variant][{key=value,…}]",
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

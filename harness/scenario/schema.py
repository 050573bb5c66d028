"""The JSON Schema of scenario files, for editors: the models, and the catalogue's names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.domain.store import StoreKind
from harness.domain.workload import Catalogue, WorkloadKind
from harness.scenario.model import ScenarioFile


def schema(catalogue: Catalogue) -> dict[str, Any]:
    """JSON Schema, draft 2020-12."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_named_by_title(ScenarioFile.model_json_schema()),
    }
    schema["title"] = "eventstore-lab scenario"
    definitions = schema["$defs"]
    stores = [catalogue.stores[name] for name in sorted(catalogue.stores)]
    definitions["StoreName"] = _store_name(stores)
    definitions["Setting"] = {"type": ["string", "number", "boolean"]}
    definitions["Differing"] = _differing(catalogue)
    definitions["StoreEntry"] = {"anyOf": [_store_entry(kind) for kind in stores]}
    schema["properties"]["stores"]["items"] = {
        "anyOf": [
            {"$ref": "#/$defs/StoreName"},
            {"$ref": "#/$defs/StoreEntry"},
            {"type": "null", "description": "the store null"},
        ]
    }
    definitions.pop("WorkloadEntry", None)
    schema["properties"]["servers"] |= _servers(catalogue)
    kinds = [catalogue.workloads[name] for name in sorted(catalogue.workloads)]
    schema["properties"]["workload"] = {
        "anyOf": [{"enum": [kind.name for kind in kinds]}, *map(_workload, kinds)]
    }
    return schema


def _named_by_title(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its definitions named as the sections of a file, not as our classes."""
    titles = {name: each.get("title", name) for name, each in schema["$defs"].items()}
    text = json.dumps(schema)
    for name, title in titles.items():
        text = text.replace(f'"#/$defs/{name}"', f'"#/$defs/{title}"')
    renamed: dict[str, Any] = json.loads(text)
    definitions = renamed["$defs"].items()
    renamed["$defs"] = dict(sorted((titles[name], each) for name, each in definitions))
    return renamed


def _names(kind: StoreKind) -> list[str]:
    return [f"{kind.name}:{variant}" if variant else kind.name for variant in kind.variants]


def _store_name(kinds: Sequence[StoreKind]) -> Mapping[str, Any]:
    """The names themselves, which editors offer, and the names followed by options."""
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
        "properties": {
            "store": {"enum": _names(kind)},
            "options": options,
            "workload": {"$ref": "#/$defs/Differing"},
        },
        "required": ["store"],
        "additionalProperties": False,
    }


def _differing(catalogue: Catalogue) -> Mapping[str, Any]:
    """Parameters of any workload: which one it is stands elsewhere in the file."""
    kinds = [catalogue.workloads[name] for name in sorted(catalogue.workloads)]
    models = [kind.parameters.model_json_schema() for kind in kinds]
    return {
        "description": "parameters of the scenario's workload that differ on this store",
        "anyOf": [
            {
                "type": "object",
                "description": kind.summary,
                "properties": model.get("properties", {}),
                "additionalProperties": False,
            }
            for kind, model in zip(kinds, models, strict=True)
        ],
    }


def _servers(catalogue: Catalogue) -> Mapping[str, Any]:
    """The settings that each server may be given, which editors offer."""
    return {
        "properties": {
            name: {
                "type": "object",
                "properties": {
                    key: {"enum": list(values)} if values else {"$ref": "#/$defs/Setting"}
                    for key, values in allowed.values.items()
                },
                "additionalProperties": False,
            }
            for name, allowed in sorted(catalogue.settings.items())
        },
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

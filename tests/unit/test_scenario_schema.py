"""The published JSON Schema: current, and it takes what the loader takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from harness.scenario import schema
from harness.scenario.text import parse

from .scenarios import CATALOGUE, SHIPPED

PUBLISHED = SHIPPED[0].with_name("schema.json")
VALIDATOR = jsonschema.Draft202012Validator(schema(CATALOGUE))


def test_the_published_schema_is_current():
    assert json.loads(PUBLISHED.read_text()) == schema(CATALOGUE), (
        "run: eslab schema > scenarios/schema.json"
    )


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_scenario_fits_the_schema(path: Path):
    VALIDATOR.validate(parse(path.read_text(), str(path)).content)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lod": {}},
        {"stores": ["postgres:raw"]},
        {"stores": [{"store": "postgres", "options": {"notfy": True}}]},
        {"workload": {"name": "append", "batch": 2}},
        {"load": {"closed": {"workers": 0}}},
        {"streams": {"choice": "sideways"}},
        {"servers": {"postgres": {"archive_command": "x"}}},
        {"servers": {"dynamodb": {"storage": "tape"}}},
        {"servers": {"postgre": {}}},
    ],
    ids=str,
)
def test_an_editor_would_underline_what_the_loader_refuses(wrong: dict):
    content = {"name": "x", "stores": ["memory"], "workload": "append", **wrong}
    assert not VALIDATOR.is_valid(content)


def test_editors_offer_the_names_of_stores_and_take_options_behind_them():
    name, _ = VALIDATOR.schema["$defs"]["StoreName"]["anyOf"]
    assert {"memory", "postgres", "postgres:template"} <= set(name["enum"])
    content = {"name": "x", "stores": ["postgres:row{notify=true}"], "workload": "append"}
    VALIDATOR.validate(content)


def test_every_reference_in_the_schema_leads_somewhere():
    text = json.dumps(VALIDATOR.schema)
    wanted = set(re.findall(r'"#/\$defs/(\w+)"', text))
    assert wanted
    assert wanted <= VALIDATOR.schema["$defs"].keys()

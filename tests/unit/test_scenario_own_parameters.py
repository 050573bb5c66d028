"""Stores of a scenario with parameters of the workload of their own."""

from __future__ import annotations

import re

import jsonschema
import pytest

from harness.domain.errors import BadInput
from harness.scenario import schema
from harness.scenario.names import parse_store_name, without_workload
from harness.scenario.text import parse

from .scenarios import CATALOGUE, loaded

DESIGNS = """\
name: designs
stores:
  - memory:boundary
  - {store: memory, workload: {protection: saga}}
  - store: sqlite
    options: {synchronous: normal}
    workload: {protection: none, capacity: 5}
workload: {name: boundary, capacity: 30}
vary: {streams.choice.zipf: [0.5, 1.5]}
"""
REFUSED = {
    "protection: sage": "4:44: stores.1.workload.protection: expected 'boundary', 'one-stream', "
    "'saga' or 'none', got 'sage' (did you mean 'saga'?)",
    "protectio: saga": "4:32: unknown key 'protectio'; allowed: attempts_max, capacity, "
    "courses_max, protection, register_share, students (did you mean 'protection'?)",
    "name: append": "4:32: unknown key 'name'; allowed: attempts_max, capacity, courses_max, "
    "protection, register_share, students",
    "capacity: 0": "4:42: stores.1.workload.capacity: expected at least 1, got 0",
}


def of(scenario):
    return {trial.store.key: trial.parameters for trial in scenario.trials}


def test_they_are_part_of_the_key_and_of_the_trial(tmp_path):
    scenario = loaded(tmp_path, DESIGNS)
    given = {key: (each.protection, each.capacity) for key, each in of(scenario).items()}
    assert given == {
        "memory:boundary": ("boundary", 30),
        "memory+saga": ("saga", 30),
        "sqlite{synchronous=normal}+capacity=5+none": ("none", 5),
    }
    assert len(scenario.trials) == 6


def test_the_same_store_may_stand_there_once_with_each(tmp_path):
    twice = DESIGNS.replace("memory:boundary", "{store: memory, workload: {protection: saga}}")
    with pytest.raises(BadInput, match=r"4:5: memory\+saga is given twice"):
        loaded(tmp_path, twice)


def test_the_command_line_chooses_among_them_by_key(tmp_path):
    chosen = "memory+saga,sqlite,sqlite{synchronous=normal}+capacity=5+none"
    assert list(of(loaded(tmp_path, DESIGNS, stores=chosen))) == chosen.split(",")
    with pytest.raises(
        BadInput, match=re.escape("--stores: 'memory+none' is not a store name")
    ) as e:
        loaded(tmp_path, DESIGNS, stores="memory+none")
    own = "memory+saga, sqlite{synchronous=normal}+capacity=5+none"
    assert str(e.value).endswith(f"; the scenario also has {own}")


def test_what_all_stores_share_alone_is_hashed_so_that_a_row_stays_comparable(tmp_path):
    whole, one = loaded(tmp_path, DESIGNS), loaded(tmp_path, DESIGNS, stores="memory+saga")
    assert whole.hash == one.hash
    assert of(whole)["memory+saga"] == of(one)["memory+saga"]
    assert loaded(tmp_path, DESIGNS.replace("30", "31")).hash != whole.hash


@pytest.mark.parametrize("wrong", REFUSED)
def test_a_wrong_one_is_refused_with_its_place(tmp_path, wrong):
    text = DESIGNS.replace("protection: saga", wrong)
    with pytest.raises(BadInput) as refused:
        loaded(tmp_path, text)
    assert str(refused.value).partition("given.yaml:")[2] == REFUSED[wrong]


def test_what_varies_is_not_given_a_second_time(tmp_path):
    text = DESIGNS.replace("streams.choice.zipf: [0.5, 1.5]", "workload.protection: [saga]")
    with pytest.raises(BadInput, match="4:44: protection: expected in stores or in vary"):
        loaded(tmp_path, text)


def test_the_command_line_does_not_set_what_a_store_keeps_to_itself(tmp_path):
    refused = re.escape("--set workload.protection=none: memory+saga has its own protection")
    with pytest.raises(BadInput, match=refused):
        loaded(tmp_path, DESIGNS, settings=["workload.protection=none"])
    alone = {"stores": "memory:boundary", "settings": ["workload.protection=none"]}
    assert of(loaded(tmp_path, DESIGNS, **alone))["memory:boundary"].protection == "none"
    of_all = of(loaded(tmp_path, DESIGNS, stores="memory+saga", settings=["workload.capacity=7"]))
    assert of_all["memory+saga"].capacity == 7


def test_a_store_is_found_in_its_key():
    name = without_workload("sqlite{path=a+b}+capacity=5+none")
    assert parse_store_name(name) == ("sqlite", "", {"path": "a+b"})


def test_an_editor_takes_them_and_underlines_others():
    validator = jsonschema.Draft202012Validator(schema(CATALOGUE))
    validator.validate(parse(DESIGNS, "given.yaml").content)
    wrong = parse(DESIGNS.replace("protection: saga", "protectio: saga"), "given.yaml").content
    assert not validator.is_valid(wrong)

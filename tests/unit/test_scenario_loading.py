"""Scenario files that are right: defaults, short and long forms, points, order, seeds, hash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.scenario import load
from harness.scenario.model import ClosedLoop, OpenLoop, Spread, Verify, Zipf

from .scenarios import CATALOGUE, SHIPPED, SMALL, loaded


def keys(scenario):
    return [trial.store.key for trial in scenario.trials]


def test_a_small_file_has_sensible_defaults(tmp_path: Path):
    trial = loaded(tmp_path, SMALL).trials[0]
    assert trial.load == ClosedLoop(workers=8)
    assert (trial.duration_s, trial.operations, trial.warm_up_s) == (5.0, None, 1.0)
    assert trial.events.size_bytes == 256
    assert trial.streams.choice == "uniform"
    assert (trial.verify, trial.conformance) == (Verify(streams_max=1000), False)


def test_short_and_long_forms_say_the_same(tmp_path: Path):
    long = """\
name: small
stores: [{store: memory}, {store: sqlite, options: {synchronous: full}}, "null"]
workload: {name: append, batch_size: 1}
load: {closed: {workers: 8}}
streams: {choice: uniform}
verify: true
"""
    assert loaded(tmp_path, long).trials == loaded(tmp_path, SMALL).trials
    assert loaded(tmp_path, long).hash == loaded(tmp_path, SMALL).hash


def test_distributions_loads_and_choices_are_taken_over(tmp_path: Path):
    trial = loaded(
        tmp_path,
        SMALL
        + """\
load: {open: {rate_per_s: 100, arrivals: uniform, in_flight_max: 5, deadline_s: 0.5}}
events: {size_bytes: {median: 300, sigma: 1.5, min: 64, max: 4096}, content: random}
streams: {count: 7, category: cart, choice: {zipf: 1.2}, prefill: 3, cache: cold}
verify: {streams_max: 9}
operations: 500
""",
    ).trials[0]
    assert trial.load == OpenLoop(
        rate_per_s=100, arrivals="uniform", in_flight_max=5, deadline_s=0.5
    )
    assert trial.events.size_bytes == Spread(median=300, sigma=1.5, min=64, max=4096)
    assert trial.streams.choice == Zipf(zipf=1.2)
    assert trial.verify == Verify(streams_max=9)
    assert (trial.duration_s, trial.operations) == (None, 500)


def test_verify_turns_reading_back_off_and_the_checks_on(tmp_path: Path):
    def verified(setting):
        trial = loaded(tmp_path, SMALL, settings=(f"verify={setting}",)).trials[0]
        return trial.verify, trial.conformance

    assert verified("false") == (None, False)
    assert verified("conformance") == (Verify(), True)


def test_stores_take_turns_and_see_the_same_seed(tmp_path: Path):
    scenario = loaded(tmp_path, SMALL + "repetitions: 3\n")
    abc = ["memory", "sqlite", "null"]
    assert keys(scenario) == [*abc, *abc[::-1], *abc]
    assert [trial.number for trial in scenario.trials] == list(range(1, 10))
    assert len({trial.seed for trial in scenario.trials[:3]}) == 1
    assert len({trial.seed for trial in scenario.trials}) == 3


def test_vary_spans_a_product_whose_last_name_changes_fastest(tmp_path: Path):
    vary = "vary: {load.closed.workers: [1, 2], streams.choice.zipf: [0.5, 1.5]}\n"
    scenario = loaded(tmp_path, SMALL + "streams: {choice: {zipf: 1.0}}\n" + vary)
    assert len({trial.seed for trial in scenario.trials}) == 4
    varied = [(trial.load.workers, trial.streams.choice.zipf) for trial in scenario.trials[::3]]
    assert varied == [(1, 0.5), (1, 1.5), (2, 0.5), (2, 1.5)]
    assert scenario.trials[3].point == {"load.closed.workers": 1, "streams.choice.zipf": 1.5}


def test_workload_parameters_vary_also_where_the_workload_is_named_short(tmp_path: Path):
    scenario = loaded(tmp_path, SMALL + "vary: {workload.batch_size: [1, 10]}\n")
    assert [trial.parameters.batch_size for trial in scenario.trials[::3]] == [1, 10]


def test_store_options_become_part_of_the_key_only_where_they_differ(tmp_path: Path):
    stores = (
        'stores: ["sqlite{synchronous=full}", "sqlite{synchronous=off,busy_timeout_s=1}",'
        " {store: sqlite, options: {synchronous: normal}}]\n"
    )
    scenario = loaded(tmp_path, "name: x\nworkload: append\n" + stores)
    assert keys(scenario) == [
        "sqlite",
        "sqlite{busy_timeout_s=1.0,synchronous=off}",
        "sqlite{synchronous=normal}",
    ]
    assert scenario.trials[1].store.options.busy_timeout_s == 1.0


def test_yaml_1_2_words_stay_words(tmp_path: Path):
    stores = "stores: [{store: postgres, options: {synchronous_commit: off}}]\n"
    scenario = loaded(tmp_path, "name: x\nworkload: append\n" + stores)
    assert keys(scenario) == ["postgres{synchronous_commit=off}"]


def test_server_settings_reach_the_trials_of_their_technology_as_text(tmp_path: Path):
    text = "stores: [memory, postgres]\nservers: {postgres: {fsync: true, work_mem: 64}}\n"
    memory, postgres = loaded(tmp_path, "name: x\nworkload: append\n" + text).trials
    assert dict(memory.server_settings) == {}
    assert dict(postgres.server_settings) == {"fsync": "true", "work_mem": "64"}


def test_flags_override_the_file(tmp_path: Path):
    text = SMALL + "duration_s: 9\nvary: {load.closed.workers: [1, 2, 3]}\n"
    settings = ("load.closed.workers=5", "operations=100", "streams.choice={zipf: 2}")
    scenario = loaded(tmp_path, text, stores="null,sqlite", settings=settings, repeat=2)
    assert keys(scenario) == ["null", "sqlite", "sqlite", "null"]
    trial = scenario.trials[0]
    assert (trial.load, trial.operations, trial.duration_s) == (ClosedLoop(workers=5), 100, None)
    assert trial.streams.choice == Zipf(zipf=2.0)


def test_one_kind_of_load_replaces_the_other(tmp_path: Path):
    text = SMALL + "load: {closed: {workers: 3}}\n"
    trial = loaded(tmp_path, text, settings=("load.open.rate_per_s=50",)).trials[0]
    assert isinstance(trial.load, OpenLoop)


ENDED = {
    "the name itself": ("load.closed.workers: [1, 2]", "load.closed.workers=5"),
    "what is in it": ("load.closed.workers: [1, 2]", "load={closed: {workers: 5}}"),
    "what is around it": ("streams.choice: [uniform, latest]", "streams.choice.zipf=2"),
    "the other kind of load": ("load.closed.workers: [1, 2]", "load.open.rate_per_s=5"),
    "the other length": ("duration_s: [1, 2]", "operations=5"),
}


@pytest.mark.parametrize(("vary", "setting"), ENDED.values(), ids=list(ENDED))
def test_a_setting_ends_the_variation_of(tmp_path: Path, vary: str, setting: str):
    text = SMALL + f"vary: {{{vary}, events.content: [json, random]}}\n"
    scenario = loaded(tmp_path, text, settings=(setting,), stores="memory")
    told = [dict(trial.point) for trial in scenario.trials]
    assert told == [{"events.content": "json"}, {"events.content": "random"}]
    assert scenario.hash != loaded(tmp_path, text).hash


def test_a_store_gets_the_settings_of_the_server_that_it_needs(tmp_path: Path):
    kind = replace(CATALOGUE.stores["memory"], name="other", server="postgres")
    catalogue = replace(CATALOGUE, stores={**CATALOGUE.stores, "other": kind})
    file = tmp_path / "given.yaml"
    file.write_text(
        "name: x\nstores: [other]\nworkload: append\nservers: {postgres: {work_mem: 1}}\n"
    )
    assert dict(load(file, catalogue).trials[0].server_settings) == {"work_mem": "1"}


SAME = {
    "comments and order": "# why\nworkload: append\nname: small\nstores: [memory, sqlite, null]\n",
    "a description": SMALL + "description: something\n",
    "other stores": "name: small\nstores: [memory]\nworkload: append\n",
    "more repetitions": SMALL + "repetitions: 7\n",
    "a default spelt out": SMALL + "seed: 1\n",
    "checks behind the trials": SMALL + "verify: conformance\n",
}
OTHER = {
    "another seed": SMALL + "seed: 2\n",
    "another load": SMALL + "load: {closed: {workers: 9}}\n",
    "another point": SMALL + "vary: {load.closed.workers: [8, 9]}\n",
    "another parameter": "name: small\nstores: [memory]\nworkload: {name: append, batch_size: 2}\n",
}


@pytest.mark.parametrize("text", SAME.values(), ids=list(SAME))
def test_the_hash_is_of_what_is_offered(tmp_path: Path, text: str):
    assert loaded(tmp_path, text).hash == loaded(tmp_path, SMALL).hash


@pytest.mark.parametrize("text", OTHER.values(), ids=list(OTHER))
def test_the_hash_changes_with_what_is_offered(tmp_path: Path, text: str):
    assert loaded(tmp_path, text).hash != loaded(tmp_path, SMALL).hash


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_scenario_loads_and_is_named_like_its_file(path: Path):
    scenario = load(path, CATALOGUE)
    assert scenario.name == path.stem
    assert scenario.description.endswith("?")
    assert path.read_text().startswith("# yaml-language-server: $schema=schema.json\n")


def test_the_docs_list_every_shipped_scenario_with_its_question():
    page = (SHIPPED[0].parents[1] / "docs" / "scenarios.md").read_text()
    for path in SHIPPED:
        assert f"| `{path.stem}` | {load(path, CATALOGUE).description} |" in page


def test_a_shipped_scenario_says_what_it_requires_and_offers_enough_to_judge_it():
    scenario = load(next(path for path in SHIPPED if path.stem == "adopt"), CATALOGUE)
    require = scenario.require
    assert {"durability", "occ", "global_order", "at_rate_per_s", "p99_ms"} <= set(require)
    for trial in scenario.trials:
        assert trial.load.rate_per_s >= require["at_rate_per_s"]
        assert trial.load.rate_per_s * trial.duration_s >= 10_000, "or there is no p99"


def test_quick_holds_a_default_a_technology_and_the_template():
    scenario = load(next(path for path in SHIPPED if path.stem == "quick"), CATALOGUE)
    technologies = CATALOGUE.stores.keys() - {"null"}
    assert {trial.store.key for trial in scenario.trials} == technologies | {"postgres:template"}
    assert {trial.repetition for trial in scenario.trials} == {1, 2, 3}
    assert all(2 <= trial.duration_s <= 3 for trial in scenario.trials)


def test_a_ramp_is_a_trial_a_step(tmp_path):
    text = SMALL + "load: {open: {ramp: {from: 100, to: 1000, steps: 4}}}\n"
    found = loaded(tmp_path, text, stores="memory")
    assert [trial.load.rate_per_s for trial in found.trials] == [100, 400, 700, 1000]
    assert found.trials[1].point == {"load.open.rate_per_s": 400.0}


def test_a_fraction_of_capacity_and_a_search_say_so_and_have_no_rate_yet(tmp_path):
    def load(written):
        return (
            loaded(tmp_path, SMALL + f"load: {{open: {written}}}\n", stores="memory").trials[0].load
        )

    fraction = load("{of_capacity: 0.7}")
    assert (fraction.rate_per_s, fraction.of_capacity) == (None, 0.7)
    assert "70 % of capacity" in str(fraction)
    sought = load("{search: {slo: {p99_ms: 50, errors: 0.1%}, probe_s: 2}}")
    assert sought.search.slo.errors == 0.001
    assert "highest rate with p99 ≤ 50 ms and errors ≤ 0.1 %" in str(sought)

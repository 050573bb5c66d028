"""What is refused, what is said beside the verdicts, and bad input in one line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness import results
from harness.analysis import trends
from harness.analysis.comparison import SHARES, Side, fingerprint, refuse, warnings
from harness.cli import shared
from harness.cli.compare import compare, subjects_of, subjects_of_pairs
from harness.domain.errors import BadInput, LabError, MissingExtra, Refused
from harness.domain.flags import Flag, FlagCode, dumped, sentence
from tests.made_run import MEMORY, POSTGRES, SQLITE, Made, made_run

SMALL = Made((SQLITE, POSTGRES), repetitions=2, operations=500, keep_samples=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("results"), SMALL)


def another(tmp_path, **manifest):
    return made_run(tmp_path, replace(SMALL, manifest=manifest))


def rewritten(folder, **columns):
    """The folder with columns of its trials set by hand."""
    path = folder / "trials.parquet"
    table = pq.read_table(path)
    for name, value in columns.items():
        place = table.schema.get_field_index(name)
        values = value(table[name].to_pylist())
        table = table.set_column(place, table.schema.field(name), [values])
    pq.write_table(table, path)
    return folder


def side_of(folder, key="postgres"):
    found = results.load(folder)
    return Side(key, found.manifest, found.trials[found.trials["key"] == key])


def refusal(base, candidate="", *, mixed=False):
    with pytest.raises(LabError) as error:
        compare(str(base), str(candidate), margin=[], allow_mixed_durability=mixed, json=False)
    assert "\n" not in str(error.value)
    return error.value


def test_two_stores_of_one_run_are_compared_and_all_is_told(run, capsys):
    compare(f"{run}:sqlite", f"{run}:postgres", margin=[], allow_mixed_durability=False, json=True)
    told = json.loads(capsys.readouterr().out)
    assert {row["subject"] for row in told["rows"]} == {"sqlite → postgres"}
    metrics = {row["metric"] for row in told["rows"]}
    assert metrics == {"throughput", "p50", *(each.name for each in SHARES)}
    assert any(line.startswith("fewer than 5 pairs of a point") for line in told["warnings"])
    assert not any("take turns" in line for line in told["warnings"])


def test_two_runs_are_compared_store_by_store_and_said_not_to_have_taken_turns(run, tmp_path):
    found, left_out = subjects_of(str(run), str(another(tmp_path)))
    assert [each.name for each in found] == ["sqlite", "postgres"]
    assert not left_out
    assert any("take turns" in line for line in said(found[0]))


def test_a_store_whose_data_lay_on_another_disk_is_named(tmp_path):
    disk = {"file_system": "ext4", "device": "/dev/vda", "below": []}
    other = {"file_system": "ext4", "device": "/dev/loop0", "below": ["tmpfs"]}
    runs = [
        another(tmp_path / name, places={"postgres": place, "sqlite": disk, "kafka": place})
        for name, place in (("one", disk), ("two", other))
    ]
    found, _ = subjects_of(*map(str, runs))
    lines = {each.name: [line for line in said(each) if "disks" in line] for each in found}
    moved = (
        "postgres: data on different disks: base ext4 (/dev/vda),"
        " candidate ext4 (/dev/loop0) over tmpfs"
    )
    assert lines == {"sqlite": [], "postgres": [moved]}


def test_sides_that_ran_on_other_cores_or_in_other_processes_are_named(tmp_path):
    """The older run's manifest alone says where it ran, and a library has no server to place."""
    cells = {"generator_cores": "1", "server_cores": "0", "provider": "native", "processes": 2}
    shared = replace(POSTGRES, row={"provider": "native", "processes": 1})
    apart = replace(POSTGRES, row=cells)
    runs = [
        made_run(tmp_path / name, replace(SMALL, stores=(SQLITE, postgres)))
        for name, postgres in (("older", shared), ("newer", apart))
    ]
    found, _ = subjects_of(*map(str, runs))
    lines = {each.name: [line for line in said(each) if "different" in line] for each in found}
    assert lines == {
        "sqlite": [],
        "postgres": [
            "different placement: base generator and server share cores 0-1,"
            " candidate generator on core 1, server on core 0",
            "different numbers of worker processes: base 1, candidate 2",
        ],
    }
    rows = [trends.rows(each.manifest, each.trials) for each in map(results.load, runs)]
    series = [dict(zip(each["key"], each["environment"], strict=True)) for each in rows]
    assert series[0]["sqlite"] == series[1]["sqlite"] == series[0]["postgres"]
    apart_text = "; generator on core 1, server on core 0"
    assert series[1]["postgres"] == series[0]["postgres"] + apart_text


def said(subject):
    return warnings(subject.base, subject.candidate, interleaved=subject.interleaved)


def test_a_store_that_only_one_run_has_is_named(run, tmp_path):
    other = made_run(tmp_path, replace(SMALL, stores=(SQLITE, MEMORY)))
    found, left_out = subjects_of(str(run), str(other))
    assert [each.name for each in found] == ["sqlite"]
    assert left_out == [f"{key}: only one of the runs has it" for key in ("memory", "postgres")]


def test_a_store_named_on_one_side_is_meant_on_both(run, tmp_path):
    ((found,), _) = subjects_of(f"{run}:postgres", str(another(tmp_path)))
    assert found.name == "postgres"
    assert set(found.candidate.trials["key"]) == {"postgres"}


def test_other_scenarios_are_refused_with_both_hashes(run, tmp_path):
    scenario = {"name": "made-up", "hash": "1" * 64}
    other = another(tmp_path, scenario=scenario)
    rewritten(other, scenario_hash=lambda old: ["1" * 64 for _ in old])
    error = refusal(run, other)
    assert error.exit_code == 3
    assert "000000000000" in str(error)
    assert "111111111111" in str(error)


def test_other_durability_is_refused_unless_asked_for_and_then_labelled(tmp_path):
    run = made_run(tmp_path, replace(SMALL, stores=(MEMORY, POSTGRES)))
    error = refusal(f"{run}:memory", f"{run}:postgres")
    assert error.exit_code == 3
    assert "--allow-mixed-durability" in str(error)
    ((found,), _) = subjects_of(f"{run}:memory", f"{run}:postgres")
    refuse(found.base, found.candidate, allow_mixed_durability=True)
    assert said(found)[0].startswith("MIXED DURABILITY")


def test_an_invalid_trial_is_refused_and_says_what_was_found(run, tmp_path):
    row = {"valid": False, "first_violation": "acknowledged append is missing: stream 'x'"}
    wrong = made_run(tmp_path, replace(SMALL, stores=(SQLITE, replace(POSTGRES, row=row))))
    error = refusal(f"{run}:postgres", f"{wrong}:postgres")
    assert error.exit_code == 3
    assert "2 of 2 trials are not valid" in str(error)
    assert "acknowledged append is missing" in str(error)


def test_a_trial_of_which_nothing_ended_well_is_refused(run, tmp_path):
    silent = replace(POSTGRES, row={"ok": 0, "throughput_per_s": 0.0, "refused": 500})
    wrong = made_run(tmp_path, replace(SMALL, stores=(SQLITE, silent)))
    assert "nothing ended well" in str(refusal(f"{run}:postgres", f"{wrong}:postgres"))


@pytest.mark.parametrize(
    "flag",
    [Flag(FlagCode.GENERATOR_BOUND), Flag(FlagCode.OPERATIONS_FAILED, {"share": 0.004})],
    ids=lambda flag: flag.code,
)
def test_flags_of_trials_stand_beside_the_verdicts(tmp_path, flag):
    flagged = replace(POSTGRES, row={"flags": dumped([flag])})
    run = made_run(tmp_path, replace(SMALL, stores=(SQLITE, flagged)))
    ((found,), _) = subjects_of(f"{run}:sqlite", f"{run}:postgres")
    assert f"candidate: {sentence([flag])}" in said(found)


def test_flags_of_the_run_are_told_once_for_both_stores_of_it(tmp_path):
    run = another(tmp_path, flags=[{"code": "swapping"}])
    ((found,), _) = subjects_of(f"{run}:sqlite", f"{run}:postgres")
    assert said(found).count("the machine was swapping") == 1


def test_other_machines_are_told_and_the_same_one_is_not(run, tmp_path):
    other = another(tmp_path, environment={"cpu": {"model": "Other"}})
    ((found,), _) = subjects_of(f"{run}:postgres", f"{other}:postgres")
    assert any("different machines" in line for line in said(found))
    same = side_of(run)
    assert any("take turns" in line for line in warnings(same, same, interleaved=False))
    assert not any("different machines" in line for line in warnings(same, same, interleaved=False))


def test_a_fingerprint_ignores_what_changes_by_the_minute():
    facts = {"cpu": {"model": "x"}, "load_average": [1.0]}
    assert fingerprint(facts) == fingerprint(facts | {"load_average": [9.0]})
    assert fingerprint(facts) != fingerprint(facts | {"kernel": "7"})


def cut_off_manifest(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:100])


def cut_off_trials(folder):
    path = folder / "trials.parquet"
    path.write_bytes(path.read_bytes()[:200])


def no_trials(folder):
    (folder / "trials.parquet").unlink()


def newer(folder):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))


def faster_by_hand(folder):
    rewritten(folder, throughput_per_s=lambda old: [2 * each for each in old])


def of_another_run(folder):
    rewritten(folder, run=lambda old: ["20260101-000000-other-0000" for _ in old])


def without_a_scenario(folder):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"scenario": None}))


def not_a_run(folder):
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("hurt", "told"),
    [
        (cut_off_manifest, "cut off or not JSON"),
        (cut_off_trials, "cut off or not Parquet"),
        (no_trials, "no trials to compare"),
        (newer, "written in format version 99"),
        (faster_by_hand, "throughput is not ok ÷ measured_s"),
        (of_another_run, "trials and manifest are not of one run"),
        (without_a_scenario, "scenario is not an object"),
        (not_a_run, "not a run folder"),
    ],
)
def test_what_is_no_result_is_one_line_and_exit_code_2(run, tmp_path, hurt, told):
    folder = another(tmp_path)
    hurt(folder)
    for base, candidate in ((folder, run), (run, folder)):
        error = refusal(base, candidate)
        assert isinstance(error, BadInput)
        assert error.exit_code == 2
        assert told in str(error)


@pytest.mark.parametrize(
    ("base", "candidate", "told"),
    [
        ("{run}", "{run}", "are the same run; name two stores"),
        ("{run}:sqlite", "{run}:sqlite", "are the same trials"),
        ("{run}:kafka", "{run}:sqlite", "no store kafka; the run has sqlite, postgres"),
        ("{run}:", "{run}", "is not a store name"),
        ("{run}", "", "not a run of pairs"),
        ("nowhere", "{run}", "not a run folder"),
        ("nowhere:postgres", "{run}", "not a run folder"),
    ],
)
def test_sides_that_name_nothing_are_one_line(run, base, candidate, told):
    error = refusal(base.format(run=run), candidate.format(run=run))
    assert error.exit_code == 2
    assert told in str(error)


def test_a_copy_of_a_run_in_another_folder_is_that_run(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    assert "are the same run; name two stores" in str(refusal(run, copy))
    assert "are the same trials" in str(refusal(f"{run}:sqlite", f"{copy}:sqlite"))
    ((found,), _) = subjects_of(f"{run}:sqlite", f"{copy}:postgres")
    assert found.interleaved


def test_a_run_of_pairs_has_both_sides_inside(run, tmp_path):
    folder = rewritten(another(tmp_path), side=lambda old: ["base", "candidate"] * 2)
    (found,) = subjects_of_pairs(folder)
    assert found.name == "sqlite → postgres"
    assert found.interleaved


def test_stores_of_a_run_of_pairs_are_paired_with_themselves_in_whatever_order(tmp_path):
    folder = rewritten(another(tmp_path), side=lambda old: ["base", "candidate", "", ""])
    path = folder / "trials.parquet"
    once = pq.read_table(path).slice(0, 2)
    turned = once
    for name, values in (
        ("side", ["candidate", "base"]),
        ("trial_id", ["003-sqlite", "004-postgres"]),
    ):
        place = once.schema.get_field_index(name)
        turned = turned.set_column(place, once.schema.field(name), [values])
    pq.write_table(pa.concat_tables([once, turned]), path)
    assert [each.name for each in subjects_of_pairs(folder)] == ["sqlite", "postgres"]


def test_without_scipy_one_line_names_the_extra(monkeypatch):
    monkeypatch.setattr(shared, "find_spec", lambda name: None if name == "scipy" else name)
    with pytest.raises(MissingExtra, match=r"comparing needs scipy; pip install 'eventstore-lab"):
        shared.require_statistics()


def test_refused_and_bad_input_are_told_apart(run):
    assert Refused("").exit_code == 3
    assert BadInput("").exit_code == 2

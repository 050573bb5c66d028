"""`compare`, `ab`, `gate`, `aa`, `history` on real stores."""

from __future__ import annotations

import json
import os
import shutil
from functools import cache
from pathlib import Path

import pytest

from harness import results
from tests.adapter_repository import git

from .command import ROOT, SMALL_EVENTS, eslab, the_run

pytestmark = pytest.mark.starts_first
QUICK = "scenarios/quick.yaml"
LIGHT = ["--set", "warm_up_s=0", "--set", "streams.count=20", *SMALL_EVENTS]
SHORT = ["--set", "operations=400", *LIGHT]
SMALL = ["--set", "operations=300", "--set", "load.closed.workers=1", *LIGHT]
ADAPTER = Path(__file__).parent / "adapter" / "indexed_store.py"


def verdicts(told):
    """By metric, from JSON output; one store and point."""
    return {row["metric"]: row for row in json.loads(told.stdout)["rows"]}


def one_line(told, code):
    assert told.returncode == code, told.stdout + told.stderr
    assert told.stderr.count("\n") == 1, told.stderr
    assert told.stdout == ""
    return told.stderr


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A repository of the lab with a commit that has one index more, on a branch of its own."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "harness", folder / "harness", ignore=shutil.ignore_patterns("__pyc*"))
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "as it is")
    git(folder, "checkout", "--quiet", "-b", "indexed")
    sql = folder / "harness" / "stores" / "postgres" / "sql" / "events.sql"
    sql.write_text(
        sql.read_text() + "\nCREATE INDEX events_unnoticed ON events (type, recorded_at);\n"
    )
    git(folder, "commit", "--quiet", "-am", "one index more")
    return folder


@pytest.fixture(scope="module")
def third_party(tmp_path_factory):
    """An environment in which another package offers the store `indexed`."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ADAPTER, folder)
    about = folder / "indexed_store-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: indexed-store\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[eslab.stores]\nindexed = indexed_store:STORE\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


@pytest.fixture(scope="module")
def improved(tmp_path_factory):
    """The tutorials' design against the good one, in two pairs."""
    out = tmp_path_factory.mktemp("improved")
    told = eslab(
        "ab", QUICK, "--base", "postgres:template", "--candidate", "postgres", "--pairs", 2,
        *SHORT, "--out", out, "--json", timeout_s=300,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return told, out


def test_a_better_design_is_improved_in_what_is_counted(improved):
    """Times have their interval alone: what it says depends on how busy the machine is."""
    rows = verdicts(improved[0])
    assert rows["trips"]["verdict"] == "improved"
    time = rows["throughput"]
    assert time["ratio_low"] <= time["ratio"] <= time["ratio_high"]


def test_pairs_are_interleaved_in_one_run_and_can_be_compared_again(improved):
    _, out = improved
    sides = list(results.load(the_run(out)).trials["side"])
    assert sides == ["base", "candidate", "candidate", "base"]
    again = eslab("compare", the_run(out), "--json")
    assert verdicts(again) == verdicts(improved[0])


def test_the_same_store_twice_is_equivalent_in_what_is_counted(tmp_path):
    told = eslab(
        "ab", QUICK, "--base", "postgres", "--candidate", "postgres", "--pairs", 2, *LIGHT,
        "--set", "operations=1500", "--out", tmp_path, "--json",
    )  # fmt: skip
    found = verdicts(told)
    assert found["wal"]["verdict"] == "equivalent"
    assert {"trips", "throughput"} <= found.keys()  # two pairs of these may say anything
    assert "starting postgres" in told.stderr


def test_an_adapter_with_an_index_more_regresses_on_log_bytes(tmp_path, third_party):
    told = eslab(
        "ab", QUICK, "--base", "postgres", "--candidate", "indexed", "--pairs", 2, *SHORT,
        "--out", tmp_path, "--json", env=third_party,
    )  # fmt: skip
    wal = verdicts(told)["wal"]
    assert wal["verdict"] == "regressed"
    assert wal["ratio_low"] > 1.05
    assert wal["pairs"] == 2


def test_a_gate_finds_the_commit_that_added_the_index(lab, tmp_path):
    """One that passes a commit against itself is in `test_ci`, where the action asks for it."""
    told = eslab(
        "gate", ROOT / QUICK, "--stores", "postgres", "--project", lab, "--pairs", 2, *SHORT,
        "--base-ref", "main", "--candidate-ref", "indexed", "--out", tmp_path / "out",
        timeout_s=200,
    )  # fmt: skip
    assert told.returncode == 1, told.stdout + told.stderr
    assert "gate: failed: postgres, closed, 8 workers: log bytes/event +" in told.stdout
    manifest = results.load(the_run(tmp_path / "out")).manifest
    assert manifest["checkouts"]["base"]["commit"] == git(lab, "rev-parse", "main")
    assert manifest["checkouts"]["candidate"]["commit"] == git(lab, "rev-parse", "indexed")


def test_a_commit_that_cannot_run_is_one_line_and_leaves_no_run(lab, tmp_path):
    git(lab, "checkout", "--quiet", "-b", "broken", "main")
    (lab / "harness" / "cli" / "app.py").write_text("raise SystemExit('broken on purpose')\n")
    git(lab, "commit", "--quiet", "-am", "broken")
    git(lab, "checkout", "--quiet", "main")
    told = eslab(
        "ab", ROOT / QUICK, "--stores", "memory", "--project", lab, "--base-ref", "broken",
        "--pairs", 2, *SMALL, "--out", tmp_path / "out",
    )  # fmt: skip
    assert told.returncode == 1
    assert told.stderr == "eslab: broken: broken on purpose\n"
    assert not list((tmp_path / "out").iterdir())


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """`stored(stores)`: the gate of a scenario that asks for `sqlite` and `memory` against its run.

    The run is made once, of these stores alone.
    """
    folder = tmp_path_factory.mktemp("stored")
    scenario = folder / "two.yaml"
    scenario.write_text(
        "name: two\nstores: [sqlite, memory]\nworkload: append\nwarm_up_s: 0\noperations: 400\n"
        "events: {size_bytes: 4000, content: random}\nstreams: {count: 20}\nrepetitions: 2\n"
    )

    @cache
    def gate(stores):
        out = folder / f"{stores.count(',') + 1} stores"
        made = eslab("run", scenario, "--stores", stores, "--out", out)
        assert made.returncode == 0, made.stderr
        return "gate", scenario, "--baseline", the_run(out)

    return gate


def test_a_stored_baseline_gates_counts_alone(stored, tmp_path):
    gated = [*stored("sqlite,memory"), "--out", tmp_path]
    told = eslab(*gated, "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    found = json.loads(told.stdout)
    rows = found["rows"]
    assert "noise floor is not known: `eslab aa" in found["warnings"][-1]
    assert {row["kind"] for row in rows} == {"counted", "share"}
    assert {(row["subject"], row["base"] > 0) for row in rows if row["kind"] == "counted"} == {
        ("sqlite", True)
    }
    assert "its scenario is not" in one_line(eslab(*gated, "--set", "operations=300"), 3)
    assert "--base-ref" in one_line(eslab(*gated, "--margin", "p50=5%"), 2)


def test_a_gate_holds_the_stores_that_were_asked_for_against_a_baseline_of_more(stored, tmp_path):
    told = eslab(*stored("sqlite,memory"), "--out", tmp_path, "--stores", "sqlite", "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    assert {row["subject"] for row in json.loads(told.stdout)["rows"]} == {"sqlite"}
    assert "memory" not in told.stdout


def test_a_store_named_that_the_baseline_lacks_is_refused_before_it_runs(stored, tmp_path):
    told = eslab(*stored("sqlite"), "--stores", "sqlite,memory", "--out", tmp_path / "out")
    assert "lacks memory, so nothing could be gated there" in one_line(told, 3)
    assert not (tmp_path / "out").exists()


def test_a_store_of_the_scenario_that_the_baseline_lacks_leaves_a_gate_undecided(stored, tmp_path):
    told = eslab(*stored("sqlite"), "--out", tmp_path, "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    found = json.loads(told.stdout)
    assert found["verdict"] == "undecided"
    for where in ("undecided", "warnings"):
        assert "memory: the baseline lacks it" in found[where]


def test_identical_code_gives_the_noise_floor_and_a_gate_keeps_above_it(tmp_path):
    told = eslab(
        "aa", QUICK, "--stores", "memory", "--pairs", 3, *SMALL, "--out", tmp_path, "--json"
    )
    assert told.returncode == 0, told.stderr
    memory = json.loads(told.stdout)["stores"]["memory"]
    assert memory["metrics"]["throughput"]["spread"] > 0
    assert memory["gates"] == 1000
    common = [
        QUICK,
        "--stores",
        "memory",
        *SMALL,
        "--out",
        tmp_path,
        "--margin",
        "throughput=0.01%",
    ]
    refused = eslab("gate", *common, "--base-ref", "HEAD", "--pairs", 2)
    assert "is below what identical code does here" in one_line(refused, 3)
    forced = eslab("gate", *common, "--base-ref", "HEAD", "--pairs", 2, "--force", "--dry-run")
    assert "! 2 pairs cannot show a change of time" in forced.stdout
    assert forced.returncode == 0, forced.stderr
    planned = eslab(
        "ab", QUICK, "--base", "memory", "--candidate", "memory", "--pairs", 3, *SMALL,
        "--out", tmp_path, "--margin", "throughput=0.01%", "--until-decided", 5, "--dry-run",
    )  # fmt: skip
    assert planned.stdout.startswith("quick: 10 trials")


def test_a_fraction_of_capacity_is_resolved_once_from_the_base(half, tmp_path):
    told = eslab(
        "ab", half, "--base", "sqlite", "--candidate", "sqlite{synchronous=normal}",
        "--allow-mixed-durability", "--pairs", 2, "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    run = results.load(the_run(tmp_path / "out"))
    assert run.trials["rate_per_s"].nunique() == 1
    assert set(run.probes["key"]) == {"sqlite"}
    assert json.loads(told.stdout)["warnings"][0].startswith("MIXED DURABILITY")
    assert "throughput" not in verdicts(told)


@pytest.fixture
def half(tmp_path):
    """A scenario that offers a fraction of what the store can do."""
    scenario = tmp_path / "half.yaml"
    scenario.write_text(
        "name: half\nstores: [sqlite]\nworkload: append\nwarm_up_s: 0.1\nduration_s: 0.2\n"
        "load: {open: {of_capacity: 0.3}}\nrepetitions: 1\n"
        "events: {size_bytes: 64}\nstreams: {count: 20}\n"
    )
    return scenario


def test_a_stored_run_says_what_its_successor_is_offered(half, tmp_path):
    eslab("run", half, "--out", tmp_path / "stored")
    stored = the_run(tmp_path / "stored")
    told = eslab("gate", half, "--baseline", stored, "--out", tmp_path / "out", timeout_s=200)
    assert told.returncode == 0, told.stdout + told.stderr
    rates = [set(results.load(each).trials["rate_per_s"])
             for each in (stored, the_run(tmp_path / "out"))]  # fmt: skip
    assert rates[0] == rates[1]


def test_a_dry_run_shows_the_pairs_and_starts_nothing(tmp_path):
    told = eslab(
        "ab", QUICK, "--base", "postgres:row", "--candidate", "postgres", "--pairs", 2,
        "--out", tmp_path / "out", "--dry-run", "--json",
    )  # fmt: skip
    trials = json.loads(told.stdout)["trials"]
    assert [(trial["key"], trial["side"]) for trial in trials] == [
        ("postgres:row", "base"), ("postgres", "candidate"),
        ("postgres", "candidate"), ("postgres:row", "base"),
    ]  # fmt: skip
    assert not (tmp_path / "out").exists()


AB = ["ab", QUICK, "--base", "memory", "--candidate", "memory"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ([*AB, "--pairs", "0"], 2, "--pairs 0: expected 2 to 1,000"),
        ([*AB, "--margin", "speed=5%"], 2, "unknown metric 'speed'"),
        ([*AB[:-1], "sqlit"], 2, "--candidate: "),
        ([*AB[:-1], "memory,sqlite"], 2, "--candidate: expected one store"),
        ([*AB[:-1], "sqlite"], 3, "not the same durability class"),
        ([*AB, "--base-ref", "HEAD"], 2, "not both"),
        ([*AB, "--until-decided", "20"], 2, "run `eslab aa` first"),
        (["ab", QUICK], 2, "expected --base STORE and --candidate STORE"),
        (["ab", "nowhere.yaml", *AB[2:]], 2, "nowhere.yaml"),
        (["ab", QUICK, "--base-ref", "nosuchref"], 2, "--base-ref nosuchref: no such commit"),
        (["ab", QUICK, "--base-ref=--all"], 2, "--base-ref --all: no such commit"),
        (["ab", QUICK, "--candidate-ref", "HEAD"], 2, "expected a --base-ref beside it"),
        (["ab", QUICK, "--base-ref", "HEAD", "--project", "/"], 2, "not a git repository"),
        (["gate", QUICK], 2, "expected --baseline RUN or --base-ref REF"),
        (["gate", QUICK, "--baseline", "nowhere"], 2, "not a run folder"),
        (["compare", "nowhere", "nowhere"], 2, "not a run folder"),
        (["history", "add", "nowhere"], 2, "not a run folder"),
        (["history", "show", "--file", "nowhere.csv"], 2, "no history yet"),
        (["history", "changes", "--file", "nowhere.csv", "--least", "0"], 2, "--least 0"),
    ],
)
def test_bad_input_is_one_line(tmp_path, arguments, code, told):
    out = [] if arguments[0] in {"compare", "history"} else ["--out", tmp_path / "out"]
    assert told in one_line(eslab(*arguments, *out), code)
    assert not (tmp_path / "out").exists()


def test_a_history_is_added_to_and_shown(improved, tmp_path):
    file = tmp_path / "history.csv"
    added = eslab("history", "add", the_run(improved[1]), "--file", file)
    assert added.stdout == f"{file}: 1 row added\n"
    assert "is in it already" in one_line(
        eslab("history", "add", the_run(improved[1]), "--file", file), 2
    )
    (row,) = json.loads(eslab("history", "show", "--file", file, "--json").stdout)
    assert row["key"] == "postgres"
    assert row["wal"] > 100

"""The command line as a user meets it: lists, checks, dry runs, and one line for bad input."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .command import ESLAB, ROOT, eslab

HEAVY = (
    "asyncpg", "aiokafka", "boto3", "esdbclient", "docker", "pandas", "matplotlib", "pyarrow",
    "asyncio", "numpy", "pydantic", "rich",
)  # fmt: skip


def test_help_imports_no_driver_and_nothing_heavy():
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "harness", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in told.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & set(HEAVY)


def test_help_names_every_command():
    told = eslab("--help").stdout
    for command in ("run", "conformance", "show", "report", "list", "validate", "schema", "doctor"):
        assert command in told


@pytest.mark.parametrize("what", ["stores", "workloads", "scenarios"])
def test_lists_are_json_alone_on_request(what):
    rows = json.loads(eslab("list", what, "--json").stdout)
    assert len(rows) > 3
    assert all(rows[0].keys() == row.keys() for row in rows)


def test_the_list_of_stores_has_every_variant():
    names = {row["store"] for row in json.loads(eslab("list", "stores", "--json").stdout)}
    variants = ("row", "global-lock", "table-lock", "counter", "coalesced", "template")
    assert names >= {"null", "memory", "sqlite", "postgres"}
    assert names >= {f"postgres:{variant}" for variant in variants}


def test_listing_something_else_is_bad_input():
    told = eslab("list", "databases")
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1


def test_every_shipped_scenario_validates():
    files = sorted((ROOT / "scenarios").glob("*.yaml"))
    assert len(files) >= 7
    told = eslab("validate", *files)
    assert told.returncode == 0, told.stderr


def test_the_shipped_schema_is_current():
    assert json.loads(eslab("schema").stdout) == json.loads(
        (ROOT / "scenarios" / "schema.json").read_text()
    )


APPEND = "workload: {name: append}\n"
HEAD = "name: x\nstores: [memory]\n"
BAD = {
    "an unknown workload": (HEAD + "workload: {name: apend}\n", ":3:18:", "'append'?"),
    "an unknown store": ("name: x\nstores: [postgre]\n" + APPEND, ":2:10:", "'postgres'?"),
    "an unknown key": (HEAD + APPEND + "lod: {}\n", ":4:1:", "'load'?"),
    "a wrong type": (HEAD + APPEND + "load: {closed: {workers: many}}\n", ":4:26:", "whole number"),
    "an impossible value": (
        HEAD + APPEND + "load: {closed: {workers: 0}}\n",
        ":4:26:",
        "at least 1",
    ),
    "a duplicate key": ("name: x\nname: y\n", ":2:1:", "twice"),
    "an alias bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nname: [*b, *b]\n", ":1:4:", "anchor"),
    "an empty file": ("", ":1:1:", "empty"),
}


@pytest.mark.parametrize(("text", "place", "said"), BAD.values(), ids=list(BAD))
def test_bad_input_is_one_line_with_its_place_and_exit_code_2(tmp_path, text, place, said):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    told = eslab("validate", file)
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1
    assert f"bad.yaml{place}" in told.stderr
    assert said in told.stderr


def test_a_run_says_of_bad_input_what_a_validation_says(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(BAD["a wrong type"][0])
    told = eslab("run", file)
    assert told.returncode == 2
    assert told.stderr == eslab("validate", file).stderr


UNDERSTOOD_BY_NONE = {
    "a word for a number": (("conformance", "--seconds", "x"), "'--seconds'"),
    "a word for a whole number": (("conformance", "--seed", "x"), "'--seed'"),
    "a number that is too small": (("conformance", "--seconds", "-1"), "'--seconds'"),
    "an option that is not there": (("run", "scenarios/quick.yaml", "--nope"), "--nope"),
    "an option without its value": (("run", "--out"), "'--out'"),
    "no file": (("run",), "'FILE…'"),
    "a command that is not there": (("nosuch",), "'nosuch'"),
    "a command's command that is not there": (("history", "nosuch"), "'nosuch'"),
    "stores that are none": (("conformance", "--stores", " , "), "--stores"),
    "stores that are none, of a run": (
        ("run", "scenarios/quick.yaml", "--stores", " , ", "--dry-run"),
        "--stores",
    ),
    "stores that are none, of a plan": (
        ("conformance", "--stores", " , ", "--dry-run"),
        "--stores",
    ),
}


@pytest.mark.parametrize(("typed", "said"), UNDERSTOOD_BY_NONE.values(), ids=UNDERSTOOD_BY_NONE)
def test_what_cannot_be_understood_is_one_line_and_exit_code_2(typed, said):
    told = eslab(*typed)
    assert told.returncode == 2
    assert told.stdout == ""
    assert told.stderr.startswith("eslab: ")
    assert told.stderr.count("\n") == 1
    assert said in told.stderr


def test_a_command_alone_prints_its_help():
    for command in ((), ("history",)):
        told = eslab(*command)
        assert "Usage: eslab" in told.stdout + told.stderr
        assert "eslab: " not in told.stderr


def _under_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "out"


def _around_in_links(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "link")
    return folder / "link"


def _named_too_long(folder: Path) -> Path:
    return folder / ("x" * 300)


def _not_to_be_written(folder: Path) -> Path:
    """Where even the superuser cannot make a folder."""
    return Path("/proc/eslab") if Path("/proc/self").exists() else folder / ("x" * 300)


@pytest.mark.parametrize(
    "place", [_under_a_file, _around_in_links, _named_too_long, _not_to_be_written]
)
@pytest.mark.parametrize(
    "command",
    [("run", "scenarios/quick.yaml"), ("conformance", "--checks", "1")],
    ids=lambda c: c[0],
)
def test_where_no_run_can_go_is_one_line_and_exit_code_2(tmp_path, command, place):
    out = place(tmp_path)
    told = eslab(*command, "--stores", "memory", "--out", out)
    assert told.returncode == 2, told.stderr
    assert told.stderr.count("\n") == 1
    assert f"--out: {out}: " in told.stderr


def test_a_file_that_is_not_there_or_a_directory_or_not_text_is_one_line(tmp_path):
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"name: \xff\xfe\n")
    for path in (tmp_path / "missing.yaml", tmp_path, binary):
        told = eslab("validate", path)
        assert told.returncode == 2, told.stderr
        assert "Traceback" not in told.stderr
        assert str(path) in told.stderr


def test_a_dry_run_prints_the_trials_in_order_and_starts_nothing(tmp_path):
    told = eslab(
        "run", "scenarios/quick.yaml", "--stores", "memory,postgres", "--repeat", "2",
        "--dry-run", "--out", tmp_path / "results",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    lines = [line.split() for line in told.stdout.splitlines() if "repetition" in line]
    assert [line[1] for line in lines] == ["memory", "postgres", "postgres", "memory"]
    assert "expected to take" in told.stdout
    assert not (tmp_path / "results").exists()


def test_a_dry_run_as_json_has_every_trial():
    told = eslab(
        "run", "scenarios/append-scaling.yaml", "--stores", "memory", "--dry-run", "--json"
    )
    (planned,) = json.loads(told.stdout)
    points = {trial["point"]["load.closed.workers"] for trial in planned["trials"]}
    assert len(points) > 2
    assert planned["expected_s"] > 0


def test_an_override_that_does_not_fit_is_bad_input():
    told = eslab("run", "scenarios/quick.yaml", "--set", "load.closed.workers=none", "--dry-run")
    assert told.returncode == 2
    assert "--set" in told.stderr


def test_show_of_what_is_not_a_run_is_bad_input(tmp_path):
    told = eslab("show", tmp_path)
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1


def test_doctor_tells_each_way_how_late_each_pacer_is_and_what_the_disk_takes():
    told = json.loads(eslab("doctor", "--json").stdout)
    ways = {(row["technology"], row["way"]): row for row in told["ways"]}
    assert ways["sqlite", "in process"]["ready"]
    assert "ESLAB_POSTGRES_DSN" in ways["postgres", "external"]["detail"]

    pacers = {(row["pacer"], row["rate_per_s"]) for row in told["pacers"]}
    assert pacers >= {(name, rate) for name in ("sleep", "spin") for rate in (1000, 5000, 10000)}
    assert told["environment"]["sync_latency"]["max_ns"] > 0


def test_python_m_harness_is_the_console_command():
    told = subprocess.run([*ESLAB, "--help"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "Usage: eslab" in told.stdout

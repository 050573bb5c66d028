"""Output that cannot be printed: what is lost is told, and a measurement goes on."""

import json
import os
import subprocess

import pytest

from harness import results

from .command import ESLAB, QUICKLY, ROOT, eslab, the_run

RUN = ("run", "scenarios/quick.yaml", "--stores", "memory", *QUICKLY)
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LINE = "eslab: standard output: "


def shell(line, *arguments):
    """A line of bash, in which `"$@"` is the command."""
    return subprocess.run(
        ["bash", "-c", line, "bash", *ESLAB, *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=ROOT, stdin=subprocess.DEVNULL,
        timeout=100,
    )  # fmt: skip


@pytest.mark.parametrize(
    "environment",
    [ASCII, {"PYTHONIOENCODING": "euc_jp"}],
    ids=["ASCII", "EUC-JP"],
)
def test_a_terminal_gets_replacements_for_what_its_encoding_lacks(environment):
    told = subprocess.run(
        [*ESLAB, "list", "scenarios"],
        capture_output=True, check=False, cwd=ROOT, env=os.environ | environment,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert b"append-scaling" in told.stdout
    assert told.stdout.count(b"?") > 3


def test_an_export_is_utf_8_in_every_locale():
    words = ("export", "results/baseline", "--format", "markdown")
    said = subprocess.run(
        [*ESLAB, *words],
        capture_output=True, check=True, cwd=ROOT, env=os.environ | ASCII | {"FORCE_COLOR": "1"},
    ).stdout.decode()  # fmt: skip
    assert said == eslab(*words).stdout
    assert "×" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("where", "code", "told"),
    [
        (">/dev/full", 1, f"{LINE}No space left on device\n"),
        (">&-", 1, f"{LINE}closed\n"),
        (">&- 2>&-", 1, ""),
        ("| true; exit ${PIPESTATUS[0]}", 141, ""),
    ],
)
def test_a_listing_that_cannot_be_printed_is_one_line_at_most(where, code, told):
    done = shell(f'"$@" {where}', "list", "checks")
    assert (done.returncode, done.stderr) == (code, told)


@pytest.mark.parametrize("where", [">/dev/full", ">&- 2>&-", "| true; exit ${PIPESTATUS[0]}"])
def test_a_run_goes_on_without_its_output(tmp_path, where):
    done = shell(f'"$@" {where}', *RUN, "--out", tmp_path)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert results.load(the_run(tmp_path)).manifest["status"] == "done"


def test_what_is_parsed_has_no_colours():
    told = eslab("list", "stores", "--json", env=os.environ | {"FORCE_COLOR": "1"})
    assert json.loads(told.stdout)
    assert "\x1b" not in told.stdout


def test_a_folder_that_is_no_text_is_bad_input(tmp_path):
    out = os.fsencode(tmp_path / "x") + b"\xff"
    told = subprocess.run(
        [*map(os.fsencode, (*ESLAB, *RUN)), b"--out", out],
        capture_output=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert told.returncode == 2, told.stderr
    assert told.stderr.count(b"\n") == 1

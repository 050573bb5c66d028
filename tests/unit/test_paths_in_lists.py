"""A path with the character that separates paths is refused where Python would read two."""

from pathlib import Path

import pytest

from harness.domain.errors import BadInput, NoServer
from harness.render.report import executing
from harness.run import checkout_runner
from tests.unit.paths import ODD


def test_a_checkout_that_python_would_take_for_two_folders_is_refused(tmp_path):
    (tmp_path / "harness").mkdir()
    code = checkout_runner.Checkout("main", Path("/a:b"), "c0ffee")
    with pytest.raises(BadInput, match=r"^main: Python imports nothing from /a:b: its path has"):
        checkout_runner.files_there(code)


def test_a_run_that_a_list_cannot_hold_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a:b").mkdir()
    monkeypatch.chdir(tmp_path / "a:b")
    monkeypatch.setenv("OTHERS", "results/one")
    with pytest.raises(BadInput, match=r"^OTHERS: /.*/a:b/results/one: its path has a ':'"):
        executing.require_inputs(tmp_path)


def test_an_error_that_names_any_path_is_one_printable_line():
    assert str(NoServer(f"no room in {ODD}\udcff")).count("\n") == 0
    assert str(NoServer("a\nb\udcff é")) == "a\\nb\\udcff é"
    assert str(BadInput("x", file="a\nb", line=1, column=2)) == "a\\nb:1:2: x"

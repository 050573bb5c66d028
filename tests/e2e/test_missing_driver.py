"""A store whose driver is not installed is left out before its server is started."""

from __future__ import annotations

import json
import os

import pytest

from .command import QUICKLY, ROOT, eslab, the_run

HIDE_AIOKAFKA = """
import sys

class Without:
    def __init__(self, finder):
        self._finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "aiokafka":
            return None
        return self._finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


@pytest.fixture
def without_aiokafka(tmp_path):
    """The environment of a Python that cannot find aiokafka."""
    (tmp_path / "sitecustomize.py").write_text(HIDE_AIOKAFKA)
    return os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}


def test_the_others_are_measured_and_one_line_says_what_would_bring_it(tmp_path, without_aiokafka):
    out = tmp_path / "results"
    done = eslab(
        *("run", "scenarios/quick.yaml", "--stores", "memory,kafka", "--servers", "native"),
        *(*QUICKLY, "--out", out),
        env=without_aiokafka,
    )
    told = done.stdout + done.stderr
    reason = "kafka: the driver aiokafka is not installed; pip install 'eventstore-lab[kafka]'"
    assert done.returncode == 0, told
    assert told.count(reason) == 1
    assert "starting kafka" not in told
    manifest = json.loads((the_run(out) / "manifest.json").read_text())
    assert manifest["left_out"] == {"kafka": reason}
    assert not manifest["servers"]


def test_where_nothing_is_left_the_run_ends_with_exit_code_4(tmp_path, without_aiokafka):
    done = eslab(
        *("run", "scenarios/quick.yaml", "--stores", "kafka", "--servers", "native"),
        *("--out", tmp_path / "results"),
        env=without_aiokafka,
    )
    assert done.returncode == 4, done.stdout + done.stderr
    assert "aiokafka is not installed" in done.stderr

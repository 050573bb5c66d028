"""What was not run is listed with its reason, and fails the run where nothing may be missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_a_server(number):
    pytest.skip("postgres: native: no wheel")

def test_a_browser():
    pytest.skip("no browser")

def test_what_is_there():
    pass

async def test_on_the_loop():
    pass
"""


def run_suite(folder: Path, suite: str, **environment: str) -> tuple[int, str]:
    (folder / "test_suite.py").write_text(suite)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    inherited.pop("ESLAB_NO_SKIPS", None)
    done = subprocess.run(
        [*command, "-c", str(folder / "pytest.ini"), str(folder)],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_what_was_not_run_is_listed_once_a_reason(tmp_path: Path):
    code, out = run_suite(tmp_path, SUITE)
    assert code == 0
    assert "not run: 3 tests: postgres: native: no wheel\n" in out
    assert "not run: 1 test: no browser\n" in out


def test_a_skip_fails_where_nothing_may_be_missing_also_in_several_processes(tmp_path: Path):
    code, out = run_suite(tmp_path, SUITE, ESLAB_NO_SKIPS="1", PYTEST_ADDOPTS="-n2")
    assert code == 1, out
    assert "not run: 3 tests: postgres: native: no wheel\n" in out


def test_nothing_is_said_where_everything_was_run(tmp_path: Path):
    whole = SUITE.replace("pytest.skip(", "str(")
    code, out = run_suite(tmp_path, whole, ESLAB_NO_SKIPS="1")
    assert code == 0, out
    assert "not run" not in out

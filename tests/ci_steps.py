"""Runs the shell steps of a composite action as plain shell: what the YAML says is what is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")


@dataclass
class Job:
    """Where an action runs: its inputs, the runner's files, and what its steps put out."""

    checkout: Path
    scratch: Path
    inputs: dict[str, str]
    path: str
    """In which `eslab` is, as if it had been installed."""
    values: dict[str, str] = field(default_factory=dict)
    told: list[subprocess.CompletedProcess] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    """Variables of the runner."""

    def run(self, action: Path, *, leaving_out: set[str]) -> int:
        """The exit code of the first step that fails; steps that use other actions are passed."""
        content = YAML(typ="safe").load(action.read_text())
        defaults = {name: about.get("default", "") for name, about in content["inputs"].items()}
        self.values |= {f"inputs.{name}": value for name, value in (defaults | self.inputs).items()}
        self.values |= {"github.action_path": str(action.parent), "runner.temp": str(self.scratch)}
        codes = [
            self.step(step)
            for step in content["runs"]["steps"]
            if "run" in step and step["name"] not in leaving_out
        ]
        return next((code for code in codes if code), 0)

    def summary(self) -> str:
        """What the job's page would show."""
        return (self.scratch / "summary").read_text()

    def step(self, step: dict) -> int:
        """Run one shell step; gives its exit code."""
        assert not EXPRESSION.search(step["run"]), "expressions belong into env, not into the shell"
        files = {
            name: self.scratch / name.removeprefix("GITHUB_").lower()
            for name in ("GITHUB_OUTPUT", "GITHUB_PATH")
        }
        files["GITHUB_STEP_SUMMARY"] = self.scratch / "summary"
        given = {name: self._filled(str(text)) for name, text in step.get("env", {}).items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.checkout,
            env=os.environ
            | {"PATH": self._path(files["GITHUB_PATH"])}
            | self.environment
            | {k: str(v) for k, v in files.items()}
            | given,
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )
        self.told.append(done)
        if files["GITHUB_OUTPUT"].exists() and "id" in step:
            for line in files["GITHUB_OUTPUT"].read_text().splitlines():
                name, _, value = line.partition("=")
                self.values[f"steps.{step['id']}.outputs.{name}"] = value
        return done.returncode

    def _path(self, added: Path) -> str:
        """With what earlier steps put before it."""
        folders = added.read_text().splitlines() if added.exists() else []
        return os.pathsep.join([*reversed(folders), self.path])

    def _filled(self, text: str) -> str:
        return EXPRESSION.sub(lambda found: self.values[found[1]], text)


def seeing_installed(folder: Path) -> Path:
    """A folder for PATH whose `python3` makes environments that see what is installed here.

    So pip really runs and checks every pin, finds it satisfied, and needs no index: it may not
    ask one, and fails where a pin is not what is installed. It is the pip that is installed here,
    too: unpacking Python's own takes a third of such a step.
    """
    python3 = folder / "python3"
    folder.mkdir(parents=True)
    seen = sysconfig.get_path("purelib")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python3.write_text(
        "#!/bin/sh\n"
        "set -e\n"
        f'[ "$1 $2" = "-m venv" ] || exec "{sys.executable}" "$@"\n'
        f'"{sys.executable}" -m venv --without-pip "$3"\n'
        f'cd "$3" && echo "{seen}" > "lib/{version}/site-packages/seen.pth"\n'
        """printf '#!/bin/sh\\nexec "%s/bin/python" -m pip "$@"\\n' "$PWD" > bin/pip\n"""
        "chmod +x bin/pip\n"
    )
    python3.chmod(0o755)
    return folder


NO_INDEX = {
    "PIP_NO_INDEX": "1", "PIP_NO_INPUT": "1", "PIP_CONFIG_FILE": os.devnull,
    "PIP_NO_BUILD_ISOLATION": "0",
}  # fmt: skip
"""For pip: what is not here cannot be had, build tools included (0 is how it is told not to)."""


def gitlab_job(page: Path) -> dict[str, Any]:
    """The job of a page's GitLab section: `variables`, `script` and `after_script`, a line each."""
    (block,) = re.findall(r"^## GitLab\n\n```yaml\n(.*?)^```", page.read_text(), re.S | re.M)
    (job,) = YAML(typ="safe").load(block).values()
    return {name: job[name] for name in ("variables", "script", "after_script")}

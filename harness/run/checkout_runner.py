"""Two checkouts of one repository, and a scenario run by the code of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import results
from harness.domain.errors import BadInput, LabError, NoServer, Refused
from harness.run.worker_allocation import Asked
from harness.servers.native.guard import Guard


@dataclass(frozen=True, slots=True)
class Checkout:
    """Code of one commit in a folder of its own, or the project's working tree."""

    name: str
    """The user's name for it."""
    folder: Path
    commit: str

    @property
    def import_path(self) -> list[str]:
        """Folders from which Python imports it, before installed packages."""
        source = self.folder / "src"
        return [str(source), str(self.folder)] if source.is_dir() else [str(self.folder)]

    @property
    def is_lab(self) -> bool:
        """Whether it is the lab itself, not a package with an adapter."""
        return (self.folder / "harness" / "__init__.py").is_file()

    @property
    def takes_pin(self) -> bool:
        """Whether its command knows `--pin on|off`: older labs do not."""
        return not self.is_lab or (self.folder / "harness" / "run" / "placing.py").is_file()


def commit_of(project: Path, ref: str, flag: str) -> str:
    """The commit that a ref names. Raises `BadInput` that names the flag."""
    if _git(project, "rev-parse", "--git-dir") is None:
        raise BadInput(f"--project {project}: not a git repository")
    commit = _git(
        project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
    )
    if not commit:
        raise BadInput(f"{flag} {ref}: no such commit in {project}")
    return commit


def checkout(project: Path, ref: str, place: Path, *, flag: str) -> Checkout:
    """The commit in `place`. It shares the project's git objects and leaves the project as is."""
    commit = commit_of(project, ref, flag)
    _must("clone", "--quiet", "--shared", "--no-checkout", str(project.resolve()), str(place))
    _must("-C", str(place), "checkout", "--quiet", "--detach", commit)
    return Checkout(ref, place, commit)


def as_it_stands(project: Path) -> Checkout:
    """The project's own folder, with uncommitted changes."""
    commit = commit_of(project, "HEAD", "--project")
    return Checkout("working tree", project.resolve(), commit)


def _git(project: Path, *arguments: str) -> str | None:
    """Git's output; `None` if it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(project), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise BadInput(f"git is needed for refs: {error.strerror}") from None
    return None if done.returncode else done.stdout.strip()


def _must(*arguments: str) -> None:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BadInput(f"git {arguments[0]}: {reason}")


_ERRORS: dict[int, type[LabError]] = {2: BadInput, 3: Refused, 4: NoServer}
_LAB = Path(__file__).parents[2]
_INTERRUPTED = (130, 143, 129)
"""By ctrl-C, SIGTERM and SIGHUP."""
_END_LIMIT_S = 15.0
_PLAIN = {"PYTHONIOENCODING": "utf-8", "NO_COLOR": "1", "FORCE_COLOR": ""}
"""For what is parsed and quoted here, whatever the terminal is like."""


@dataclass(frozen=True, slots=True)
class Order:
    """What each process runs."""

    scenario: Path
    stores: str
    settings: tuple[str, ...]
    way: str
    capacities: Path | None = None
    """A run whose capacities are used for `of_capacity`; without one they are measured."""
    pin: Asked = "auto"

    def placed_like(self, half: Path) -> Order:
        """The same, with generator and servers on the cores that `auto` has decided on there.

        A neighbour that is busy for a while must not place the two sides differently. Halves of
        older labs say nothing, and are not asked.
        """
        placement = results.load(half).manifest.get("placement", {})
        if self.pin != "auto" or "apart" not in placement:
            return self
        return replace(self, pin="on" if placement["apart"] else "off")


def run_there(code: Checkout, order: Order, out: Path) -> Path:
    """Run it with that code; the folder of the run. Raises the other process's error."""
    out.mkdir(parents=True)
    done = _python(code, _run(code, order, out), out)
    try:
        return Path(json.loads(done.stdout)[0]["folder"])
    except (ValueError, LookupError, TypeError):
        raise _error_of(code, done) from None


def files_there(code: Checkout) -> dict[str, str]:
    """Where that code's process imports each store from. Raises its error.

    The answer is the last line, after anything that it prints during the imports.
    """
    done = _python(code, ["-m", "harness.run.changed_stores"], code.folder)
    try:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, LookupError, TypeError):
        raise _error_of(code, done) from None


def _python(
    code: Checkout, arguments: Sequence[str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Python's command line; without -P its working folder would come first on the import path."""
    command = [sys.executable, "-P", *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(_import_path(code)), **_PLAIN}
    guard = Guard([])
    try:
        done = _guarded(command, guard, folder, environment)
    finally:
        guard.release()
    if done.returncode in _INTERRUPTED:
        raise KeyboardInterrupt
    return done


def _end(process: subprocess.Popen[str]) -> None:
    """As by ctrl-C, so that it stops its servers; by SIGKILL if that takes too long."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=_END_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _guarded(
    command: Sequence[str], guard: Guard, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """`subprocess.run` of a process that is interrupted where this one ends, by `kill -9` too."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        cwd=folder,
        env=environment,
        start_new_session=True,  # a signal to end is for this process, which passes it on
    ) as process:
        guard.watch(process.pid, signal.SIGINT)
        try:
            stdout, stderr = process.communicate()
        except BaseException:
            _end(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _error_of(code: Checkout, done: subprocess.CompletedProcess[str]) -> LabError:
    """Its last line, as an error of this process."""
    last = (done.stderr.strip().splitlines() or ["it ended without a message"])[-1]
    error = _ERRORS.get(done.returncode, LabError)
    return error(f"{code.name}: {last.removeprefix('eslab: ')}")


def _run(code: Checkout, order: Order, out: Path) -> Sequence[str]:
    settings = [word for setting in order.settings for word in ("--set", setting)]
    stores = ["--stores", order.stores] if order.stores else []
    known = ["--capacities", str(order.capacities.resolve())] if order.capacities else []
    pin = ["--pin", order.pin] if order.pin != "auto" and code.takes_pin else []
    return [
        "-m", "harness", "run", str(order.scenario.resolve()), *stores,
        *settings, "--repeat", "1", "--servers", order.way, "--no-samples", "--json",
        "--out", str(out.resolve()), *known, *pin,
    ]  # fmt: skip


def _import_path(code: Checkout) -> list[str]:
    """The import path: before installed packages, which may be another commit of the package.

    Raises `BadInput` where Python would read one folder of it as two, and import other code.
    """
    own = [*code.import_path, *([] if code.is_lab else [str(_LAB)])]
    for folder in own:
        if os.pathsep in folder:
            raise BadInput(
                f"{code.name}: Python imports nothing from {folder}: its path has a {os.pathsep!r};"
                " rename it, or set TMPDIR to another folder"
            )
    rest = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return [*own, *rest]

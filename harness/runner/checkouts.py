"""Two checkouts of one repository side by side, without touching the repository."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BadInput


@dataclass(frozen=True, slots=True)
class Checkout:
    """Code of one commit in a folder of its own, or the project as it stands."""

    name: str
    """As the user called it."""
    folder: Path
    commit: str

    @property
    def import_path(self) -> list[str]:
        """Folders from which Python is to import it: before whatever is installed."""
        source = self.folder / "src"
        return [str(source), str(self.folder)] if source.is_dir() else [str(self.folder)]

    @property
    def is_lab(self) -> bool:
        """Whether it is the lab itself, not a package with an adapter."""
        return (self.folder / "harness" / "__init__.py").is_file()


def commit_of(project: Path, ref: str, flag: str) -> str:
    """The commit that a ref names. Raises `BadInput` that names the flag."""
    if _git(project, "rev-parse", "--git-dir") is None:
        raise BadInput(f"--project {project}: not a git repository")
    found = _git(
        project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
    )
    if not found:
        raise BadInput(f"{flag} {ref}: no such commit in {project}")
    return found


def checkout(project: Path, ref: str, place: Path, *, flag: str) -> Checkout:
    """The commit in `place`. It shares the project's objects and writes nothing into it."""
    commit = commit_of(project, ref, flag)
    _must("clone", "--quiet", "--shared", "--no-checkout", str(project.resolve()), str(place))
    _must("-C", str(place), "checkout", "--quiet", "--detach", commit)
    return Checkout(ref, place, commit)


def as_it_stands(project: Path) -> Checkout:
    """The project's own folder, uncommitted changes and all."""
    commit = commit_of(project, "HEAD", "--project")
    return Checkout("working tree", project.resolve(), commit)


def _git(project: Path, *arguments: str) -> str | None:
    """What git says; `None` where it says no."""
    try:
        done = subprocess.run(
            ["git", "-C", str(project), *arguments], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise BadInput(f"git is needed for refs: {error.strerror}") from None
    return None if done.returncode else done.stdout.strip()


def _must(*arguments: str) -> None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BadInput(f"git {arguments[0]}: {said}")

"""A git repository of somebody's adapter package, whose newer commit takes one round trip more."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_PACKAGE = Path(__file__).parent / "e2e" / "adapter" / "mine"


def adapter_repository(folder: Path) -> Path:
    """At `worse`; `main` is the commit before."""
    shutil.copytree(_PACKAGE, folder, ignore=shutil.ignore_patterns("__pyc*"))
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "as it is")
    git(folder, "checkout", "--quiet", "-b", "worse")
    store = folder / "mine_store.py"
    store.write_text(store.read_text().replace("TRIPS = 1\n", "TRIPS = 2\n"))
    git(folder, "commit", "--quiet", "-am", "one round trip more")
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Its output, as somebody without that person's settings."""
    names = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *names, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

"""Servers that come as Maven artefacts: resolved once by the ordinary `mvn`, kept between runs."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from harness.errors import NoServer

JAVA_MIN = 17
_RESOLVE_LIMIT_S = 600.0
_JAVA_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_POM_VERSION = re.compile(r"<version>([^<$]+)</version>")
_ADDRESS = re.compile(r"\s*\(?\bhttps?://\S+")
_TELLING = re.compile(
    r"(Could not (?:find|transfer) artifact|No plugin found|Unknown host|Connect|No space|"
    r"Permission denied|Non-parseable)",
    re.I,
)


def jars(technology: str, pom: Path) -> Path:
    """The folder of jars that a pom names; the first call fetches them, in some 10 s.

    It lies in the user's cache folder under a hash of the pom, and appears there whole or
    not at all. Raises `NoServer` with the technology and what would make it ready.
    """
    folder = _folder(technology, pom)
    if folder.is_dir():
        return folder
    maven = _maven(technology)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{technology}-", dir=folder.parent) as scratch:
            _resolve(technology, maven, pom, Path(scratch) / "lib")
            _publish(Path(scratch) / "lib", folder)
    except OSError as error:
        raise NoServer(f"{technology}: no room for its jars: {error}") from None
    return folder


def available(technology: str, pom: Path) -> str:
    """The version of the server that would run; cheap. Raises `NoServer` if it could not."""
    java()
    if not _folder(technology, pom).is_dir():
        _maven(technology)
    return version(pom)


def version(pom: Path) -> str:
    """The pom's own version, which is that of its server."""
    match = _POM_VERSION.search(pom.read_text(encoding="utf-8"))
    assert match is not None, f"{pom.name} has no version"
    return match[1]


def java() -> str:
    """The path of a Java that is new enough; `JAVA_HOME` comes before PATH. Raises `NoServer`."""
    home = os.environ.get("JAVA_HOME")
    path = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if path is None:
        raise NoServer(f"install Java {JAVA_MIN} or later (a JRE is enough)")
    found = _java_version(path)
    if found < JAVA_MIN:
        what = f"is version {found}" if found else "does not run"
        raise NoServer(f"{path} {what}; install Java {JAVA_MIN} or later, or set JAVA_HOME to it")
    return path


@cache
def _java_version(path: str) -> int:
    """The major version, or 0 for what is no Java."""
    try:
        answer = subprocess.run(
            [path, "-version"], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    match = _JAVA_VERSION.search(answer.stderr)
    return int(match[1]) if match else 0


def _folder(technology: str, pom: Path) -> Path:
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root, "eslab", f"{technology}-{digest}")


def _maven(technology: str) -> str:
    path = shutil.which("mvn")
    if path is None:
        raise NoServer(f"install Maven (mvn): it fetches {technology}'s jars once")
    return path


def _resolve(technology: str, maven: str, pom: Path, target: Path) -> None:
    command = [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={target}"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_RESOLVE_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise NoServer(_failure(technology, f"no end after {_RESOLVE_LIMIT_S:.0f} s")) from None
    if answer.returncode != 0 or not target.is_dir():
        raise NoServer(_failure(technology, _reason(answer.stdout + answer.stderr)))


def _publish(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        # Another lab was faster: what it has put there is the same.
        if not target.is_dir():
            raise


def _reason(output: str) -> str:
    """Maven's most telling line, without the addresses that it asked."""
    lines = [line.removeprefix("[ERROR]").strip() for line in output.splitlines()]
    telling = [line for line in lines if _TELLING.search(line)] or [line for line in lines if line]
    line = _ADDRESS.sub("", telling[0]) if telling else "it printed nothing"
    found = _TELLING.search(line)
    return line[found.start() :] if found else line


def _failure(technology: str, why: str) -> str:
    return f"Maven could not fetch {technology}'s jars: {why}"

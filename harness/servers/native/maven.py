"""Servers that come as Maven artefacts: resolved once by the ordinary `mvn`, kept between runs."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
from functools import cache
from pathlib import Path

from harness.domain.errors import NoServer
from harness.domain.temporary import temporary_folder
from harness.servers.native.place import Place, is_plain, plain_root

JAVA_MIN = 17
_RESOLVE_LIMIT_S = 600.0
_ADVICE = "set XDG_CACHE_HOME to a folder that you can write to"
_JAVA_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_POM_VERSION = re.compile(r"<version>([^<$]+)</version>")
_ADDRESS = re.compile(r"\s*\(?\bhttps?://\S+")
_TELLING = re.compile(
    r"(Could not (?:find|transfer) artifact|No plugin found|Unknown host|Connect|No space|"
    r"Permission denied|Non-parseable)",
    re.I,
)


def jars(technology: str, pom: Path) -> Path:
    """The folder of files that a pom names; the first call fetches them, in some 10 s.

    It lies in the user's cache folder under a hash of the pom, and appears there whole or not at
    all. Every file has the SHA-256 hash that stands beside the pom. Raises `NoServer` with the
    technology and the step that would make it ready.
    """
    folder = jars_folder(technology, pom)
    if not _is_there(folder):
        _fetch(technology, pom, folder)
    _hold_against_hashes(technology, pom, folder, f"remove {folder} to fetch it again")
    return folder


def plain_jars(technology: str, pom: Path, place: Place) -> Path:
    """`jars`, in a folder whose path a class path and a locale can hold: there or a copy."""
    folder = jars(technology, pom)
    if is_plain(folder.resolve()):
        return folder.resolve()
    copy = place.short / "lib"
    shutil.copytree(folder, copy)
    _hold_against_hashes(technology, pom, copy, "it has changed while it was copied")
    return copy


def java_in(place: Place) -> list[str]:
    """The command of a Java that leaves nothing outside the server's folders, even if killed."""
    return [
        java(),
        f"-Djava.io.tmpdir={place.temporary}",
        f"-Duser.home={place.short}",
        "-XX:-UsePerfData",
    ]


def available(technology: str, pom: Path) -> str:
    """The version of the server that would run; starts nothing. Raises `NoServer` if none could.

    Checks what `jars` does, except what only Maven can tell.
    """
    java()
    folder = jars_folder(technology, pom)
    if _is_there(folder):
        jars(technology, pom)
    else:
        _maven(technology)
        _require_writable(technology, folder)
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
    version = _java_version(path)
    if version < JAVA_MIN:
        fault = f"is version {version}" if version else "does not run"
        raise NoServer(f"{path} {fault}; install Java {JAVA_MIN} or later, or set JAVA_HOME to it")
    return path


@cache
def _java_version(path: str) -> int:
    """The major version, or 0 if it is no Java."""
    try:
        answer = subprocess.run(
            [path, "-version"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    match = _JAVA_VERSION.search(answer.stderr)
    return int(match[1]) if match else 0


def jars_folder(technology: str, pom: Path) -> Path:
    """Where a technology's jars are, or would be."""
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    return cache_folder(technology) / f"{technology}-{digest}"


def cache_folder(technology: str = "a server") -> Path:
    """Where jars are kept between runs. Raises `NoServer` where there is no home."""
    return _cache(technology) / "eslab"


def _cache(technology: str) -> Path:
    """As the XDG specification says, which ignores paths that are not absolute."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    home = Path(os.environ.get("HOME") or _account_home())
    if named.is_absolute():
        return named
    if home.is_absolute():
        return home / ".cache"
    raise NoServer(f"no home folder to keep {technology}'s jars in; {_ADVICE}")


def _account_home() -> str:
    """Where Java and Maven look for a home; empty for a user id without an account."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def _is_there(folder: Path) -> bool:
    try:  # `is_dir` says no of a folder that it may not look at
        return stat.S_ISDIR(folder.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise NoServer(f"{folder} cannot be read: {error.strerror}; {_ADVICE}") from None


def _require_writable(technology: str, folder: Path) -> None:
    """Raises `NoServer` where the folder cannot be made."""
    existing = next(each for each in folder.parents if os.access(each, os.F_OK))
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise NoServer(f"{technology}'s jars cannot be kept in {folder.parent}; {_ADVICE}")


def _maven(technology: str) -> str:
    path = shutil.which("mvn")
    if path is None:
        raise NoServer(f"install Maven (mvn): it fetches {technology}'s jars once")
    return path


def _fetch(technology: str, pom: Path, folder: Path) -> None:
    """Fetch them in a plain folder, since Maven too reads paths; then put them into the cache."""
    maven = _maven(technology)
    _require_writable(technology, folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            temporary_folder(plain_root()) as scratch,
            temporary_folder(folder.parent, begins=f".{technology}-") as beside,
        ):
            fetched = scratch / "lib"
            _resolve(technology, maven, Path(shutil.copy(pom, scratch)), fetched)
            _hold_against_hashes(technology, pom, fetched, "Maven's repository has another one")
            _publish(shutil.copytree(fetched, beside / "lib"), folder)
    except OSError as error:
        raise NoServer(f"{technology}: no room for its jars: {error}") from None


def _resolve(technology: str, maven: str, pom: Path, target: Path) -> None:
    command = [maven, "-q", "-B", "--strict-checksums", "-f", str(pom)]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={target}"]
    if not _has_home():
        command.append(f"-Dmaven.repo.local={pom.parent / 'repository'}")
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            cwd=pom.parent,
            timeout=_RESOLVE_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        reason = f"not finished after {_RESOLVE_LIMIT_S:.0f} s"
        raise NoServer(_failure(technology, reason)) from None
    if answer.returncode != 0 or not target.is_dir():
        raise NoServer(_failure(technology, _reason(answer.stdout + answer.stderr)))


def _has_home() -> bool:
    """Whether Maven has a home folder to keep its repository in."""
    home = _account_home()
    repository = Path(home, ".m2")
    writable = os.access(repository if os.access(repository, os.F_OK) else home, os.W_OK | os.X_OK)
    return bool(home) and writable


def _publish(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        # Another lab was faster, and its folder has the same content.
        if not target.is_dir():
            raise


def _hold_against_hashes(technology: str, pom: Path, folder: Path, remedy: str) -> None:
    """Raises `NoServer` unless the folder has the files of the pom's list, and no others."""
    known = _hashes(pom.with_suffix(".sha256"))
    try:
        found = {path.name: _digest(path, _mark(path.stat())) for path in folder.iterdir()}
    except OSError as error:
        raise NoServer(f"{technology}'s jars cannot be read: {error}; {_ADVICE}") from None
    for name in sorted(known.keys() | found.keys()):
        if known.get(name) != found.get(name):
            if name not in found:
                fault = "is missing"
            else:
                fault = "is not the file that the lab knows" if name in known else "is unknown"
            raise NoServer(f"{technology}: {name} {fault} (SHA-256): {remedy}")


def _hashes(file: Path) -> dict[str, str]:
    """By name; the file is one of `sha256sum`, so that it can check a folder too."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def _mark(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


@cache
def _digest(path: Path, mark: tuple[int, ...]) -> str:
    """Computed again when the file's `mark` has changed."""
    del mark
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(output: str) -> str:
    """Maven's most telling line, without the addresses of its repositories."""
    lines = [line.removeprefix("[ERROR]").strip() for line in output.splitlines()]
    telling = [line for line in lines if _TELLING.search(line)] or [line for line in lines if line]
    line = _ADDRESS.sub("", telling[0]) if telling else "it printed nothing"
    match = _TELLING.search(line)
    return line[match.start() :] if match else line


def _failure(technology: str, why: str) -> str:
    return f"Maven could not fetch {technology}'s jars: {why}"

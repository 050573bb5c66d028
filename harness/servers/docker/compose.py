"""Compose, v2 or v1: the files that describe the servers, and the start of services."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ruamel.yaml import YAML

from harness.domain.errors import BadInput, NoServer

Described = Mapping[str, Any]
"""A service as a compose file describes it."""
_NONE: Described = MappingProxyType({})
_NAME = "docker-compose.yml"
_TOP_NAME = re.compile(r"^name:.*$", re.M)
_TELLING = re.compile(r"error|failed|denied|in use|allocated|no such|invalid|unsupported", re.I)


@dataclass(frozen=True, slots=True)
class Description:
    """Compose files, the later ones over the earlier ones."""

    files: tuple[Path, ...]

    def services(self) -> dict[str, Described]:
        """Each service as the last file with it describes it. Variables stay unexpanded."""
        merged: dict[str, Described] = {}
        for file in self.files:
            for name, described in _load(file)["services"].items():
                merged[name] = {**merged.get(name, {}), **described}
        return merged


def root() -> Path:
    """Where the lab's compose files are: the checkout, or the installed package."""
    checkout = Path(__file__).parents[3]
    return checkout if (checkout / _NAME).is_file() else Path(__file__).parent / "files"


def official() -> Description:
    """The files that COMPOSE_FILE names, else the lab's own file."""
    named = os.environ.get("COMPOSE_FILE")
    if named:
        separator = os.environ.get("COMPOSE_PATH_SEPARATOR", os.pathsep)
        return Description(tuple(Path(part).resolve() for part in named.split(separator)))
    return Description((root() / _NAME,))


def built() -> Description:
    """The lab's own file, overridden by the file for images that were built here."""
    return Description((root() / _NAME, root() / "images" / _NAME))


@cache
def command() -> tuple[str, ...]:
    """`docker compose`, else `docker-compose`. Raises `NoServer` without either."""
    asked = subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False, timeout=30
    )
    if asked.returncode == 0:
        return ("docker", "compose")
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    raise NoServer("install Docker Compose: the plugin for `docker compose`, or docker-compose")


async def up(
    description: Description,
    services: Sequence[str],
    *,
    project: str,
    environment: dict[str, str],
    changed: Mapping[str, Described],
    volumes: Described = _NONE,
    scratch: Path,
    pull: bool = False,
) -> None:
    """Create and start services, and do not wait for them.

    `changed` overrides their description, `volumes` that of their volumes.

    Raises `NoServer` with Compose's most telling line.
    """
    override = {"services": changed} | ({"volumes": volumes} if volumes else {})
    files = await asyncio.to_thread(_files, description, override, scratch / project)
    named = [argument for file in files for argument in ("-f", str(file))]
    call = [*command(), "-p", project, "--project-directory", str(root()), *named]
    call += ["up", "-d", "--no-deps", *_pulling(pull), *services]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("COMPOSE_")}
    process = await asyncio.create_subprocess_exec(
        *call,
        env=inherited | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, output = await process.communicate()
    if process.returncode:
        raise NoServer(_reason(output.decode(errors="replace")))


def _files(description: Description, override: Described, scratch: Path) -> list[Path]:
    scratch.mkdir(parents=True, exist_ok=True)
    files = _readable(description.files, scratch)
    if any(override.values()):
        files.append(scratch / "changed.json")
        files[-1].write_text(json.dumps(override), encoding="utf-8")
    return files


def _load(file: Path) -> Any:
    try:
        return _parsed(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}") from None


@cache
def _parsed(text: str) -> Any:
    """Parsed once: a run asks for its services more than ten times, at 20 ms each."""
    return YAML(typ="safe").load(text)


def _pulling(pull: bool) -> list[str]:  # noqa: FBT001
    """v1 always pulls missing images and has no option against it, so the caller checks first."""
    return [] if pull or command() == ("docker-compose",) else ["--pull", "never"]


def _readable(files: Sequence[Path], scratch: Path) -> list[Path]:
    """The files themselves; for v1, copies without the project's name, which v1 rejects."""
    if command() != ("docker-compose",):
        return list(files)
    copies = []
    for number, file in enumerate(files):
        copies.append(scratch / f"compose-v1-{number}.yml")
        text = file.read_text(encoding="utf-8")
        copies[-1].write_text(_TOP_NAME.sub("", text), encoding="utf-8")
    return copies


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.search(line)]
    return (telling or lines or ["it printed nothing"])[-1]

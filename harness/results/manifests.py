"""The manifest of a run read back: what every run says of itself, each part of its type."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import BadInput
from harness.results.columns import FORMAT_VERSION

_WORDS = {str: "text", int: "a whole number", list: "a list", dict: "an object"}


@dataclass(frozen=True, slots=True)
class _Part:
    """A place in the manifest: names with dots between them, `*` for each of what is there."""

    place: str
    kind: type
    required: bool = False


_PARTS = (
    _Part("run", str, required=True),
    _Part("started_at", str, required=True),
    _Part("scenario", dict, required=True),
    _Part("scenario.name", str, required=True),
    _Part("scenario.hash", str, required=True),
    _Part("scenario.description", str),
    _Part("scenario.require", dict),
    _Part("status", str),
    _Part("command", str),
    _Part("flags", list),
    _Part("flags.*", str),
    _Part("commit", dict),
    _Part("commit.commit", str),
    _Part("environment", dict),
    _Part("environment.cpu", dict),
    _Part("environment.memory_bytes", int),
    _Part("environment.versions", dict),
    _Part("left_out", dict),
    _Part("servers", dict),
    _Part("servers.*", dict),
    _Part("servers.*.paths", list),
)
"""Required is what a run has written before its first trial, and pairs with their first half."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty for other JSON. Raises `BadInput`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path}: cut off or not JSON") from error
    return dict(content) if isinstance(content, dict) else {}


def read_manifest(path: Path) -> dict[str, Any]:
    """Of a run of any kind, in a format that this lab knows. Raises `BadInput` in one line."""
    manifest = read_json(path)
    if "format_version" not in manifest:
        raise BadInput(f"{path}: not the manifest of a run; no format_version")
    version = manifest["format_version"]
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BadInput(f"{path}: format_version is not a whole number from 1")
    if version > FORMAT_VERSION:
        known = f"this lab reads up to {FORMAT_VERSION}; update the lab"
        raise BadInput(f"{path.parent}: written in format version {version}; {known}")
    return manifest


def require_run(manifest: dict[str, Any], path: Path) -> None:
    """Raises `BadInput` for the first part that a run with trials must have, or of another type."""
    for part in _PARTS:
        found = list(_at(manifest, part.place.split(".")))
        if part.required and not found:
            raise BadInput(f"{path}: not the manifest of a run; no {part.place}")
        if not all(isinstance(each, part.kind) for each in found):
            raise BadInput(f"{path}: {part.place} is not {_WORDS[part.kind]}")


def _at(content: Any, place: Sequence[str]) -> Iterator[object]:
    """What is at this place; nothing where a part of the way is missing."""
    if not place:
        yield content
        return
    name, *rest = place
    if name == "*":
        for each in content.values() if isinstance(content, dict) else content:
            yield from _at(each, rest)
    elif name in content:
        yield from _at(content[name], rest)

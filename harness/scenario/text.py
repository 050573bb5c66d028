"""A file's YAML text as a `Document`; refuses what no scenario needs before building it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    ScalarEvent,
)
from ruamel.yaml.reader import ReaderError

from harness.errors import BadInput
from harness.scenario.nodes import Builder, Path_, Place, bad
from harness.scenario.wording import shown

BYTES_MAX = 256 * 1024
DEPTH_MAX = 20


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content. `places` has each value's place, `keys` each key's.

    `flags` has, by dotted name, what the command line set in the place of the file.
    """

    file: str
    text: str
    content: Any
    places: Mapping[Path_, Place] = field(default_factory=dict)
    keys: Mapping[Path_, Place] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)

    def wrong(self, message: str, path: Path_ = (), *, at_key: bool = False) -> BadInput:
        """An error at a value or at its key, or as near to it as the file goes."""
        flag = self._flag(path)
        if flag:
            return BadInput(f"{flag}: {message}")
        place = self.keys.get(path) if at_key else None
        while place is None:
            place = self.places.get(path, (1, 1) if not path else None)
            path = path[:-1]
        return BadInput(message, file=self.file, line=place[0], column=place[1])

    def _flag(self, path: Path_) -> str:
        name = ".".join(map(str, path))
        for flagged, flag in self.flags.items():
            if name == flagged or flagged.startswith(f"{name}.") or name.startswith(f"{flagged}."):
                return flag if name else ""
        return ""


def read(path: Path) -> Document:
    """Read a file. Raises `BadInput` with its place for anything that is not plain YAML."""
    return parse(_text(path), str(path))


def parse(text: str, file: str) -> Document:
    """Take YAML text apart."""
    try:
        _refuse_the_unusual(text, file)
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        told = " ".join(str(error.problem or error.context or "unreadable").split())
        raise bad(file, mark, f"not YAML: {told}") from None
    except ReaderError as error:
        line, column = _place_of(text, error.position)
        character = error.character if isinstance(error.character, str) else chr(error.character)
        told = f"character {character!r} is not allowed in YAML"
        raise BadInput(told, file=file, line=line, column=column) from None
    if node is None:
        raise BadInput("the file is empty; expected a scenario", file=file, line=1, column=1)
    builder = Builder(file)
    content = builder.value(node, ())
    return Document(file, text, content, builder.places, builder.keys)


def _text(path: Path) -> str:
    if path.is_dir():
        raise BadInput("a directory; expected a scenario file", file=str(path))
    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise BadInput(f"cannot be read: {told}", file=str(path)) from None
    if len(raw) > BYTES_MAX:
        raise BadInput(f"too large; expected at most {BYTES_MAX:,} bytes", file=str(path))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        line, column = _place_of(before, len(before))
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8; expected a UTF-8 file"
        raise BadInput(message, file=str(path), line=line, column=column) from None


def _refuse_the_unusual(text: str, file: str) -> None:
    """Aliases, anchors, tags, several documents, deep nesting: before anything is built of them."""
    depth = documents = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        match event:
            case DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise bad(file, event.start_mark, "a second document; expected one scenario")
                _refuse_other_versions(event, file)
            case AliasEvent():
                raise bad(file, event.start_mark, "an alias; scenarios take plain values only")
            case CollectionEndEvent():
                depth -= 1
            case CollectionStartEvent() | ScalarEvent():
                _refuse_decoration(event, file)
                depth += isinstance(event, CollectionStartEvent)
                if depth > DEPTH_MAX:
                    raise bad(file, event.start_mark, f"nested deeper than {DEPTH_MAX} levels")


def _refuse_other_versions(event: DocumentStartEvent, file: str) -> None:
    """In YAML 1.1 `on`, `off` and 010 are other values than here."""
    if event.version not in (None, (1, 2)):
        version = ".".join(map(str, event.version))
        raise bad(file, event.start_mark, f"YAML {version}; expected YAML 1.2, the default")


def _refuse_decoration(event: Any, file: str) -> None:
    if event.anchor is not None:
        raise bad(file, event.start_mark, "an anchor; scenarios take plain values only")
    if event.ctag is not None and str(event.ctag) not in ("", "None"):
        raise bad(file, event.start_mark, f"the tag {_tag(event.ctag)}; expected a plain value")


def _place_of(text: str, offset: int) -> Place:
    before = text[:offset]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _tag(tag: Any) -> str:
    return shown(str(tag).replace("tag:yaml.org,2002:", "!!"), quoted=False)

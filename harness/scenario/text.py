"""YAML text as a `Document`: plain values with the line and column of each.

Before it builds values, it refuses aliases, anchors, tags and several documents.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    ScalarEvent,
)
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from harness.domain.errors import BadInput
from harness.scenario.wording import shown

BYTES_MAX = 256 * 1024
DEPTH_MAX = 20
DIGITS_MAX = 30

Path_: TypeAlias = tuple[str | int, ...]
"""From the top of the file: keys and places in lists."""
Place: TypeAlias = tuple[int, int]
"""Line and column, from 1."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content. `places` has each value's place, `keys` each key's.

    `flags` has, by dotted name, values that the command line set instead of the file.
    """

    file: str
    text: str
    content: Any
    places: Mapping[Path_, Place] = field(default_factory=dict)
    keys: Mapping[Path_, Place] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)

    def wrong(self, message: str, path: Path_ = (), *, at_key: bool = False) -> BadInput:
        """An error at a value or its key, or at the nearest part that the file has."""
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
    """Parse YAML text."""
    try:
        _refuse_the_unusual(text, file)
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(str(error.problem or error.context or "unreadable").split())
        raise _bad(file, mark, f"not YAML: {message}") from None
    except ReaderError as error:
        line, column = _place_of(text, error.position)
        character = error.character if isinstance(error.character, str) else chr(error.character)
        message = f"character {character!r} is not allowed in YAML"
        raise BadInput(message, file=file, line=line, column=column) from None
    if node is None:
        raise BadInput("the file is empty; expected a scenario", file=file, line=1, column=1)
    builder = _Builder(file)
    content = builder.value(node, ())
    return Document(file, text, content, builder.places, builder.keys)


def _text(path: Path) -> str:
    if path.is_dir():
        raise BadInput("a directory; expected a scenario file", file=str(path))
    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        message = getattr(error, "strerror", None) or error
        raise BadInput(f"cannot be read: {message}", file=str(path)) from None
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
    """Refuse aliases, anchors, tags, several documents and deep nesting before values are built."""
    depth = documents = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        match event:
            case DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise _bad(file, event.start_mark, "a second document; expected one scenario")
                _refuse_other_versions(event, file)
            case AliasEvent():
                raise _bad(file, event.start_mark, "an alias; scenarios take plain values only")
            case CollectionEndEvent():
                depth -= 1
            case CollectionStartEvent() | ScalarEvent():
                _refuse_decoration(event, file)
                depth += isinstance(event, CollectionStartEvent)
                if depth > DEPTH_MAX:
                    raise _bad(file, event.start_mark, f"nested deeper than {DEPTH_MAX} levels")


def _refuse_other_versions(event: DocumentStartEvent, file: str) -> None:
    """In YAML 1.1 `on`, `off` and 010 are other values than here."""
    if event.version not in (None, (1, 2)):
        version = ".".join(map(str, event.version))
        raise _bad(file, event.start_mark, f"YAML {version}; expected YAML 1.2, the default")


def _refuse_decoration(event: Any, file: str) -> None:
    if event.anchor is not None:
        raise _bad(file, event.start_mark, "an anchor; scenarios take plain values only")
    if event.ctag is not None and str(event.ctag) not in ("", "None"):
        raise _bad(file, event.start_mark, f"the tag {_tag(event.ctag)}; expected a plain value")


def _place_of(text: str, offset: int) -> Place:
    before = text[:offset]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _tag(tag: Any) -> str:
    return shown(str(tag).replace("tag:yaml.org,2002:", "!!"), quoted=False)


class _Builder:
    """Builds values from nodes, and records the place of each value and each key."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[Path_, Place] = {}
        self.keys: dict[Path_, Place] = {}

    def value(self, node: Node, path: Path_) -> Any:
        """The node's value. Raises `BadInput` for what a scenario cannot contain."""
        self.places[path] = _place(node.start_mark)
        match node:
            case MappingNode():
                return self._mapping(node, path)
            case SequenceNode():
                return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode), "YAML has three kinds of nodes"
        return self._scalar(node)

    def _mapping(self, node: MappingNode, path: Path_) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key_node, ScalarNode) or not isinstance(key, str):
                raise _bad(self.file, key_node.start_mark, "a key that is not a word")
            self._refuse_control_characters(key_node)
            if key in content:
                first = self.keys[*path, key][0]
                message = f"the key {shown(key)} is given twice, first in line {first}"
                raise _bad(self.file, key_node.start_mark, message)
            self.keys[*path, key] = _place(key_node.start_mark)
            content[key] = self.value(value_node, (*path, key))
            if value_node.start_mark.index == value_node.end_mark.index:
                self.places[*path, key] = self.keys[*path, key]  # the value is empty
        return content

    def _scalar(self, node: ScalarNode) -> Any:
        self._refuse_control_characters(node)
        kind = str(node.tag).rsplit(":", 1)[-1]
        convert = _SCALARS.get(kind, str)
        try:
            return convert(node.value)
        except (ValueError, OverflowError):
            raise _bad(self.file, node.start_mark, f"{shown(node.value)} is no {kind}") from None

    def _refuse_control_characters(self, node: ScalarNode) -> None:
        """Refuse control characters from escapes, which no store accepts as text."""
        for character in node.value:
            if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n":
                message = f"the character {character!r}; expected text without control characters"
                raise _bad(self.file, node.start_mark, message)


def _bad(file: str, mark: Any, message: str) -> BadInput:
    """An error at the parser's mark."""
    line, column = _place(mark) if mark else (1, 1)
    return BadInput(message, file=file, line=line, column=column)


def _whole(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise ValueError(text)
    return int(text.replace("_", ""), 0 if re.match(r"[-+]?0[xob]", text) else 10)


def _decimal(text: str) -> float:
    return float(text.replace("_", "").replace(".inf", "inf").replace(".Inf", "inf")
                 .replace(".INF", "inf").replace(".nan", "nan").replace(".NaN", "nan")
                 .replace(".NAN", "nan"))  # fmt: skip


_SCALARS: Mapping[str, Callable[[str], Any]] = {
    "int": _whole,
    "float": _decimal,
    "bool": lambda text: text.lower() == "true",
    "null": lambda _: None,
}


def _place(mark: Any) -> Place:
    return mark.line + 1, mark.column + 1

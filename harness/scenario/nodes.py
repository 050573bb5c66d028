"""YAML nodes as plain values, and the line and column of each."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from harness.errors import BadInput
from harness.scenario.wording import shown

DIGITS_MAX = 30

Path_: TypeAlias = tuple[str | int, ...]
"""From the top of the file: keys and places in lists."""
Place: TypeAlias = tuple[int, int]
"""Line and column, from 1."""


class Builder:
    """Nodes into values; `places` and `keys` have where each value and each key stands."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[Path_, Place] = {}
        self.keys: dict[Path_, Place] = {}

    def value(self, node: Node, path: Path_) -> Any:
        """What a node says. Raises `BadInput` for what a scenario cannot contain."""
        self.places[path] = _place(node.start_mark)
        match node:
            case MappingNode():
                return self._mapping(node, path)
            case SequenceNode():
                return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode), "YAML has three kinds of nodes"
        return self._scalar(node)

    def _mapping(self, node: MappingNode, path: Path_) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key_node, ScalarNode) or not isinstance(key, str):
                raise bad(self.file, key_node.start_mark, "a key that is not a word")
            self._refuse_control_characters(key_node)
            if key in found:
                first = self.keys[*path, key][0]
                message = f"the key {shown(key)} is here twice; it was first given in line {first}"
                raise bad(self.file, key_node.start_mark, message)
            self.keys[*path, key] = _place(key_node.start_mark)
            found[key] = self.value(value_node, (*path, key))
            if value_node.start_mark.index == value_node.end_mark.index:
                self.places[*path, key] = self.keys[*path, key]  # nothing stands there
        return found

    def _scalar(self, node: ScalarNode) -> Any:
        self._refuse_control_characters(node)
        kind = str(node.tag).rsplit(":", 1)[-1]
        convert = _SCALARS.get(kind, str)
        try:
            return convert(node.value)
        except (ValueError, OverflowError):
            raise bad(self.file, node.start_mark, f"{shown(node.value)} is no {kind}") from None

    def _refuse_control_characters(self, node: ScalarNode) -> None:
        """An escape can spell what no file contains and no store takes as text."""
        for character in node.value:
            if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n":
                message = f"the character {character!r}; expected text without control characters"
                raise bad(self.file, node.start_mark, message)


def bad(file: str, mark: Any, message: str) -> BadInput:
    """An error where the parser has put a mark."""
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

"""SQL files of an adapter: psql's `:variables` filled in, and named statements split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_VARIABLE = re.compile(r"(?<![:\w]):([a-z_]+)")
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


class SqlFolder:
    """The folder `sql` beside a module of the adapter."""

    def __init__(self, module_file: str) -> None:
        self._folder = Path(module_file).with_name("sql")

    def script(self, name: str, variables: Mapping[str, str]) -> str:
        """A file of statements, ready to run. `KeyError` if it uses a variable without a value."""
        return _VARIABLE.sub(lambda match: variables[match[1]], self.text(name))

    def statements(self, name: str) -> Mapping[str, str]:
        """The statements of a file by the name above each."""
        _, *parts = _NAME.split(self.text(name))
        return dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))

    def text(self, name: str) -> str:
        return (self._folder / f"{name}.sql").read_text(encoding="utf-8")

"""SQL files: psql's `:variables` filled in, and named statements taken apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_SQL = Path(__file__).with_name("sql")
_VARIABLE = re.compile(r"(?<![:\w]):([a-z_]+)")
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def script(name: str, variables: Mapping[str, str]) -> str:
    """A file of statements, ready to run. `KeyError` if it uses a variable that is not given."""
    return _VARIABLE.sub(lambda found: variables[found[1]], _text(name))


@cache
def named(name: str) -> Mapping[str, str]:
    """The statements of a file by the name above each."""
    _, *parts = _NAME.split(_text(name))
    return dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))


@cache
def _text(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")

"""The cells of a table read back, held against what `harness.results.columns` says of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from harness.errors import BadInput
from harness.results.columns import Column, schema

_LISTS = frozenset({"flags", "violation_list"})
"""JSON columns that hold lists of words; the others hold objects."""

_CHOICES: Mapping[str, frozenset[str]] = MappingProxyType({"load": frozenset({"closed", "open"})})
"""Words on which it depends how a trial is read."""


def checked(table: pa.Table, path: Path, columns: Sequence[Column]) -> pa.Table:
    """The table as it is written today; columns that its run did not know yet are empty.

    Raises `BadInput` in one line that names the file and the column.
    """
    known = set(table.column_names)
    missing = [column.name for column in columns if column.required and column.name not in known]
    if missing:
        told = f"not the {path.stem} of a run; no column {', '.join(missing[:3])}"
        raise BadInput(f"{path}: {told}")
    found = [
        _checked(table.column(column.name), column, path)
        if column.name in known
        else _empty(column, len(table))
        for column in columns
    ]
    return pa.table(found, schema=schema(columns))


def _empty(column: Column, rows: int) -> pa.Array:
    field = column.field
    return pa.nulls(rows, field.type) if field.nullable else pa.array([""] * rows, field.type)


def _checked(cells: pa.ChunkedArray, column: Column, path: Path) -> pa.ChunkedArray:
    found = _cast(cells, column, path)
    if found.null_count and not column.field.nullable:
        raise BadInput(f"{path}: column {column.name}: an empty cell; every row has a value")
    if column.kind == "float" and pc.any(pc.is_inf(found)).as_py():
        raise BadInput(f"{path}: column {column.name}: not a finite number")
    if column.kind == "json":
        _require_json(found, column, path)
    choices = _CHOICES.get(column.name)
    if choices and not choices.issuperset(found.unique().to_pylist()):
        raise BadInput(f"{path}: column {column.name}: expected {' or '.join(sorted(choices))}")
    return found


def _require_json(cells: pa.ChunkedArray, column: Column, path: Path) -> None:
    words = column.name in _LISTS
    if not all(_is_json(text, words=words) for text in cells.unique().to_pylist()):
        kind = "list of words" if words else "object"
        raise BadInput(f"{path}: column {column.name}: not a JSON {kind}")


def _cast(cells: pa.ChunkedArray, column: Column, path: Path) -> pa.ChunkedArray:
    wanted = column.field.type
    try:
        found = cells.cast(wanted)
        found.validate(full=True)
    except pa.ArrowException as error:
        told = f"expected {wanted}, got {cells.type} that is not"
        raise BadInput(f"{path}: column {column.name}: {told}") from error
    return found


def _is_json(text: str, *, words: bool) -> bool:
    """Whether a cell is a list of words, or an object; an empty one is both."""
    try:
        content = json.loads(text) if text else [] if words else {}
    except (ValueError, RecursionError):
        return False
    if not words:
        return isinstance(content, dict)
    return isinstance(content, list) and all(isinstance(each, str) for each in content)

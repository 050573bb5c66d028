"""Checks of a run folder that is read: cells of tables, the manifest, and that parts agree."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harness.domain.errors import BadInput
from harness.domain.flags import dumped, parsed, stored
from harness.results import format_1
from harness.results.columns import FORMAT_VERSION, Column, schema

_LISTS = frozenset({"violation_list"})
"""JSON columns that hold lists of words; the others hold objects."""

_MOST = 1e18
"""In any unit: as ns it is thirty years."""
_TIMES_END_MS = 7_258_118_400_000
"""The year 2200."""

_CHOICES: Mapping[str, frozenset[str]] = MappingProxyType({"load": frozenset({"closed", "open"})})
"""The allowed values of columns that determine how a trial is read."""


def checked(table: pa.Table, path: Path, columns: Sequence[Column]) -> pa.Table:
    """The table as it is written today; columns that are newer than its run are empty.

    Raises `BadInput` in one line that names the file and the column.
    """
    known = set(table.column_names)
    missing = [column.name for column in columns if column.required and column.name not in known]
    if missing:
        reason = f"not the {path.stem} of a run; no column {', '.join(missing[:3])}"
        raise BadInput(f"{path}: {reason}")
    arrays = [
        _checked(table.column(column.name), column, path)
        if column.name in known
        else _empty(column, len(table))
        for column in columns
    ]
    return pa.table(arrays, schema=schema(columns))


def _empty(column: Column, rows: int) -> pa.Array:
    field = column.field
    return pa.nulls(rows, field.type) if field.nullable else pa.array([""] * rows, field.type)


def _checked(cells: pa.ChunkedArray, column: Column, path: Path) -> pa.ChunkedArray:
    cells = _cast(cells, column, path)
    if cells.null_count and not column.field.nullable:
        raise BadInput(f"{path}: column {column.name}: an empty cell; every row has a value")
    if column.kind == "float" and pc.any(pc.is_inf(cells)).as_py():
        raise BadInput(f"{path}: column {column.name}: not a finite number")
    if column.kind == "float" and pc.any(pc.greater(pc.abs(cells), _MOST)).as_py():
        raise BadInput(f"{path}: column {column.name}: larger than anything that a lab measures")
    if column.kind == "time" and not _are_times(cells):
        raise BadInput(f"{path}: column {column.name}: not a time at which a lab ran")
    if column.name == "flags":
        return _flags(cells, path)
    if column.kind == "json":
        _require_json(cells, column, path)
    choices = _CHOICES.get(column.name)
    if choices and not choices.issuperset(cells.unique().to_pylist()):
        raise BadInput(f"{path}: column {column.name}: expected {' or '.join(sorted(choices))}")
    return cells


def _are_times(cells: pa.ChunkedArray) -> bool:
    """Whether all lie where every library can spell them."""
    ends = pc.min_max(cells.cast(pa.int64()))
    least, most = ends["min"].as_py(), ends["max"].as_py()
    return least is None or (least >= 0 and most < _TIMES_END_MS)


def _flags(cells: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    """The cells as they are written today, whatever the format of the run."""
    try:
        known = {text: _flags_today(text) for text in cells.unique().to_pylist()}
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: column flags: {error}") from error
    return pa.chunked_array([[known[text] for text in cells.to_pylist()]], type=cells.type)


def _flags_today(text: str) -> str:
    content = json.loads(text) if text else []
    if not isinstance(content, list):
        raise ValueError("not a JSON list of flags")  # noqa: TRY004  # read from a file
    written = format_1.is_format_1(content)
    return dumped(format_1.flags_of(content) if written else map(parsed, content))


def _require_json(cells: pa.ChunkedArray, column: Column, path: Path) -> None:
    words = column.name in _LISTS
    if not all(_is_json(text, words=words) for text in cells.unique().to_pylist()):
        kind = "list of words" if words else "object"
        raise BadInput(f"{path}: column {column.name}: not a JSON {kind}")


def _cast(cells: pa.ChunkedArray, column: Column, path: Path) -> pa.ChunkedArray:
    wanted = column.field.type
    try:
        converted = cells.cast(wanted)
        converted.validate(full=True)
    except pa.ArrowException as error:
        reason = f"expected {wanted}, got {cells.type} that is not"
        raise BadInput(f"{path}: column {column.name}: {reason}") from error
    return converted


def _is_json(text: str, *, words: bool) -> bool:
    """Whether a cell is a list of words, or an object; an empty one is both."""
    try:
        content = json.loads(text) if text else [] if words else {}
    except (ValueError, RecursionError):
        return False
    if not words:
        return isinstance(content, dict)
    return isinstance(content, list) and all(isinstance(each, str) for each in content)


_NUMBER = (int, float)
_NUMBER_OR_NULL = (int, float, NoneType)
_WORDS: Mapping[type | tuple[type, ...], str] = {
    str: "text",
    int: "a whole number",
    list: "a list",
    dict: "an object",
    _NUMBER: "a number",
    _NUMBER_OR_NULL: "a number or null",
}


@dataclass(frozen=True, slots=True)
class _Part:
    """A place in the manifest: names with dots between them, `*` for every value."""

    place: str
    kind: type | tuple[type, ...]
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
    _Part("commit", dict),
    _Part("commit.commit", str),
    _Part("environment", dict),
    _Part("environment.cpu", dict),
    _Part("environment.memory_bytes", int),
    _Part("environment.versions", dict),
    _Part("environment.sync_latency", dict),
    _Part("environment.sync_latency.*", _NUMBER_OR_NULL),
    _Part("environment.load_average", list),
    _Part("environment.load_average.*", _NUMBER),
    _Part("left_out", dict),
    _Part("servers", dict),
    _Part("servers.*", dict),
    _Part("servers.*.paths", list),
    _Part("servers.*.paths.*", dict),
    _Part("servers.*.paths.*.added_rtt_ms", _NUMBER_OR_NULL),
    _Part("servers.*.paths.*.round_trip_us", _NUMBER_OR_NULL),
    _Part("servers.*.paths.*.direct_round_trip_us", _NUMBER_OR_NULL),
    _Part("placement", dict),
    _Part("placement.why", str),
    _Part("processes", list),
    _Part("processes.*", dict),
    _Part("processes.*.key", str, required=False),
    _Part("processes.*.point", str),
    _Part("processes.*.one_is_full_at_per_s", _NUMBER),
    _Part("places", dict),
    _Part("places.*", dict),
    _Part("places.*.below", list),
    _Part("places.*.sync_latency", dict),
    _Part("places.*.sync_latency.*", _NUMBER_OR_NULL),
)
"""Required parts are those that a run has before its first trial, pairs with their first half."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty for other JSON. Raises `BadInput`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path}: cut off or not JSON") from error
    return dict(content) if isinstance(content, dict) else {}


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of any run in a format that this lab knows. Raises `BadInput` in one line."""
    manifest = read_json(path)
    if "format_version" not in manifest:
        raise BadInput(f"{path}: not the manifest of a run; no format_version")
    version = manifest["format_version"]
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BadInput(f"{path}: format_version is not a whole number from 1")
    if version > FORMAT_VERSION:
        known = f"this lab reads up to {FORMAT_VERSION}; update the lab"
        raise BadInput(f"{path.parent}: written in format version {version}; {known}")
    return {**manifest, **_manifest_flags(manifest, path)}


def _manifest_flags(manifest: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The flags as they are stored today. Raises `BadInput`."""
    flags = manifest.get("flags", [])
    if not isinstance(flags, list):
        raise BadInput(f"{path}: flags: not a list")
    try:
        written = format_1.is_format_1(flags)
        return {"flags": stored(format_1.flags_of(flags) if written else map(parsed, flags))}
    except ValueError as error:
        raise BadInput(f"{path}: flags: {error}") from error


def require_run(manifest: dict[str, Any], path: Path) -> None:
    """Raises `BadInput` for the first part that a run with trials must have, or of another type."""
    for part in _PARTS:
        values = list(_at(manifest, part.place.split(".")))
        if part.required and not values:
            raise BadInput(f"{path}: not the manifest of a run; no {part.place}")
        if not all(isinstance(each, part.kind) for each in values):
            raise BadInput(f"{path}: {part.place} is not {_WORDS[part.kind]}")


def _at(content: Any, place: Sequence[str]) -> Iterator[object]:
    """The values at this place; none where a part of the path is missing."""
    if not place:
        yield content
        return
    name, *rest = place
    if name == "*":
        for each in content.values() if isinstance(content, dict) else content:
            yield from _at(each, rest)
    elif name in content:
        yield from _at(content[name], rest)


_NUMBERS = ("ok", "measured_s", "throughput_per_s")
_CLOSE = 1e-6
"""The allowed relative error of a rate against the numbers that it follows from."""
_PLACE = ("key", "workload", "point", "repetition", "side")
"""Columns that together differ between any two trials of a run."""
_SIGNED = ("delivery_", "dispatch_delay_", "queue_delay_")
"""Times that may be below zero: a subscriber may be quicker than the answer to the writer."""
_MAY_SHRINK = "data_bytes_per_event"


def require_consistent(manifest: Mapping[str, Any], trials: pa.Table, folder: Path) -> None:
    """Raises `BadInput` in one line for an edited folder, or one merged from several runs."""
    _require_one_run(manifest, trials, folder)
    twice = [name for name, many in Counter(trials["trial_id"].to_pylist()).items() if many > 1]
    if twice:
        raise BadInput(f"{folder}: trial {twice[0]} occurs twice")
    _require_places(trials, folder)
    _require_from_zero(trials, folder)
    for row in trials.select(["trial_id", "status", "scheduled", *_NUMBERS]).to_pylist():
        if why := _forged(row):
            raise BadInput(f"{folder}: trial {row['trial_id']}: {why}; edited")


def _require_one_run(manifest: Mapping[str, Any], trials: pa.Table, folder: Path) -> None:
    expected = {"run": manifest["run"], "scenario_hash": manifest["scenario"]["hash"]}
    if any(set(trials[name].to_pylist()) - {value} for name, value in expected.items()):
        raise BadInput(f"{folder}: trials and manifest are not of one run; edited or mixed up")


def _require_places(trials: pa.Table, folder: Path) -> None:
    first: dict[tuple[object, ...], str] = {}
    for row in trials.select(["trial_id", *_PLACE]).to_pylist():
        trial = row.pop("trial_id")
        other = first.setdefault(tuple(row.values()), trial)
        if other != trial:
            raise BadInput(
                f"{folder}: trial {trial} has the {', '.join(_PLACE)} of {other}; edited"
            )


def _require_from_zero(trials: pa.Table, folder: Path) -> None:
    for field in trials.schema:
        if field.type not in {pa.int64(), pa.float64()} or _may_be_below_zero(field.name):
            continue
        place = pc.index(pc.less(trials[field.name], 0), value=True).as_py()
        if place >= 0:
            trial, value = trials["trial_id"][place], trials[field.name][place]
            raise BadInput(f"{folder}: trial {trial}: {field.name} is {value}, below zero; edited")


def _may_be_below_zero(name: str) -> bool:
    return name == _MAY_SHRINK or (name.startswith(_SIGNED) and name.endswith("_ns"))


def _forged(row: Mapping[str, Any]) -> str:
    """Why the throughput is wrong, or empty. A trial that is not done may have none."""
    if row["throughput_per_s"] is None and row["status"] != "done":
        return ""
    needed = (*_NUMBERS, "scheduled")
    missing = [name for name in needed if row[name] is None or math.isnan(row[name])]
    if missing:
        return f"it has a result, but no {missing[0]}"
    ok, measured_s, per_s = (row[name] for name in _NUMBERS)
    follows = measured_s > 0 and math.isclose(per_s, ok / measured_s, rel_tol=_CLOSE)
    return "" if follows else "throughput is not ok ÷ measured_s"

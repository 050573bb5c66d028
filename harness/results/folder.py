"""The run folder as it is written: trial by trial, each on disk before the next begins."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from harness.domain.errors import BadInput, LabError
from harness.results.columns import (
    FAULTS,
    FORMAT_VERSION,
    INTERVALS,
    PROBES,
    TRIALS,
    Column,
    schema,
)
from harness.results.tables import is_full, write_atomically, writing

Table = Literal["samples", "appends", "deliveries", "reads"]

PARTIAL = ".partial-"
MANIFEST = "manifest.json"
TRIALS_FILE = "trials.parquet"
INTERVALS_FILE = "intervals.parquet"
PROBES_FILE = "probes.parquet"
FAULTS_FILE = "faults.parquet"
CONFORMANCE_FILE = "conformance.json"
"""The guarantee matrix, where checks were run."""
_EMPTY: Mapping[str, object] = {"text": "", "json": ""}


class RunFolder:
    """One run on disk, `.partial-<name>` until `finish` gives it its name."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        """Where it is now."""
        self.name = name
        """Its final name: `<yyyymmdd-hhmmss>-<scenario>-<id>`."""
        self._tables = {
            TRIALS_FILE: schema(TRIALS).empty_table(),
            INTERVALS_FILE: schema(INTERVALS).empty_table(),
            PROBES_FILE: schema(PROBES).empty_table(),
            FAULTS_FILE: schema(FAULTS).empty_table(),
        }

    @classmethod
    def create(cls, out: Path, name: str) -> RunFolder:
        """A new folder inside `out`, stamped in UTC; `out` is made where it is missing.

        Raises `BadInput` where nothing can be put into `out`, `LabError` where the disk is full.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        final = f"{stamp}-{name}-{secrets.token_hex(2)}"
        path = out / (PARTIAL + final)
        try:
            str(path.absolute()).encode()
        except UnicodeEncodeError:
            raise BadInput(
                f"--out: {out}: no text in this locale, so no run can go there; see LC_ALL"
            ) from None
        try:
            path.mkdir(parents=True)
        except OSError as error:
            if is_full(error):
                raise LabError(f"--out: {out}: the disk is full") from error
            raise BadInput(f"--out: {out}: {_why_not(error)}, so no run can go there") from error
        return cls(path, final)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest; the format version is added."""
        content = {"format_version": FORMAT_VERSION, **manifest}
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        write_atomically(self.path / MANIFEST, text.encode(errors="replace"))

    def write_conformance(self, matrix: Mapping[str, Any]) -> None:
        """Write the guarantee matrix."""
        text = json.dumps(matrix, indent=2, ensure_ascii=False)
        write_atomically(self.path / CONFORMANCE_FILE, text.encode())

    def add_trial(self, row: Mapping[str, object]) -> None:
        """Add one row to trials.parquet; on disk before this returns.

        Raises `ValueError` for a column that is not documented or lacks its required value.
        """
        self._add(TRIALS_FILE, TRIALS, [row])

    def add_intervals(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Add a trial's seconds to intervals.parquet, in the same way."""
        self._add(INTERVALS_FILE, INTERVALS, rows)

    def add_probes(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Add the probes before a trial to probes.parquet, in the same way."""
        self._add(PROBES_FILE, PROBES, rows)

    def add_faults(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Add a trial's faults to faults.parquet, in the same way."""
        self._add(FAULTS_FILE, FAULTS, rows)

    def _add(
        self, file: str, columns: Sequence[Column], rows: Sequence[Mapping[str, object]]
    ) -> None:
        unknown = {name for row in rows for name in row} - {column.name for column in columns}
        if unknown:
            raise ValueError(f"not columns of {file}: {', '.join(sorted(unknown))}")
        cells = {
            column.name: [_cell(column, row.get(column.name), file) for row in rows]
            for column in columns
        }
        added = pa.table(cells, schema=schema(columns))
        table = pa.concat_tables([self._tables[file], added])
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd")
        write_atomically(self.path / file, buffer.getvalue())
        self._tables[file] = table

    def table_path(self, table: Table, trial_id: str) -> Path:
        """Where the rows of one trial go."""
        return self.path / table / f"{trial_id}.parquet"

    def finish(self) -> Path:
        """Give the folder its final name; returns its new path."""
        final = self.path.with_name(self.name)
        with writing(final):
            self.path.rename(final)
        self.path = final
        return final


def _why_not(error: OSError) -> str:
    """ "not a folder" for a file in the path: the system's own text for some is "file exists"."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "not a folder"
    return error.strerror or str(error)


def _cell(column: Column, value: object, file: str) -> object:
    """The value as Arrow takes it; NaN becomes empty."""
    if value is None or value != value or (column.kind == "time" and value == ""):  # noqa: PLR0124
        value = _EMPTY.get(column.kind)
    if value is None and column.required:
        raise ValueError(f"{column.name} is missing: every row of {file} has it")
    if column.kind == "time" and isinstance(value, str):
        return datetime.fromisoformat(value)
    return value

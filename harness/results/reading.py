"""A run folder as pandas frames. pandas is imported when a run is loaded, not before."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import BadInput, MissingExtra
from harness.results.cells import checked
from harness.results.columns import DELIVERIES, INTERVALS, PROBES, TRIALS, Column, schema
from harness.results.consistent import require_consistent
from harness.results.folder import (
    CONFORMANCE_FILE,
    INTERVALS_FILE,
    MANIFEST,
    PROBES_FILE,
    TRIALS_FILE,
    Table,
)
from harness.results.manifests import read_json, read_manifest, require_run

if TYPE_CHECKING:
    import pandas as pd

_TIMES = ("op", "outcome", "attempts", "intended_ns", "sent_ns", "done_ns")
_RUN_NAME = re.compile(r"\d{8}-\d{6}-.+")


@dataclass(frozen=True, slots=True)
class Run:
    """A run read back. Columns, units and meanings are in `harness.results.columns`."""

    path: Path
    manifest: dict[str, Any]
    trials: pd.DataFrame
    """A row a trial, in the order of the run: Int64, float64, boolean, string, UTC times."""

    @property
    def intervals(self) -> pd.DataFrame:
        """A row a second a trial; empty for a run that was made before there were any."""
        return _frame(_whole(self.path / INTERVALS_FILE, INTERVALS))

    @property
    def probes(self) -> pd.DataFrame:
        """A row a probe of a run that found its own rates; else empty."""
        return _frame(_whole(self.path / PROBES_FILE, PROBES))

    @property
    def conformance(self) -> dict[str, Any]:
        """The guarantee matrix of `eslab conformance`; empty where it was not measured."""
        path = self.path / CONFORMANCE_FILE
        return read_json(path) if path.exists() else {}

    def samples(self, trial_id: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """A row an operation, warm-up included (`op` below 0); int64. Raises `BadInput`."""
        return self._table("samples", trial_id, columns)

    def appends(self, trial_id: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """A row an append that is not in an operation's own row; int64. Raises `BadInput`."""
        return self._table("appends", trial_id, columns)

    def deliveries(self, trial_id: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """A row a delivery to a subscriber; int64. Empty for a trial without subscribers."""
        return self._table("deliveries", trial_id, columns)

    def has_samples(self, trial_id: str) -> bool:
        """Whether the raw columns of this trial were kept."""
        return (self.path / "samples" / f"{trial_id}.parquet").is_file()

    def kept_samples(self, trial_id: str) -> pd.DataFrame | None:
        """The columns that times are made of, or None where the raw columns were not kept."""
        return self.samples(trial_id, _TIMES) if self.has_samples(trial_id) else None

    def _table(self, table: Table, trial_id: str, columns: Sequence[str] | None) -> pd.DataFrame:
        if trial_id not in set(self.trials["trial_id"]):
            raise BadInput(f"{self.path}: no trial {trial_id!r}; see the trials' trial_id")
        path = self.path / table / f"{trial_id}.parquet"
        if path.is_file():
            return _plain(_read(path, columns))
        if table == "deliveries":
            return _plain(_empty(DELIVERIES, columns))
        raise BadInput(f"{self.path}: {table} of trial {trial_id} were not kept (--no-samples)")


def load(path: str | Path) -> Run:
    """Open a run folder, a `.partial-` one too. Raises `BadInput` in one line.

    What it returns is of the documented types, and its numbers follow from each other.
    """
    folder = Path(path)
    _require_pandas()
    if not _is_run(folder):
        raise BadInput(f"{folder}: not a run folder; it has no {MANIFEST}")
    manifest = read_manifest(folder / MANIFEST)
    if manifest.get("kind") == "conformance":
        raise BadInput(f"{folder}: a run of checks; its matrix is in {CONFORMANCE_FILE}")
    require_run(manifest, folder / MANIFEST)
    trials = _whole(folder / TRIALS_FILE, TRIALS)
    require_consistent(manifest, trials, folder)
    return Run(folder, manifest, _frame(trials))


def newest(results: str | Path | None = None) -> Path:
    """The newest finished run in a results folder, by default ./results or ../results."""
    places = [Path(results)] if results else [Path("results"), Path("../results")]
    for place in places:
        named = [run for run in place.glob("2*") if _RUN_NAME.fullmatch(run.name)]
        runs = [run for run in named if _is_run(run) and not _checks_alone(run)]
        if runs:
            return max(runs, key=lambda run: run.name)
    raise BadInput(f"no run in {' or '.join(map(str, places))}; `make bench` makes one")


def _is_run(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def _checks_alone(folder: Path) -> bool:
    """A run of checks has no trials to load."""
    return (folder / CONFORMANCE_FILE).is_file() and not (folder / TRIALS_FILE).is_file()


def _require_pandas() -> None:
    try:
        import pandas as pd  # noqa: F401, PLC0415
    except ImportError as error:
        message = "pandas is not installed; pip install 'eventstore-lab[notebooks]'"
        raise MissingExtra(message) from error


def _whole(path: Path, columns: Sequence[Column]) -> pa.Table:
    """A table with all its columns; without rows where the run has no such file."""
    return checked(_read(path, None), path, columns) if path.exists() else _empty(columns, None)


def _read(path: Path, columns: Sequence[str] | None) -> pa.Table:
    try:
        return pq.read_table(path, columns=list(columns) if columns else None)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput(f"{path}: cut off or not Parquet") from error


def _empty(table: Sequence[Column], names: Sequence[str] | None) -> pa.Table:
    return schema([column for column in table if not names or column.name in names]).empty_table()


def _plain(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _frame(table: pa.Table) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415

    dtypes = {
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
        pa.string(): pd.StringDtype(),
    }
    frame: pd.DataFrame = table.to_pandas(types_mapper=dtypes.get)
    return frame

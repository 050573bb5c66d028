"""A run folder as pandas frames. pandas is imported when a run is loaded, not before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.domain.errors import BadInput, MissingExtra
from harness.results.columns import (
    DELIVERIES,
    FAULTS,
    INTERVALS,
    PROBES,
    READS,
    TRIALS,
    Column,
    schema,
)
from harness.results.folder import (
    CONFORMANCE_FILE,
    FAULTS_FILE,
    INTERVALS_FILE,
    MANIFEST,
    PROBES_FILE,
    TRIALS_FILE,
    Table,
)
from harness.results.validation import (
    checked,
    read_json,
    read_manifest,
    require_consistent,
    require_run,
)

if TYPE_CHECKING:
    import pandas as pd

_TIMES = ("op", "outcome", "attempts", "intended_ns", "sent_ns", "done_ns")
DRAWN_MAX = 1_500_000
"""Samples that a drawing reads, some 80 bytes each."""
_NOT_ALWAYS = {"deliveries": DELIVERIES, "reads": READS}
"""Raw tables that only some workloads fill."""
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
        """A row per second and trial; empty for a run of a version without them."""
        return _frame(_whole(self.path / INTERVALS_FILE, INTERVALS))

    @property
    def probes(self) -> pd.DataFrame:
        """A row per probe of a run that chose its own rates; else empty."""
        return _frame(_whole(self.path / PROBES_FILE, PROBES))

    @property
    def faults(self) -> pd.DataFrame:
        """A row per trial and fault of its scenario; empty where there were none."""
        return _frame(_whole(self.path / FAULTS_FILE, FAULTS))

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

    def reads(self, trial_id: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """A row a read of a stream's end; int64. Empty where no workload reports its reads."""
        return self._table("reads", trial_id, columns)

    def has_samples(self, trial_id: str) -> bool:
        """Whether the raw columns of this trial were kept."""
        return (self.path / "samples" / f"{trial_id}.parquet").is_file()

    def kept_samples(self, trial_id: str) -> pd.DataFrame | None:
        """The columns that times are made of, for a drawing of every operation.

        `None` where the raw columns were not kept, or are more than `DRAWN_MAX`: a drawing then
        has the percentiles of the trial's row.
        """
        if not self.has_samples(trial_id):
            return None
        path = self.path / "samples" / f"{trial_id}.parquet"
        return _times(path) if _rows(path) <= DRAWN_MAX else None

    def _table(self, table: Table, trial_id: str, columns: Sequence[str] | None) -> pd.DataFrame:
        if trial_id not in set(self.trials["trial_id"]):
            raise BadInput(f"{self.path}: no trial {trial_id!r}; see the trials' trial_id")
        path = self.path / table / f"{trial_id}.parquet"
        if path.is_file():
            return _plain(_read(path, columns))
        if table in _NOT_ALWAYS:
            return _plain(_empty(_NOT_ALWAYS[table], columns))
        raise BadInput(f"{self.path}: {table} of trial {trial_id} were not kept (--no-samples)")


def load(path: str | Path) -> Run:
    """Open a run folder, a `.partial-` one too. Raises `BadInput` in one line.

    The tables have the documented types, and their numbers are consistent.
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
    run = Run(folder, manifest, _frame(trials))
    _take_measured_durability(run)
    return run


def _take_measured_durability(run: Run) -> None:
    """Where losing power showed another durability class than settings promise, it ranks.

    Runs without the checks, and those of labs that could not lose power, stay as they are.
    """
    with suppress(BadInput, AttributeError, KeyError, TypeError):
        for store in run.conformance.get("stores", []):
            measured = store.get("durability", {}).get("measured")
            if isinstance(measured, str):
                of_store = run.trials["key"] == store["store"]
                run.trials.loc[of_store, "durability"] = measured


def newest(results: str | Path | None = None) -> Path:
    """The newest finished run in a results folder, by default ./results or ../results."""
    places = [Path(results)] if results else [Path("results"), Path("../results")]
    for place in places:
        named = [run for run in place.glob("2*") if _RUN_NAME.fullmatch(run.name)]
        runs = [run for run in named if _is_run(run) and not _checks_alone(run)]
        if runs:
            return max(runs, key=lambda run: run.name)
    raise BadInput(f"no run in {' or '.join(map(str, places))}; `make bench` makes one")


def newest_matrix(out: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """The newest run below `out` with a guarantee matrix, and the matrix; `None` without one."""
    folders = [each for each in out.glob("2*") if (each / CONFORMANCE_FILE).is_file()]
    for folder in sorted(folders, key=lambda each: each.name, reverse=True):
        with suppress(BadInput):
            return folder, read_json(folder / CONFORMANCE_FILE)
    return None


def _is_run(folder: Path) -> bool:
    """Also false for a path that no system would open."""
    try:
        return (folder / MANIFEST).is_file()
    except OSError:
        return False


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


def _rows(path: Path) -> int:
    with _readable(path):
        return int(pq.read_metadata(path).num_rows)


def _times(path: Path) -> pd.DataFrame:
    """Filled a row group at a time: reading the table as a whole takes four times its memory."""
    import pandas as pd  # noqa: PLC0415

    with _readable(path), pq.ParquetFile(path) as file:
        columns = {name: np.empty(file.metadata.num_rows, np.int64) for name in _TIMES}
        start = 0
        for group in range(file.num_row_groups):
            block = file.read_row_group(group, columns=list(_TIMES))
            for name in _TIMES:
                columns[name][start : start + len(block)] = block[name].to_numpy()
            start += len(block)
    return pd.DataFrame(columns, copy=False)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise BadInput(f"{path}: cut off or not Parquet") from error


def _read(path: Path, columns: Sequence[str] | None) -> pa.Table:
    with _readable(path):
        return pq.read_table(path, columns=list(columns) if columns else None)


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

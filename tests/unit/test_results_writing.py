"""What is written survives: trial by trial, whole or not at all, and a full disk says so."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness import results
from harness.domain.errors import LabError
from harness.load.column_buffer import SAMPLE_COLUMNS
from harness.load.recording_store import APPEND_COLUMNS, READ_COLUMNS
from harness.load.subscribers import DELIVERY_COLUMNS
from harness.results import RunFolder, TableWriter, columns
from tests.made_run import identity, manifest

BLOCK = np.arange(2_000, dtype=np.int64).reshape(1_000, 2)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path, "quick")
    folder.write_manifest(manifest(folder))
    return folder


@contextmanager
def full_disk():
    """A disk on which nothing new becomes safe: `fsync` says that it is full."""
    with mock.patch("os.fsync", side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))):
        yield


def test_a_folder_is_partial_until_it_is_finished(folder: RunFolder, tmp_path: Path):
    assert [path.name for path in tmp_path.iterdir()] == [f".partial-{folder.name}"]
    final = folder.finish()
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert final == folder.path == tmp_path / folder.name


def test_a_folders_name_is_its_time_in_utc_the_scenario_and_four_hex_digits(folder: RunFolder):
    day, time, name, identity_ = folder.name.split("-")
    assert (len(day), len(time), name, len(identity_)) == (8, 6, "quick", 4)
    int(identity_, 16)


def test_each_trial_is_on_disk_before_the_next_and_earlier_ones_stay(folder: RunFolder):
    for number in (1, 2, 3):
        folder.add_trial(identity(number, run=folder.name))
        assert results.load(folder.path).trials["trial"].tolist() == list(range(1, number + 1))


def test_a_trial_that_cannot_be_written_leaves_the_earlier_ones_readable(folder: RunFolder):
    folder.add_trial(identity(1, run=folder.name))
    with (
        full_disk(),
        pytest.raises(LabError, match=r"^the disk is full: .*trials\.parquet; finished trials"),
    ):
        folder.add_trial(identity(2))
    assert results.load(folder.path).trials["trial"].tolist() == [1]
    folder.add_trial(identity(3, run=folder.name))
    assert results.load(folder.path).trials["trial"].tolist() == [1, 3]


def test_a_manifest_that_cannot_be_written_leaves_the_old_one(folder: RunFolder):
    with full_disk(), pytest.raises(LabError, match="the disk is full"):
        folder.write_manifest({"status": "done"})
    assert results.load(folder.path).manifest["status"] == "running"


def test_the_manifest_carries_the_format_version(folder: RunFolder):
    written = json.loads((folder.path / "manifest.json").read_text())
    assert written == {"format_version": results.FORMAT_VERSION} | manifest(folder)


def test_a_column_that_is_not_documented_is_refused(folder: RunFolder):
    with pytest.raises(ValueError, match=r"not columns of trials\.parquet: speed"):
        folder.add_trial(identity() | {"speed": 1})


def test_a_row_without_its_key_is_refused(folder: RunFolder):
    row = identity()
    del row["trial"]
    with pytest.raises(ValueError, match="trial is missing"):
        folder.add_trial(row)


def test_a_missing_number_is_empty_and_never_zero(folder: RunFolder):
    folder.add_trial(identity() | {"service_p99_ns": float("nan")})
    table = pq.read_table(folder.path / "trials.parquet")
    for name in ("ok", "service_p99_ns", "response_p50_ns", "balanced", "started_at"):
        assert table[name].null_count == 1, name
    assert table["message"].to_pylist() == [""]


def test_the_schema_on_disk_is_the_documented_one_with_units(folder: RunFolder):
    folder.add_trial(identity())
    schema = pq.read_schema(folder.path / "trials.parquet")
    assert schema.names == [column.name for column in columns.TRIALS]
    assert schema.field("measured_s").metadata[b"unit"] == b"s"


def test_every_column_that_the_generator_records_is_documented():
    documented = (columns.SAMPLES, columns.APPENDS, columns.DELIVERIES, columns.READS)
    names = [tuple(column.name for column in table) for table in documented]
    assert names == [SAMPLE_COLUMNS, APPEND_COLUMNS, DELIVERY_COLUMNS, READ_COLUMNS]


def test_a_block_is_one_row_group_delta_packed_without_a_dictionary(tmp_path: Path):
    path = tmp_path / "samples" / "1.parquet"
    writer = TableWriter(path, ("op", "sent_ns"))
    writer.write(BLOCK)
    writer.write(BLOCK[:0])
    writer.write(BLOCK[:10])
    writer.close()
    file = pq.read_metadata(path)
    assert [file.row_group(group).num_rows for group in range(file.num_row_groups)] == [1_000, 10]
    column = file.row_group(0).column(1)
    assert "DELTA_BINARY_PACKED" in column.encodings
    assert (column.compression, column.has_dictionary_page) == ("ZSTD", False)
    assert pq.read_table(path)["sent_ns"].to_pylist() == [*BLOCK[:, 1], *BLOCK[:10, 1]]


def test_a_blocks_memory_may_be_reused_after_the_write(tmp_path: Path):
    writer, block = TableWriter(tmp_path / "t.parquet", ("a", "b")), BLOCK.copy()
    writer.write(block)
    block[:] = -1
    writer.close()
    assert pq.read_table(tmp_path / "t.parquet")["a"].to_pylist() == BLOCK[:, 0].tolist()


def test_a_table_without_rows_can_be_read(tmp_path: Path):
    TableWriter(tmp_path / "t.parquet", ("a", "b")).close()
    assert pq.read_table(tmp_path / "t.parquet").column_names == ["a", "b"]


def test_a_full_disk_is_one_clear_line(tmp_path: Path):
    (tmp_path / "t.parquet").symlink_to("/dev/full")
    with pytest.raises(LabError) as raised:
        TableWriter(tmp_path / "t.parquet", ("a", "b"))
    assert str(raised.value).startswith("the disk is full: cannot write ")
    assert "\n" not in str(raised.value)


def test_a_table_that_fails_half_way_gives_its_space_back_and_closes_quietly(tmp_path: Path):
    writer = TableWriter(tmp_path / "t.parquet", ("a", "b"))
    noise = np.random.default_rng(1).integers(0, 2**60, (50_000, 2))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, limits[1]))
    try:
        with pytest.raises(LabError, match=r"cannot write .*t\.parquet"):
            writer.write(noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())
    writer.close()
    with pytest.raises(LabError, match="is closed"):
        writer.write(BLOCK)


def test_importing_results_imports_neither_pandas_nor_matplotlib():
    code = "import sys, harness.results; print(sorted({'pandas', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_worker_process_imports_no_pandas_amid_its_measurement(tmp_path):
    """It would take half a second when the first block of samples is written."""
    code = (
        "import sys, numpy as np, harness.load.worker_processes\n"
        "from pathlib import Path\n"
        "from harness.results import TableWriter\n"
        "writer = TableWriter(Path(sys.argv[1]), ['a', 'b'])\n"
        "writer.write(np.arange(8, dtype=np.int64).reshape(4, 2))\n"
        "writer.close()\n"
        "print('pandas' in sys.modules)\n"
    )
    path = tmp_path / "t.parquet"
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
    assert pq.read_table(path).to_pydict() == {"a": [0, 2, 4, 6], "b": [1, 3, 5, 7]}

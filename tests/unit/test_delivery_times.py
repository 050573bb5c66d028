"""Times of deliveries, joined with their appends in parts as at once."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from harness.analysis.percentiles import percentiles
from harness.load.column_buffer import SAMPLE_COLUMNS
from harness.load.subscribers import DELIVERY_COLUMNS
from harness.load.trial_files import TrialFiles
from harness.results import TableWriter
from harness.results.sorted_rows import Scratch, Sizes
from harness.run.delivery_times import DeliveryTimes

WANTED = (50, 90, 99)


def written(path: Path, columns: tuple[str, ...], rows: list[dict[str, int]]) -> Path:
    """A table file; what a row does not name is 0."""
    writer = TableWriter(path, columns)
    for block in np.array_split(
        np.array([[row.get(name, 0) for name in columns] for row in rows], np.int64), 3
    ):
        writer.write(block)
    writer.close()
    return path


def made(folder: Path, rng: Random) -> tuple[TrialFiles, list[int]]:
    """Files of appends of one to three events each, and the times that they stand for."""
    samples, deliveries, times = [], [], []
    first = 0
    for op in range(-50, 3000):
        count, done_ns = rng.randint(0, 3), 1_000_000 + op * 10
        samples.append({"op": op, "first": first, "count": count, "done_ns": done_ns})
        for event in range(first, first + count):
            took_ns = rng.randint(-500, 5_000)
            deliveries.append({"event": event, "handled_ns": done_ns + took_ns})
            times += [took_ns] if op >= 0 else []
        first += count + rng.randint(0, 2)
    deliveries += [{"event": -1}, {"event": first + 7}]
    rng.shuffle(samples)
    rng.shuffle(deliveries)
    files = TrialFiles(
        written(folder / "samples", SAMPLE_COLUMNS, samples),
        folder / "appends",
        written(folder / "deliveries", DELIVERY_COLUMNS, deliveries),
    )
    return files, times


@pytest.mark.parametrize("sizes", [Sizes(), Sizes(run=300, part=500, step=20)], ids=["one", "many"])
def test_percentiles_are_those_of_all_deliveries_of_measured_appends(tmp_path, sizes):
    files, times = made(tmp_path, Random(1))
    with Scratch(tmp_path, sizes) as scratch:
        found = DeliveryTimes.of(files, scratch)
        assert len(found) == len(times)
        assert found.longest_ns == max(times)
        assert found.percentiles(WANTED) == percentiles(np.array(times), WANTED)


def test_no_delivery_has_no_times(tmp_path):
    files = TrialFiles(
        written(tmp_path / "samples", SAMPLE_COLUMNS, [{"op": 1, "count": 1}] * 3),
        tmp_path / "appends",
        tmp_path / "deliveries",
    )
    with Scratch() as scratch:
        found = DeliveryTimes.of(files, scratch)
        assert len(found) == found.longest_ns == 0
        assert found.percentiles(WANTED) == [None] * 3

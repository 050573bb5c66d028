"""Rows of integers sorted by their first two columns, however many there are.

Few of them stay in memory. Many are sorted run by run, and the runs go to a file without a name:
nothing is left of it, however the process ends. They come back in parts, range by range.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from harness.results.tables import writing

Rows = NDArray[np.int64]
"""A row of integers each; the first two columns are the key."""
Cut = tuple[int, int]
"""A key between two parts; it belongs to the second."""

LOWEST = int(np.iinfo(np.int64).min)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows sorted at once, rows that come back at once, and rows from one sample to the next."""

    run: int = 1 << 17
    part: int = 1 << 17
    step: int = 1 << 11


class Scratch:
    """Tables of sorted rows; their files lie in `folder`, or where temporary files do."""

    def __init__(self, folder: Path | None = None, sizes: Sizes | None = None) -> None:
        self._folder = folder
        self.sizes = sizes or Sizes()
        self._files = ExitStack()
        self.files = 0
        """How many tables have a file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def rows(self, width: int, *, weight: int | None = None) -> SortedRows:
        """A table of `width` columns. A row counts once, and as often more as `weight` has it."""
        return SortedRows(self, width, weight)

    def file(self) -> FileIO:
        """A file for a table. Raises `LabError`."""
        self.files += 1
        with writing(self.place):
            return self._files.enter_context(tempfile.TemporaryFile(buffering=0, dir=self._folder))

    @property
    def place(self) -> Path:
        """Where the files are."""
        return self._folder or Path(tempfile.gettempdir())


class SortedRows:
    """Rows are added in any order, and come back in the order of their first two columns.

    Equal keys come back as they were added.
    """

    def __init__(self, scratch: Scratch, width: int, weight: int | None) -> None:
        self._scratch, self._sizes = scratch, scratch.sizes
        self._width, self._weight = width, weight
        self._added: list[Rows] = []
        self._added_count = 0
        self._file: FileIO | None = None
        self._lengths: list[int] = []
        self._written = [0]
        """Rows before each run in the file."""
        self._samples: list[Rows] = []

    def __len__(self) -> int:
        return sum(self._lengths) + self._added_count

    def add(self, *columns: NDArray[np.integer]) -> None:
        """Add rows, given by their columns. Raises `LabError` where the disk is full."""
        if not len(columns[0]):
            return
        rows = np.empty((len(columns[0]), self._width), np.int64)
        for number, column in enumerate(columns):
            rows[:, number] = column
        self._added.append(rows)
        self._added_count += len(rows)
        if self._added_count >= self._sizes.run:
            self._write_run()

    def samples(self) -> Rows:
        """The keys of a run's rows, at a fixed distance."""
        self._settle()
        kept = [self._sampled(run) for run in self._added]
        return np.concatenate([np.empty((0, 2), np.int64), *self._samples, *kept])

    def runs(self) -> Iterator[Rows]:
        """Everything once, in pieces that are sorted."""
        self._settle()
        for number in range(self._run_count):
            yield self._read(number, 0, self._run_length(number))

    def parts(self, cuts: Sequence[Cut]) -> Iterator[Rows]:
        """What lies before the first cut, between it and the second one, and so on: sorted."""
        self._settle()
        bounds = [np.array(self._bounds(number, cuts)) for number in range(self._run_count)]
        for part in range(len(cuts) + 1):
            found = [
                self._read(number, each[part], each[part + 1])
                for number, each in enumerate(bounds)
                if each[part] < each[part + 1]
            ]
            yield _in_order(found) if found else np.empty((0, self._width), np.int64)

    def all(self) -> Iterator[Rows]:
        """Everything, in order, in parts of bounded size."""
        return self.parts(even_cuts(self))

    @property
    def sizes(self) -> Sizes:
        """Of its runs and parts."""
        return self._sizes

    @property
    def _run_count(self) -> int:
        return len(self._lengths) + len(self._added)

    def _run_length(self, number: int) -> int:
        return self._lengths[number] if number < len(self._lengths) else self._added_count

    def _settle(self) -> None:
        """Make one run of the rows added last; in memory if there is no other."""
        if self._file is not None and self._added:
            self._write_run()
        elif self._added:
            self._added = [_in_order(self._added)]

    def _write_run(self) -> None:
        run = _in_order(self._added)
        self._samples.append(self._sampled(run))
        if self._file is None:
            self._file = self._scratch.file()
        with writing(self._scratch.place):
            left = run.data.cast("B")
            while left:
                left = left[self._file.write(left) :]
        self._lengths.append(len(run))
        self._written.append(self._written[-1] + len(run))
        self._added, self._added_count = [], 0

    def _sampled(self, run: Rows) -> Rows:
        step = self._sizes.step
        if self._weight is None:
            return run[step - 1 :: step, :2].copy()
        weighed = np.cumsum(run[:, self._weight] + 1)
        marks = np.arange(step, int(weighed[-1]) + 1, step)
        return run[np.searchsorted(weighed, marks), :2]

    def _bounds(self, number: int, cuts: Sequence[Cut]) -> list[int]:
        """Where the parts begin in a run, and its end."""
        length = self._run_length(number)
        if not cuts:
            return [0, length]
        run = self._read(number, 0, length)
        first, second = np.ascontiguousarray(run[:, 0]), run[:, 1]
        begins = np.searchsorted(first, [cut[0] for cut in cuts]).tolist()
        for place, (begin, cut) in enumerate(zip(begins, cuts, strict=True)):
            if cut[1] > LOWEST and begin < length and first[begin] == cut[0]:
                end = int(np.searchsorted(first, cut[0], "right"))
                begins[place] = begin + int(np.searchsorted(second[begin:end], cut[1]))
        return [0, *begins, length]

    def _read(self, number: int, start: int, stop: int) -> Rows:
        if number >= len(self._lengths):
            return self._added[0][start:stop]
        assert self._file is not None
        row_bytes = self._width * 8
        first = self._written[number] + start
        with writing(self._scratch.place):
            raw = os.pread(self._file.fileno(), (stop - start) * row_bytes, first * row_bytes)
        return np.frombuffer(raw, np.int64).reshape(-1, self._width)


def even_cuts(*tables: SortedRows) -> list[Cut]:
    """Cuts that divide tables with one kind of key into parts, together about `Sizes.part` rows."""
    samples = np.concatenate([table.samples() for table in tables])
    sizes = tables[0].sizes
    every = max(1, sizes.part // sizes.step)
    samples = samples[np.lexsort((samples[:, 1], samples[:, 0]))][every::every]
    return sorted({(first, second) for first, second in samples.tolist()})


def _in_order(pieces: Sequence[Rows]) -> Rows:
    """The rows of all pieces; most are in order already, or would be if their first column were."""
    rows = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    if _is_in_order(rows):
        return rows
    rows = rows[np.argsort(_narrow(rows[:, 0]), kind="stable")]
    return rows if _is_in_order(rows) else rows[np.lexsort((rows[:, 1], rows[:, 0]))]


def _is_in_order(rows: Rows) -> bool:
    first, second = rows[:, 0], rows[:, 1]
    grows = first[1:] > first[:-1]
    if grows.all():
        return True
    grows |= (first[1:] == first[:-1]) & (second[1:] >= second[:-1])
    return bool(grows.all())


def _narrow(column: NDArray[np.int64]) -> NDArray[np.integer]:
    """16 bits where they suffice: numpy sorts those by radix, ten times as fast."""
    fits = column.min() >= 0 and column.max() < 1 << 16
    return column.astype(np.uint16) if fits else column
